-- _prelude: put before every script.
-- now(clock_key): milliseconds since the epoch. The one source of time for every deadline: the server's own
-- TIME in production; in a test session the value that the testing kit keeps under the clock key of the test's
-- own namespace, so that frozen time drives a real server too.
local function now(clock_key)
  local frozen = redis.call('GET', clock_key)
  if frozen then return tonumber(frozen) end
  local t = redis.call('TIME')
  return t[1] * 1000 + math.floor(t[2] / 1000)
end

-- terminal(state): no state follows this one.
local function terminal(state)
  return state == 'SUCCESS' or state == 'FAILURE' or state == 'REVOKED'
end

-- expired(deadline, at): a stored deadline (milliseconds, or false for none) has passed.
local function expired(deadline, at)
  return deadline and (tonumber(deadline) or 0) <= at
end

-- pending(stream, group, ...): what XPENDING answers; nothing where the stream or its group is gone.
local function pending(...)
  local found = redis.pcall('XPENDING', ...)
  if not found.err then return found end
  local why = tostring(found.err)
  if string.find(why, 'NOGROUP', 1, true) or string.find(why, 'WRONGTYPE', 1, true) then return {} end
  return redis.call('XPENDING', ...)
end

-- held(stream, group, entry): a worker holds this delivery. An entry is delivered once, so it is the one who asks.
local function held(stream, group, entry)
  return #pending(stream, group, entry, entry, 1) > 0
end

-- mark_of(stream, entry): the field of a started mark. An entry's id alone is unique in its stream only.
local function mark_of(stream, entry) return stream .. ' ' .. entry end

-- A started mark is "1", or "alone" when nothing else runs in the process; with a "+" behind it when the body has finished an
-- item since (item.lua).
local function alone(mark) return mark and string.sub(mark, 1, 5) == 'alone' end
local function came_on(mark) return string.sub(mark, -1) == '+' end

-- counts(text): at how many deaths a body was running, since it finished an item, and in all: "1", or "1/7" (`Hold.counted`).
local function counts(text)
  local since, all = string.match(text or '', '^(%d+)/?(%d*)')
  return tonumber(since) or 0, tonumber(all) or tonumber(since) or 0
end

-- room(name): from here on this script may write although the server is full. A full server refuses the first write of a
-- script if it is one that needs memory, and asks no more after one that does not: this one, which does nothing to a key
-- that never expires. For what was accepted before, which must come to its end to make room; `enqueue` does without.
local function room(name) redis.call('PERSIST', name) end

-- expire(name, ms): a server refuses a TTL that ends beyond what it can count; this one ends in thirty thousand years.
local function expire(name, ms) redis.call('PEXPIRE', name, math.min(ms, 1e15)) end

-- copies(id, members): the delayed copies of a message, from what the queue's ids say. Each is the id, "|" and 16 characters;
-- they are told apart by their length, because an id may have blanks in it.
local function copies(id, members)
  local found, length = {}, #id + 17
  for i = 1, #(members or ''), length + 1 do found[#found + 1] = string.sub(members, i, i + length - 1) end
  return found
end

-- begun_by(token, mark): the mark of an item is an intent of this delivery, which did not close it yet.
local function begun_by(token, mark) return mark == '?' .. token or mark == '??' .. token end
