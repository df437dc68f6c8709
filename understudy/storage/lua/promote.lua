-- promote: moves delayed messages that are due to their stream, a bounded number at a time.
-- KEYS: 1 clock, 2 delayed, 3 payloads, 4 ids, 5.. the streams of the queue, by number
-- ARGV: 1 how many at the most
-- Reply: {number moved, ms until the next one is due or -1 when none waits}
-- Safe to resend: what was moved is not delayed any more.
local at = now(KEYS[1])
local due = redis.call('ZRANGEBYSCORE', KEYS[2], '-inf', at, 'LIMIT', 0, tonumber(ARGV[1]))
if #due > 0 then room(KEYS[1]) end -- what was accepted goes on when the server is full
for _, member in ipairs(due) do
  local body = redis.call('HGET', KEYS[3], member)
  if body then
    local number, deaths, size, at_payload = string.match(body, '^(%d),?([%d/]*),?(%d*):()')
    local payload = at_payload + (tonumber(size) or 0)
    -- First, because it may fail: the message stays delayed then.
    local level, text = 4 + tonumber(number), string.sub(body, payload)
    if deaths == '' then redis.call('XADD', KEYS[level], '*', 'm', text)
    else redis.call('XADD', KEYS[level], '*', 'm', text, 'd', deaths, 'w', string.sub(body, at_payload, payload - 1)) end
    redis.call('HDEL', KEYS[3], member)
    local id = string.match(member, '^(.*)|[^|]*$')
    local members = redis.call('HGET', KEYS[4], id)
    if members then
      local kept = {}
      for _, one in ipairs(copies(id, members)) do if one ~= member then kept[#kept + 1] = one end end
      if #kept > 0 then redis.call('HSET', KEYS[4], id, table.concat(kept, ' ')) else redis.call('HDEL', KEYS[4], id) end
    end
  end
  redis.call('ZREM', KEYS[2], member)
end
local first = redis.call('ZRANGE', KEYS[2], 0, 0, 'WITHSCORES')
if not first[2] then return {#due, -1} end
return {#due, math.max(0, tonumber(first[2]) - at)}
