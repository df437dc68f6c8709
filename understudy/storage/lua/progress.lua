-- progress: the body of a held message says how far it is.
-- KEYS: 1 clock, 2 stream, 3 state record
-- ARGV: 1 group, 2 entry, 3 delivery token, 4 info (encoded), 5 channel to tell, 6 actor, 7 queue,
--       8 how much is done in a second ("" when that is not known)
-- Reply: 1 written; 0 this delivery does not hold the message any more, or the message has ended: nothing was written
-- Safe to resend: the same value is written again.
if not held(KEYS[2], ARGV[1], ARGV[2]) then return 0 end
room(KEYS[1])
local record = redis.call('HMGET', KEYS[3], 'state', 'expires_at')
if record[1] and terminal(record[1]) then
  if not expired(record[2], now(KEYS[1])) then return 0 end
  redis.call('DEL', KEYS[3])
end
redis.call('HSET', KEYS[3], 'v', '1', 'state', 'PROGRESS', 'info', ARGV[4], 'by', ARGV[3], 'actor', ARGV[6], 'queue', ARGV[7])
if (ARGV[8] or '') == '' then redis.call('HDEL', KEYS[3], 'rate') else redis.call('HSET', KEYS[3], 'rate', ARGV[8]) end
redis.call('PERSIST', KEYS[3])
redis.call('PUBLISH', ARGV[5], 'PROGRESS')
return 1
