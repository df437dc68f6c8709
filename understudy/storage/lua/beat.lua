-- beat: renews the lease of a worker process. Run by the helper beside it.
-- KEYS: 1 leases
-- ARGV: 1 worker
-- Reply: the new count; 0 when it has no lease any more
-- Safe to resend: a count that went up twice says the same.
if redis.call('HEXISTS', KEYS[1], ARGV[1]) == 0 then return 0 end
room(KEYS[1]) -- a full server must not end leases
return redis.call('HINCRBY', KEYS[1], ARGV[1], 1)
