-- claim: a delivery asks to be the one holder of an idempotency key.
-- KEYS: 1 clock, 2 claim, 3 the items remembered under the key, 4 the message's record,
--       5.. the streams of the message's queue, by number
-- ARGV: 1 delivery token (queue/stream number/entry), 2 message id, 3 group, 4 the queue, 5 ms for which a holder in another
--       queue is believed, 6 a message whose outcome went on as a workflow and is worth nothing any more ("" for none): what
--       is committed under the key in its name does not count, 7 "told" if it will be told when the body begins (begin.lua)
-- A claim's status: "running" as long as its delivery is held; "kept" for a retry of its owner; "done" with a result,
-- until its TTL ends; "free" after a failure for good, as long as the items that were done are remembered.
-- Reply: {"run", ""}                  claimed: run the body
--        {"takeover", owner}          claimed, but an earlier holder died while running the body, or before, if it did not
--                                     tell when that began
--        {"done", owner, result}      an outcome is committed under this key: here it is
--        {"finished", state}          the message itself has ended, under another key: nothing is claimed
--        {"lost", ""}                 the message is not held by this delivery any more: nothing is claimed
--        {"busy", owner, wait}        held by a live twin (wait is -1), or kept for a retry of it for `wait` ms
-- Safe to resend: the same token gets the same claim and the same answer.
local at = now(KEYS[1])
local claim = redis.call('HMGET', KEYS[2], 'status', 'owner', 'token', 'until', 'result', 'after', 'waits')
local status, owner, token, deadline = claim[1], claim[2], claim[3], tonumber(claim[4] or '0')

-- A delivery lives while its entry is pending: whoever gives back what a dead worker held removes the entry.
local function lives(token, deadline)
  local number, entry = string.match(token, '^' .. string.gsub(ARGV[4], '%p', '%%%0') .. '/(%d)/(.*)$')
  if not number then return deadline > at end
  return held(KEYS[4 + tonumber(number)], ARGV[3], entry)
end

if status == 'done' and owner == ARGV[6] then deadline = 0 end
if not lives(ARGV[1], 0) then return {'lost', ''} end
local after = false
if status == 'done' and deadline > at then return {'done', owner, claim[5] or ''} end
if status ~= 'running' or token ~= ARGV[1] then
  local record = redis.call('HMGET', KEYS[4], 'state', 'expires_at')
  if record[1] and terminal(record[1]) and not expired(record[2], at) then return {'finished', record[1]} end
end
if status == 'running' then
  if token == ARGV[1] then after = claim[6]
  elseif lives(token, deadline) then return {'busy', owner, -1}
  -- Its body had not begun: there is nothing in doubt but what it has found so.
  elseif claim[7] then after = claim[6]
  else after = owner end
end
if status == 'kept' then after = claim[6] end
if status == 'kept' and owner ~= ARGV[2] and deadline > at then return {'busy', owner, deadline - at} end
-- What was done for an outcome whose time is over does not count any more.
if (status == 'done' or status == 'free') and deadline <= at then redis.call('DEL', KEYS[3]) end
redis.call('PERSIST', KEYS[3])
redis.call('DEL', KEYS[2])
redis.call('HSET', KEYS[2], 'v', '1', 'status', 'running', 'owner', ARGV[2], 'token', ARGV[1],
  'until', at + tonumber(ARGV[5]))
if ARGV[7] == 'told' then redis.call('HSET', KEYS[2], 'waits', '1') end
if not after then return {'run', ''} end
redis.call('HSET', KEYS[2], 'after', after)
return {'takeover', after}
