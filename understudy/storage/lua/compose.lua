-- compose: puts a part of a workflow aside. Nothing of it has an effect before `launch`, or `settle`, lets it begin.
-- KEYS: 1 the workflow as it is being written
-- ARGV: 1 TTL in ms after which what never began is swept (0: it is part of one that has begun: nothing is written if that is
--       gone), then pairs field, value
-- Reply: how many fields it has now; -1 it is gone
-- Safe to resend: the same fields are written again.
local ttl = tonumber(ARGV[1])
if ttl == 0 and redis.call('HEXISTS', KEYS[1], 'v') == 0 then return -1 end
for i = 2, #ARGV, 2 do redis.call('HSET', KEYS[1], ARGV[i], ARGV[i + 1]) end
if ttl > 0 then redis.call('PEXPIRE', KEYS[1], ttl) end
return redis.call('HLEN', KEYS[1])
