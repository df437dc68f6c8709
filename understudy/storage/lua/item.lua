-- item: closes the item that was worked on and opens the next one, in one round trip.
-- KEYS: 1 state record, 2 items
-- ARGV: 1 delivery token, 2 item to close ("" for none), 3 its mark ("" forgets the intent: put off), 4 item to open ("" for none),
--       5 what to do with an item in doubt ("repeat" or "skip")
-- Marks: "1" done; "!..." failed for good, with the reason; "?token" begun by that delivery and never closed.
-- Reply: {"lost"}           this delivery does not hold the message any more, nothing was written
--        {"open"}           the next item may be worked on: its intent is stored
--        {"repeat"}         the same, but an earlier delivery died while working on it
--        {"doubt"}          an earlier delivery died while working on it: left alone
--        {"closed", mark}   it is done or failed already
--        {"ok"}             nothing was to be opened
-- Safe to resend: an intent under the own token counts as fresh.
if redis.call('HGET', KEYS[1], 'holder') ~= ARGV[1] then return {'lost'} end
local intent = '?' .. ARGV[1]
if ARGV[2] ~= '' then
  if ARGV[3] ~= '' then redis.call('HSET', KEYS[2], ARGV[2], ARGV[3])
  elseif redis.call('HGET', KEYS[2], ARGV[2]) == intent then redis.call('HDEL', KEYS[2], ARGV[2]) end
end
if ARGV[4] == '' then return {'ok'} end
local mark = redis.call('HGET', KEYS[2], ARGV[4])
if mark and mark ~= intent then
  if string.sub(mark, 1, 1) ~= '?' then return {'closed', mark} end
  if ARGV[5] == 'skip' then return {'doubt'} end
  redis.call('HSET', KEYS[2], ARGV[4], intent)
  return {'repeat'}
end
redis.call('HSET', KEYS[2], ARGV[4], intent)
return {'open'}
