-- circuit_told: how the call of a delivery behind a circuit breaker ended (see `circuit` for the record).
-- KEYS: 1 clock, 2 circuit
-- ARGV: 1 delivery token, 2 "done", "failed" or "nothing" (it ended without having shown anything),
--       3 failures that open it, 4 ms of the window in which they count, 5 ms for which it stays open at first, 6 ms at the most
-- Reply: ms for which it is open from now on; 0 when it is not
-- Safe to resend: a delivery counts once, as long as no other has told meanwhile; it is open or not, and no more depends on it.
local at, told = now(KEYS[1]), ARGV[2]
local found = redis.call('HMGET', KEYS[2], 'open_until', 'probe', 'last', 'failures', 'window', 'cooldown')
local open_until = tonumber(found[1])
if told == 'done' then
  -- One that had begun before it opened says nothing new.
  if open_until and found[2] ~= ARGV[1] then return math.max(0, open_until - at) end
  redis.call('DEL', KEYS[2])
  return 0
end
if told == 'nothing' then
  -- The next one may try it out.
  if found[2] == ARGV[1] then redis.call('HDEL', KEYS[2], 'probe', 'probe_until') end
  return 0
end
if found[3] == ARGV[1] then return math.max(0, (open_until or 0) - at) end
local cooldown = tonumber(ARGV[5])
if open_until then
  -- One that had begun before it opened says nothing new.
  if open_until > at or found[2] ~= ARGV[1] then return math.max(0, open_until - at) end
  cooldown = math.min((tonumber(found[6]) or cooldown) * 2, tonumber(ARGV[6]))
else
  local fresh = (tonumber(found[5]) or 0) <= at
  local failures = fresh and 1 or (tonumber(found[4]) or 0) + 1
  if failures < tonumber(ARGV[3]) then
    redis.call('HSET', KEYS[2], 'v', '1', 'failures', failures, 'last', ARGV[1], 'window', fresh and at + tonumber(ARGV[4]) or found[5])
    expire(KEYS[2], tonumber(ARGV[4]) + 60000)
    return 0
  end
end
redis.call('HSET', KEYS[2], 'v', '1', 'open_until', at + cooldown, 'cooldown', cooldown, 'last', ARGV[1])
redis.call('HDEL', KEYS[2], 'failures', 'window', 'probe', 'probe_until')
-- Long after it could be tried out, nobody remembers that it was broken.
expire(KEYS[2], cooldown + 24 * tonumber(ARGV[6]) + 60000)
return cooldown
