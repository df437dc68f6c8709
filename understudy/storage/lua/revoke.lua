-- revoke: nobody shall run this message any more. One that waits, in a queue or for its time, has ended with it: the record
-- says so, and its delayed copies go. One whose body runs is left to its end, or stopped, by the worker that is told.
-- Whether a body runs is known by the started mark: the record names the delivery, and the server knows whether it is held.
-- KEYS: 1 clock, 2 revoked, 3 to be stopped, 4 state record, 5 items, 6 claim, 7 the items under it,
--       then delayed, payloads and ids of each queue, then the streams of the queue where it was run last, by number
-- ARGV: 1 message id, 2 "stop" ends a running body, "stay" does not, 3 ms for which it is remembered, 4 TTL in ms of the
--       record, 5 exception (encoded), 6 the record's channel, 7 channel of the workers, 8 group, 9 number of queues,
--       10 the delivery that the record names ("" for none), 11 the idempotency key that it names, 12 what goes on in its place
--       as far as that has been seen to ("" for nothing), 13 the copy that waits in a line and was read ("" for none),
--       14 number of operations, then the operations (`step`, of a message of a workflow; `turn`, of one that leaves a line)
-- Reply: {"revoked", ""}  it has ended: REVOKED
--        {"running", state}  its body runs; no other delivery of it will
--        {"ended", state}  it had ended before: nothing was done
--        {"instead", id}  that goes on in its place and must be seen to first: nothing was done
--        {"again", ""}  the record names another delivery, or key, by now: nothing was done
--        {"line", copy, payload}  a copy waits in the line of a limit, which the message names, and was not read: nothing was done
-- Safe to resend: what was revoked has ended.
local at = now(KEYS[1])
local id, queues = ARGV[1], tonumber(ARGV[9])
local record = redis.call('HMGET', KEYS[4], 'state', 'expires_at', 'by', 'claim', 'instead')
local state = record[1] or ''
local over = terminal(state)
local ops, position = {}, 15
for i = 1, tonumber(ARGV[14] or 0) do ops[i], position = parse(ARGV, position) end
for i = 1, #ops do
  if not fits(ops[i]) then return {err = 'WRONGTYPE a key of the workflow or of the limit holds something else; nothing was done'} end
end
if over and not expired(record[2], at) then
  -- Its workflow may not know yet, nor the server when the record goes: an earlier attempt went no further.
  if state == 'REVOKED' and redis.call('PTTL', KEYS[4]) == -1 then expire(KEYS[4], tonumber(record[2]) - at + 60000) end
  if #ops > 0 then
    room(KEYS[1])
    local failed = all_or_none(apply, ops, at)
    if failed then return {err = failed} end
  end
  return {'ended', state}
end
if not over and (record[5] or '') ~= ARGV[12] then return {'instead', record[5] or ''} end
if not over and ((record[3] or '') ~= ARGV[10] or (record[4] or '') ~= ARGV[11]) then return {'again', ''} end

local running = false
if not over and ARGV[10] ~= '' then
  local number, entry = string.match(ARGV[10], '/(%d)/([^/]*)$')
  running = number and held(KEYS[7 + 3 * queues + tonumber(number)], ARGV[8], entry)
end
local waiting = {}
local was_read, unread = running, nil
for i = 1, queues do
  waiting[i] = copies(id, redis.call('HGET', KEYS[7 + 3 * i], id))
  for _, member in ipairs(waiting[i]) do
    local body = redis.call('HGET', KEYS[6 + 3 * i], member)
    if member == ARGV[13] then was_read = true
    elseif body and string.find(body, '"in_line":', 1, true) then unread = {'line', member, body} end
  end
end
-- Of several copies all stand in line as one.
if unread and not was_read then return unread end

room(KEYS[1]) -- it makes some itself
redis.call('ZADD', KEYS[2], at + tonumber(ARGV[3]), id)
redis.call('ZREMRANGEBYSCORE', KEYS[2], '-inf', at)
redis.call('ZREMRANGEBYSCORE', KEYS[3], '-inf', at)
-- Of what does not run nobody may begin any more: a body that has begun this very moment is stopped.
local order = (running and ARGV[2] == 'stay') and 'stay' or 'stop'
if order == 'stop' then redis.call('ZADD', KEYS[3], at + tonumber(ARGV[3]), id) end
redis.pcall('PUBLISH', ARGV[7], order .. ' ' .. id)
if running then return {'running', state} end

for i, members in ipairs(waiting) do
  for _, member in ipairs(members) do
    redis.call('ZREM', KEYS[5 + 3 * i], member)
    redis.call('HDEL', KEYS[6 + 3 * i], member)
  end
  redis.call('HDEL', KEYS[7 + 3 * i], id)
end
local ttl = tonumber(ARGV[4])
if ARGV[11] ~= '' and not over then
  -- What was kept for a retry that will not come is free; what was done under it is remembered as after a failure.
  local claim = redis.call('HMGET', KEYS[6], 'status', 'owner')
  if claim[1] == 'kept' and claim[2] == id then
    redis.call('DEL', KEYS[6])
    if redis.call('EXISTS', KEYS[7]) == 1 then
      redis.call('HSET', KEYS[6], 'v', '1', 'status', 'free', 'until', at + ttl)
      expire(KEYS[6], ttl + 60000)
      expire(KEYS[7], ttl + 60000)
    end
  end
end
-- That it has ended is said when all else is done: an attempt that fails before is made again from the beginning.
if over then redis.call('DEL', KEYS[4]) else redis.call('HDEL', KEYS[4], 'next_run', 'traceback', 'result', 'claim') end
expire(KEYS[5], ttl + 60000)
redis.call('HSET', KEYS[4], 'v', '1', 'state', 'REVOKED', 'exception', ARGV[5], 'done_at', at, 'expires_at', at + ttl)
expire(KEYS[4], ttl + 60000)
redis.pcall('PUBLISH', ARGV[6], 'REVOKED')
local failed = all_or_none(apply, ops, at)
if failed then return {err = failed} end
close_ranks(at)
return {'revoked', ''}
