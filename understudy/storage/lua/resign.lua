-- resign: ends a leadership before its time, and tells the others.
-- KEYS: 1 leader
-- ARGV: 1 the scheduler, 2 its term, 3 channel of the schedulers
-- Reply: 1, or 0 when it does not lead any more
-- Safe to resend: an old term ends no newer one.
local found = redis.call('HMGET', KEYS[1], 'id', 'term')
if found[1] ~= ARGV[1] or found[2] ~= ARGV[2] then return 0 end
room(KEYS[1])
-- The term stays: terms only grow.
redis.call('HDEL', KEYS[1], 'id')
redis.call('HSET', KEYS[1], 'until', 0)
redis.call('PUBLISH', ARGV[3], 'resigned')
return 1
