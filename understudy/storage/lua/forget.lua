-- forget: removes what is recorded of a message. One that is being worked on keeps its hold: it goes on, and
-- its outcome will be recorded.
-- KEYS: 1 state record
-- ARGV: -
-- Reply: 1 something was forgotten; 0 there was nothing
-- Safe to resend: what is gone is gone.
if not redis.call('HGET', KEYS[1], 'holder') then return redis.call('DEL', KEYS[1]) end
local removed = redis.call('HDEL', KEYS[1], 'state', 'info', 'result', 'exception', 'traceback', 'next_run')
return math.min(removed, 1)
