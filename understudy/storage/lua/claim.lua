-- claim: a delivery asks to be the one holder of an idempotency key.
-- KEYS: 1 clock, 2 claim, 3 items remembered under the key
-- ARGV: 1 delivery token, 2 message id, 3 lease in milliseconds
-- A claim's status: "running" until the lease ends; "kept" for a retry of its owner; "done" with a result, until its
-- TTL ends; "free" after a failure for good, as long as the items that were done are remembered.
-- Reply: {"run", ""}                  claimed: run the body
--        {"takeover", owner}          claimed, but an earlier holder died while running the body
--        {"done", owner, result}      an outcome is committed under this key: here it is
--        {"busy", owner, wait}        held by a live twin, or kept for a retry of it; look again in `wait` ms
-- In doubt is only what `begin` has let into its body ("entered"). A delivery that has not been let in may be replaced
-- at once by another one of the same message: `begin` will refuse it.
-- Safe to resend: the same token gets the same claim and the same answer.
local at = now(KEYS[1])
local claim = redis.call('HMGET', KEYS[2], 'status', 'owner', 'token', 'until', 'result', 'after', 'entered')
local status, owner, token, deadline = claim[1], claim[2], claim[3], tonumber(claim[4] or '0')
local after = false
if status == 'done' and deadline > at then return {'done', owner, claim[5] or ''} end
if status == 'running' then
  if token == ARGV[1] then after = claim[6]
  elseif deadline > at and (claim[7] or owner ~= ARGV[2]) then return {'busy', owner, deadline - at}
  elseif claim[7] then after = owner
  else after = claim[6] end
end
if status == 'kept' and owner ~= ARGV[2] and deadline > at then return {'busy', owner, deadline - at} end
-- What was done for an outcome whose time is over does not count any more.
if (status == 'done' or status == 'free') and deadline <= at then redis.call('DEL', KEYS[3]) end
redis.call('PERSIST', KEYS[3])
redis.call('DEL', KEYS[2])
redis.call('HSET', KEYS[2], 'v', '1', 'status', 'running', 'owner', ARGV[2], 'token', ARGV[1],
  'until', at + tonumber(ARGV[3]))
if not after then return {'run', ''} end
redis.call('HSET', KEYS[2], 'after', after)
return {'takeover', after}
