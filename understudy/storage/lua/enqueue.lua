-- enqueue: accepts messages, all of them or none.
-- KEYS: 1 clock, 2 what this producer sent last, then those that the operations mean
-- ARGV: 1 lane (a thread of the producer), 2 token of this call, 3 number of operations, then the operations
--       (`add` and `later`)
-- Reply: 1 accepted; 0 accepted before: this is a resend; an error when a key holds what it must not
-- Safe to resend: a lane sends one call at a time, so its last token tells.
if redis.call('HGET', KEYS[2], ARGV[1]) == ARGV[2] then return 0 end
local at = now(KEYS[1])
local ops, position = {}, 4
for i = 1, tonumber(ARGV[3]) do ops[i], position = parse(ARGV, position) end
for i = 1, #ops do
  if not fits(ops[i]) then return {err = 'WRONGTYPE a key of the queue holds something else; nothing was accepted'} end
end
-- The first write is one that a full server refuses, so that a refusal leaves nothing behind.
redis.call('HSET', KEYS[2], ARGV[1], ARGV[2])
redis.call('PEXPIRE', KEYS[2], 3600000)
for i = 1, #ops do APPLY[ops[i].name](ops[i], at) end
return 1
