-- claims: deliveries that were fetched together ask ahead for their idempotency keys, those of them that nobody has used.
-- A body that begins soon needs no round trip of its own then. Whatever is not as simple as that is left alone, and asks
-- again when it begins (claim.lua): a key that is held, kept, done or remembers items; a message that has ended.
-- A claim of a delivery that does not run after all stands in nobody's way: its entry is not pending any more.
-- KEYS: 1 clock, then the streams, then for each: claim, the items remembered under the key, the message's record
-- ARGV: 1 ms for which a holder in another queue is believed, 2 group, 3 number of streams, then for each: its stream in KEYS,
--       delivery token, entry, message id
-- Reply: a letter for each: "r" claimed: run the body; "d" not claimed, and as it looks it does not run now: its outcome is
--        there, or the key is another's; "-" not claimed, or not held any more
-- Safe to resend: the same token is told the same.
local at = now(KEYS[1])
local count, before = (#ARGV - 3) / 4, 1 + tonumber(ARGV[3])
-- asks(i): the claim, the items and the record that i asks for, its stream, the token of its delivery, its entry, its message.
local function asks(i)
  local key, arg = before + 3 * i, 4 * i
  return KEYS[key - 2], KEYS[key - 1], KEYS[key], KEYS[tonumber(ARGV[arg])], ARGV[arg + 1], ARGV[arg + 2], ARGV[arg + 3]
end
room(KEYS[1]) -- a body begins when the server is full, too

-- As a rule nothing lies under any of these keys, and all entries are held: both are asked for all of them at once.
local untouched = count <= 4000
for i = 1, untouched and 3 or 0 do
  local name = {}
  for j = before + i, #KEYS, 3 do name[#name + 1] = KEYS[j] end
  untouched = untouched and redis.pcall('EXISTS', unpack(name)) == 0
end
local fetched = {}
for i = 1, count do
  local _, _, _, stream, _, entry = asks(i)
  fetched[stream] = fetched[stream] or { first = entry, held = {} }
  fetched[stream].last = entry
end
for stream, one in pairs(fetched) do
  for _, entry in ipairs(pending(stream, ARGV[2], one.first, one.last, 2 * count)) do one.held[entry[1]] = true end
end
local function is_held(stream, entry) return fetched[stream].held[entry] or held(stream, ARGV[2], entry) end
local believed = string.format('%.17g', at + tonumber(ARGV[1]))

-- twin(found, token, id, stream): the key is that of another delivery, or has its outcome, as far as can be seen from here.
local function twin(found, token, id, stream)
  if found[1] == 'done' then return not expired(found[4], at) end
  if found[1] == 'kept' then return found[5] ~= id and not expired(found[4], at) end
  local own = string.match(token, '^.*/')
  local theirs, entry = string.match(found[2] or '', '^(.*/)([^/]*)$')
  return found[1] == 'running' and theirs == own and is_held(stream, entry)
end

local taken = {}
-- claim(i): claims a key that nobody has used, if its delivery is held.
local function claim(i)
  local name, _, _, stream, token, entry, id = asks(i)
  if not is_held(stream, entry) then return false end
  taken[name] = true
  redis.call('HSET', name, 'v', '1', 'status', 'running', 'owner', id, 'token', token, 'until', believed)
  return true
end

-- look(i): the letter where something may lie under the keys.
local function look(i)
  local name, items, record, stream, token, _, id = asks(i)
  local found = redis.pcall('HMGET', name, 'status', 'token', 'after', 'until', 'owner')
  local seen = redis.pcall('HMGET', record, 'state', 'expires_at')
  -- A key that holds something else must not keep the neighbours from theirs.
  if found.err or seen.err then return '-' end
  if found[1] == 'running' and found[2] == token and not found[3] then return 'r' end
  local ended = seen[1] and terminal(seen[1]) and not expired(seen[2], at)
  if not found[1] and not ended and (untouched or redis.call('EXISTS', items) == 0) and claim(i) then return 'r' end
  return (ended or twin(found, token, id, stream)) and 'd' or '-'
end

local replies = {}
for i = 1, count do
  if untouched and not taken[KEYS[before + 3 * i - 2]] then replies[i] = claim(i) and 'r' or '-' else replies[i] = look(i) end
end
return table.concat(replies)
