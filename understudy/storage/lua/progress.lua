-- progress: the body of a held message says how far it is.
-- KEYS: 1 state record
-- ARGV: 1 delivery token, 2 info (encoded), 3 channel to tell
-- Reply: 1 written; 0 this delivery does not hold the message any more, nothing was written
-- Safe to resend: the same value is written again.
if redis.call('HGET', KEYS[1], 'holder') ~= ARGV[1] then return 0 end
redis.call('HSET', KEYS[1], 'state', 'PROGRESS', 'info', ARGV[2])
redis.call('PUBLISH', ARGV[3], 'PROGRESS')
return 1
