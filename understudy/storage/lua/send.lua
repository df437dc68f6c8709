-- send: accepts messages of one stream that may run now, all of them or none. The same as enqueue with as many `add`, at half of
-- its cost: it stands alone, and most messages are sent like this.
-- KEYS: 1 what this producer sent last, 2 stream
-- ARGV: 1 lane (a thread of the producer), 2 token of this call, then payloads
-- Reply: 1 accepted; 0 accepted before: this is a resend; an error when a key holds what it must not, a command failed, or the
--        server is full: nothing was accepted
-- Safe to resend: a lane sends one call at a time and its tokens grow, so its last one tells; also of a copy of an earlier
-- call that was long on its way.
local last = redis.call('HGET', KEYS[1], ARGV[1])
if last and (last == ARGV[2] or (tonumber(last) or -1) > (tonumber(ARGV[2]) or 1e300)) then return 0 end
-- The first write is the one that may be refused.
local added = {}
for i = 3, #ARGV do
  local id = redis.pcall('XADD', KEYS[2], '*', 'm', ARGV[i])
  if type(id) == 'table' then
    for _, one in ipairs(added) do redis.pcall('XDEL', KEYS[2], one) end
    return id
  end
  added[i - 2] = id
end
-- These cannot be refused: the hash was read, and may grow if the stream may.
redis.call('HSET', KEYS[1], ARGV[1], ARGV[2])
redis.call('PEXPIRE', KEYS[1], 3600000)
return 1
