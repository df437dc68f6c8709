-- claims: deliveries that were fetched together ask ahead for their idempotency keys, those of them that nobody has used.
-- A body that begins soon needs no round trip of its own then. Whatever is not as simple as that is left alone, and asks
-- again when it begins (claim.lua): a key that is held, kept, done or remembers items; a message that has ended.
-- A claim of a delivery that does not run after all stands in nobody's way: its entry is not pending any more.
-- KEYS: 1 clock, then for each: claim, the items remembered under the key, the message's record, its stream
-- ARGV: 1 ms for which a holder in another queue is believed, 2 group, then for each: delivery token, entry, message id
-- Reply: a letter for each: "r" claimed: run the body; "-" not claimed, or not held any more
-- Safe to resend: the same token is told the same.
local at = now(KEYS[1])
local replies = {}
room(KEYS[1]) -- a body begins when the server is full, too
for i = 1, (#ARGV - 2) / 3 do
  local claim, items, record, stream = KEYS[4 * i - 2], KEYS[4 * i - 1], KEYS[4 * i], KEYS[4 * i + 1]
  local token, entry, id = ARGV[3 * i], ARGV[3 * i + 1], ARGV[3 * i + 2]
  local found = redis.pcall('HMGET', claim, 'status', 'token', 'after')
  local seen = redis.pcall('HMGET', record, 'state', 'expires_at')
  replies[i] = '-'
  -- A key that holds something else must not keep the neighbours from theirs.
  if not found.err and not seen.err then
    local ended = seen[1] and terminal(seen[1]) and not expired(seen[2], at)
    if found[1] == 'running' and found[2] == token and not found[3] then
      replies[i] = 'r'
    elseif not found[1] and not ended and redis.call('EXISTS', items) == 0 and held(stream, ARGV[2], entry) then
      redis.call('HSET', claim, 'v', '1', 'status', 'running', 'owner', id, 'token', token, 'until', at + tonumber(ARGV[1]))
      replies[i] = 'r'
    end
  end
end
return table.concat(replies)
