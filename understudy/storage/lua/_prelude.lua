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
