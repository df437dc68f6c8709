-- send: accepts one message that may run now. The same as enqueue with one `add`, at half of its cost: it stands alone, and
-- most messages are sent like this.
-- KEYS: 1 what this producer sent last, 2 stream
-- ARGV: 1 lane (a thread of the producer), 2 token of this call, 3 payload
-- Reply: 1 accepted; 0 accepted before: this is a resend; an error when a key holds what it must not, or when the server is
--        full: nothing was accepted
-- Safe to resend: a lane sends one call at a time and its tokens grow, so its last one tells; also of a copy of an earlier
-- call that was long on its way.
local last = redis.call('HGET', KEYS[1], ARGV[1])
if last and (last == ARGV[2] or (tonumber(last) or -1) > (tonumber(ARGV[2]) or 1e300)) then return 0 end
-- The first write is the one that may be refused. The others cannot be: the hash was read, and may grow if the stream may.
redis.call('XADD', KEYS[2], '*', 'm', ARGV[3])
redis.call('HSET', KEYS[1], ARGV[1], ARGV[2])
redis.call('PEXPIRE', KEYS[1], 3600000)
return 1
