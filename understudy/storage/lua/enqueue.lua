-- enqueue: accepts messages, all of them or none, but for those whose unique key another message stands under.
-- KEYS: 1 clock, 2 what this producer sent last, then those that the operations mean
-- ARGV: 1 lane (a thread of the producer), 2 token of this call, 3 number of operations, then the operations
--       (`add` and `later`, `unique` before those that may be refused)
-- Reply: 1 accepted; 0 accepted before: this is a resend; a text when some were refused: which, and what stands (`refusals`);
--        an error when a key holds what it must not, when a command failed, or when the server is full
-- Safe to resend: a lane sends one call at a time and its tokens grow, so its last one tells, also of a copy of an earlier
-- call that was long on its way; what was refused is kept with it.
local last = redis.call('HGET', KEYS[2], ARGV[1])
if last and (last == ARGV[2] or (tonumber(last) or -1) > (tonumber(ARGV[2]) or 1e300)) then
  local kept = redis.call('HGET', KEYS[2], ARGV[1] .. ' refused') or ''
  local start = ARGV[2] .. ' '
  return string.sub(kept, 1, #start) == start and string.sub(kept, #start + 1) or 0
end
local at = now(KEYS[1])
local ops, position = {}, 4
for i = 1, tonumber(ARGV[3]) do ops[i], position = parse(ARGV, position) end
for i = 1, #ops do
  if not fits(ops[i]) then return {err = 'WRONGTYPE a key of the queue holds something else; nothing was accepted'} end
end
-- The first write is one that a full server refuses, so that a refusal leaves nothing behind.
local refused = ''
local failed = all_or_none(function()
  redis.call('HSET', KEYS[2], ARGV[1], ARGV[2])
  redis.call('PEXPIRE', KEYS[2], 3600000)
  apply(ops, at)
  refused = refusals(ops)
  if refused ~= '' then redis.call('HSET', KEYS[2], ARGV[1] .. ' refused', ARGV[2] .. ' ' .. refused) end
end, ops)
if not failed then return refused ~= '' and refused or 1 end
-- A resend must not take the token for an acceptance.
redis.pcall('HDEL', KEYS[2], ARGV[1])
return {err = failed}
