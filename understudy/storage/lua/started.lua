-- started: the bodies of held messages have begun.
-- KEYS: 1 clock, 2 this worker's started marks, then streams and records by number
-- ARGV: 1 group, 2 worker, then for each: stream, entry, delivery token, mark ("1", or "alone" when nothing else runs in
--       the process), record (0: not tracked), channel, actor, queue
-- Reply: how many were marked; one that is not held any more is passed over
-- Safe to resend: the same marks are written again.
local at = now(KEYS[1])
local marked = 0
for i = 3, #ARGV, 8 do
  local stream, entry = KEYS[tonumber(ARGV[i])], ARGV[i + 1]
  if held(stream, ARGV[1], entry) then
    redis.call('HSET', KEYS[2], entry, ARGV[i + 3])
    marked = marked + 1
    local record = KEYS[tonumber(ARGV[i + 4])]
    local seen = record and redis.pcall('HMGET', record, 'state', 'expires_at', 'by')
    -- A key that holds something else must not keep the neighbours from being marked.
    if seen and not seen.err then
      local live = not (seen[1] and terminal(seen[1])) or expired(seen[2], at)
      -- Progress that this delivery has told already is not taken back.
      if live and seen[3] ~= ARGV[i + 2] then
        if seen[1] and terminal(seen[1]) then redis.call('DEL', record) end
        redis.call('HSET', record, 'v', '1', 'state', 'STARTED', 'by', ARGV[i + 2], 'actor', ARGV[i + 6], 'queue', ARGV[i + 7],
          'worker', ARGV[2], 'started_at', at)
        redis.call('HDEL', record, 'next_run')
        redis.call('PERSIST', record)
        redis.call('PUBLISH', ARGV[i + 5], 'STARTED')
      end
    end
  end
end
return marked
