-- alert: whether a failure is told, or was told of its cause a while ago by any worker.
-- KEYS: 1 clock, 2 what is known of the cause
-- ARGV: 1 token of this question, 2 ms for which a cause is told once, 3 failures that nobody was asked about since the last time
-- Reply: {1, ms, more} it is told; `more` were not since the last one. {0, ms left, 0} it is not
-- Safe to resend: the answer to the last question is kept.
local found = redis.call('HMGET', KEYS[2], 'token', 'told', 'ms', 'more', 'until', 'untold')
if found[1] == ARGV[1] then return { tonumber(found[2]), tonumber(found[3]), tonumber(found[4]) } end
local at = now(KEYS[1])
local every, untold = tonumber(ARGV[2]), tonumber(found[6] or '0') + tonumber(ARGV[3])
local told, ms, more = 1, every, untold
if found[5] and not expired(found[5], at) then
  told, ms, more = 0, tonumber(found[5]) - at, 0
end
room(KEYS[2]) -- a full server is a cause, too
redis.call('HSET', KEYS[2], 'token', ARGV[1], 'told', told, 'ms', ms, 'more', more,
  'untold', told == 1 and 0 or untold + 1, 'until', told == 1 and at + every or found[5])
expire(KEYS[2], 10 * every + 60000)
return { told, ms, more }
