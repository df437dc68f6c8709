-- item: closes the items that were worked on and opens the next ones, in one round trip.
-- KEYS: 1 stream, 2 items, 3 the started marks of the worker that holds the message
-- ARGV: 1 group, 2 entry, 3 delivery token, 4 what to do with an item in doubt ("repeat" or "skip"), 5 how many to close,
--       then pairs item, mark ("" forgets the own intent: put off, or not begun), then the items to open
-- Marks: "1" done; "!..." failed for good, with the reason; "?token" begun by that delivery and never closed; "??token" the
--        same, of one that was in doubt before; "@..." what is remembered of the loop as a whole, under the loop's name.
-- Reply: {"lost"}  this delivery does not hold the message any more, nothing was written
--        {"held"}  then for each item to open two: a verdict and a mark, which is empty but for "closed":
--          "open"    it may be worked on: its intent is stored
--          "repeat"  the same, but an earlier delivery died while working on it
--          "doubt"   an earlier delivery died while working on it: left alone
--          "closed"  it is done or failed already
-- Safe to resend: an intent under the own token is answered as it was the first time.
if not held(KEYS[1], ARGV[1], ARGV[2]) then return {'lost'} end
local fresh, doubtful = '?' .. ARGV[3], '??' .. ARGV[3]
room(KEYS[1]) -- what is worked on goes on when the server is full
local behind = 5 + 2 * tonumber(ARGV[5])
local finished = false
for i = 6, behind, 2 do
  -- What is remembered of the loop changes when an item is over.
  finished = finished or string.sub(ARGV[i + 1], 1, 1) == '@'
  if ARGV[i + 1] ~= '' then redis.call('HSET', KEYS[2], ARGV[i], ARGV[i + 1])
  elseif begun_by(ARGV[3], redis.call('HGET', KEYS[2], ARGV[i])) then redis.call('HDEL', KEYS[2], ARGV[i]) end
end
if finished then
  -- Should the process die, the body has come on since it began: its deaths are counted anew (reap.lua).
  local field = mark_of(KEYS[1], ARGV[2])
  local mark = redis.call('HGET', KEYS[3], field)
  if mark and not came_on(mark) then redis.call('HSET', KEYS[3], field, mark .. '+') end
end
local reply = {'held'}
local function say(verdict, mark)
  reply[#reply + 1] = verdict
  reply[#reply + 1] = mark or ''
end
for i = behind + 1, #ARGV do
  local item = ARGV[i]
  local mark = redis.call('HGET', KEYS[2], item)
  if not mark then
    redis.call('HSET', KEYS[2], item, fresh)
    say('open')
  elseif mark == fresh then say('open')
  elseif mark == doubtful then say('repeat')
  elseif string.sub(mark, 1, 1) ~= '?' then say('closed', mark)
  elseif ARGV[4] == 'skip' then say('doubt')
  else
    redis.call('HSET', KEYS[2], item, doubtful)
    say('repeat')
  end
end
-- What is remembered of an earlier end must not expire under a run that goes on with it.
redis.call('PERSIST', KEYS[2])
return reply
