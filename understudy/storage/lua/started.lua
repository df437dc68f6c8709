-- started: the bodies of held messages have begun.
-- KEYS: 1 clock, 2 this worker's started marks, then streams and records by number
-- ARGV: 1 group, 2 worker, then for each: stream, entry, delivery token, mark ("1", or "alone" when nothing else runs in
--       the process), record (0: none; negative: not tracked, only the delivery is noted), channel, actor, queue
-- Reply: how many were marked; one that is not held any more is passed over
-- Safe to resend: the same marks are written again.
local at = now(KEYS[1])
local marked = 0
room(KEYS[1]) -- a body begins when the server is full, too
for i = 3, #ARGV, 8 do
  local stream, entry = KEYS[tonumber(ARGV[i])], ARGV[i + 1]
  if held(stream, ARGV[1], entry) then
    redis.call('HSET', KEYS[2], mark_of(stream, entry), ARGV[i + 3])
    marked = marked + 1
    local number = tonumber(ARGV[i + 4])
    local record = KEYS[math.abs(number)]
    if number == 0 then record = nil end
    local seen = record and redis.pcall('HMGET', record, 'state', 'expires_at', 'by')
    -- A key that holds something else must not keep the neighbours from being marked.
    if seen and not seen.err then
      local live = not (seen[1] and terminal(seen[1])) or expired(seen[2], at)
      local fresh = seen[3] ~= ARGV[i + 2]
      if live and fresh then
        if seen[1] and terminal(seen[1]) then redis.call('DEL', record) end
        -- Whoever revokes the message must know that its body runs, tracked or not.
        redis.call('HSET', record, 'v', '1', 'by', ARGV[i + 2])
        redis.call('PERSIST', record)
      end
      -- Progress that this delivery has told already is not taken back; who tells it, and since when, it did not say.
      if live and number > 0 and (fresh or seen[1] == 'PROGRESS') then
        redis.call('HSET', record, 'worker', ARGV[2], 'started_at', at)
        redis.call('HDEL', record, 'next_run')
      end
      if live and number > 0 and fresh then
        redis.call('HSET', record, 'state', 'STARTED', 'actor', ARGV[i + 6], 'queue', ARGV[i + 7])
        redis.call('PUBLISH', ARGV[i + 5], 'STARTED')
      end
    end
  end
end
return marked
