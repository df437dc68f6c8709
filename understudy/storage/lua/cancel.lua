-- cancel: takes every delayed copy of a message away, and records that it was revoked. A copy that has come due is not touched.
-- KEYS: 1 clock, 2 delayed, 3 payloads, 4 ids, 5 state record, then those that the operations mean
-- ARGV: 1 message id, 2 token of this call, 3 number of operations, then the operations (`state` first, `marks`, `free`,
--       `claim` and `turn`): what is recorded, unless the message has ended. A claim is released only if it is kept for this message
-- Reply: how many copies were taken away; 0 none waits; an error when a key holds what it must not, or a
--        command failed: nothing was done
-- Safe to resend: nothing waits any more. The record keeps the token, so that the reply is the same; without a record, that
-- is where the message had ended before, a resend says 0.
local at = now(KEYS[1])
local ops, position = {}, 4
for i = 1, tonumber(ARGV[3]) do ops[i], position = parse(ARGV, position) end
local queue = { name = 'later', 2, 3, 4 }
if not fits(queue) then return {err = 'WRONGTYPE a key of the queue holds something else; nothing was cancelled'} end
for i = 1, #ops do
  if not fits(ops[i]) then return {err = 'WRONGTYPE a record holds something else; nothing was cancelled'} end
end
local waiting = {}
for _, member in ipairs(copies(ARGV[1], redis.call('HGET', KEYS[4], ARGV[1]))) do
  local due = redis.call('ZSCORE', KEYS[2], member)
  if due then waiting[#waiting + 1] = { member = member, due = due } end
end
if #waiting == 0 then
  local by = redis.call('HGET', KEYS[5], 'by') or ''
  local start = ARGV[2] .. '/'
  return string.sub(by, 1, #start) == start and tonumber(string.sub(by, #start + 1)) or 0
end
look(ops[1])
for i = 2, #ops do
  if ops[i].name == 'claim' then
    look(ops[i])
    ops[i].gone = ops[i].found.status ~= 'kept' or ops[i].found.owner ~= ARGV[1]
  end
end
local ended = ops[1].over and not expired(ops[1].found.expires_at, at)

room(KEYS[1]) -- it makes some itself
local removed = 0
local failed = all_or_none(function()
  if ended then only_free(ops) end
  apply(ops, at)
  if not ended then
    redis.call('HSET', KEYS[5], 'by', ARGV[2] .. '/' .. #waiting)
  end
  for i, one in ipairs(waiting) do
    redis.call('ZREM', KEYS[2], one.member)
    removed = i
  end
end, ops)
if failed then
  for i = 1, removed do redis.pcall('ZADD', KEYS[2], waiting[i].due, waiting[i].member) end
  return {err = failed}
end
close_ranks(at)
-- Without its place in the order a copy is nothing; that its payload is left behind harms nobody.
for _, one in ipairs(waiting) do redis.pcall('HDEL', KEYS[3], one.member) end
redis.pcall('HDEL', KEYS[4], ARGV[1])
return #waiting
