-- renew: a running delivery extends the lease of its claim.
-- KEYS: 1 clock, 2 claim
-- ARGV: 1 delivery token, 2 lease in milliseconds
-- Reply: 1 renewed; 0 the claim belongs to another delivery now
-- Safe to resend: the lease counts from the last time.
if redis.call('HGET', KEYS[2], 'token') ~= ARGV[1] then return 0 end
if redis.call('HGET', KEYS[2], 'status') ~= 'running' then return 0 end
redis.call('HSET', KEYS[2], 'until', now(KEYS[1]) + tonumber(ARGV[2]))
return 1
