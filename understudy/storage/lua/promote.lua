-- promote: moves delayed messages that are due to their stream, a bounded number at a time.
-- KEYS: 1 clock, 2.. of each queue six: delayed, payloads, ids, and its streams, by number
-- ARGV: 1 how many at the most, of all queues together
-- Reply: {number moved, ms until the next one is due or -1 when none waits}
-- Safe to resend: what was moved is not delayed any more.
local at, left, wait = now(KEYS[1]), tonumber(ARGV[1]), -1

local function promote(delayed, payloads, ids, streams)
  local due = redis.call('ZRANGEBYSCORE', KEYS[delayed], '-inf', at, 'LIMIT', 0, left)
  if #due > 0 then room(KEYS[1]) end -- what was accepted goes on when the server is full
  for _, member in ipairs(due) do
    local body = redis.call('HGET', KEYS[payloads], member)
    if body then
      local number, deaths, size, at_payload = string.match(body, '^(%d),?([%d/]*),?(%d*):()')
      local payload = at_payload + (tonumber(size) or 0)
      -- First, because it may fail: the message stays delayed then.
      local stream, text = streams + tonumber(number) - 1, string.sub(body, payload)
      if deaths == '' then redis.call('XADD', KEYS[stream], '*', 'm', text)
      else redis.call('XADD', KEYS[stream], '*', 'm', text, 'd', deaths, 'w', string.sub(body, at_payload, payload - 1)) end
      redis.call('HDEL', KEYS[payloads], member)
      local id = string.match(member, '^(.*)|[^|]*$')
      local members = redis.call('HGET', KEYS[ids], id)
      if members then
        local kept = {}
        for _, one in ipairs(copies(id, members)) do if one ~= member then kept[#kept + 1] = one end end
        if #kept > 0 then redis.call('HSET', KEYS[ids], id, table.concat(kept, ' ')) else redis.call('HDEL', KEYS[ids], id) end
      end
    end
    redis.call('ZREM', KEYS[delayed], member)
  end
  left = left - #due
  local first = redis.call('ZRANGE', KEYS[delayed], 0, 0, 'WITHSCORES')[2]
  if not first then return end
  local soon = math.max(0, tonumber(first) - at)
  if wait < 0 or soon < wait then wait = soon end
end

for queue = 2, #KEYS, 6 do promote(queue, queue + 1, queue + 2, queue + 3) end
return {tonumber(ARGV[1]) - left, wait}
