-- item: closes the item that was worked on and opens the next one, in one round trip.
-- KEYS: 1 stream, 2 items
-- ARGV: 1 group, 2 entry, 3 delivery token, 4 item to close ("" for none), 5 its mark ("" forgets the intent: put off),
--       6 item to open ("" for none), 7 what to do with an item in doubt ("repeat" or "skip")
-- Marks: "1" done; "!..." failed for good, with the reason; "?token" begun by that delivery and never closed.
-- Reply: {"lost"}           this delivery does not hold the message any more, nothing was written
--        {"open"}           the next item may be worked on: its intent is stored
--        {"repeat"}         the same, but an earlier delivery died while working on it
--        {"doubt"}          an earlier delivery died while working on it: left alone
--        {"closed", mark}   it is done or failed already
--        {"ok"}             nothing was to be opened
-- Safe to resend: an intent under the own token counts as fresh.
if not held(KEYS[1], ARGV[1], ARGV[2]) then return {'lost'} end
local intent = '?' .. ARGV[3]
if ARGV[4] ~= '' then
  if ARGV[5] ~= '' then redis.call('HSET', KEYS[2], ARGV[4], ARGV[5])
  elseif redis.call('HGET', KEYS[2], ARGV[4]) == intent then redis.call('HDEL', KEYS[2], ARGV[4]) end
end
if ARGV[6] == '' then return {'ok'} end
local mark = redis.call('HGET', KEYS[2], ARGV[6])
if mark and mark ~= intent then
  if string.sub(mark, 1, 1) ~= '?' then return {'closed', mark} end
  if ARGV[7] == 'skip' then return {'doubt'} end
  redis.call('HSET', KEYS[2], ARGV[6], intent)
  return {'repeat'}
end
redis.call('HSET', KEYS[2], ARGV[6], intent)
-- What is remembered of an earlier end must not expire under a run that goes on with it.
redis.call('PERSIST', KEYS[2])
return {'open'}
