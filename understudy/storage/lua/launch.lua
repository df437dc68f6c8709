-- launch: accepts a workflow, and begins it.
-- KEYS: 1 clock, 2 the workflow as it was put aside, 3 the workflow, 4 its ended nodes, then those that the operation means
-- ARGV: 1 token of this call, 2 how many fields were put aside, 3 number of the last node, 4 how many further fields, then pairs
--       field, value, then the operation (`begin`)
-- Reply: 1 accepted; 0 accepted before: this is a resend; -1 there is a workflow of this name; -2 what was put aside is gone;
--        an error when a key holds what it must not, a command failed, or the server is full: nothing was accepted
-- Safe to resend: the workflow keeps the token of the call that launched it.
if redis.call('EXISTS', KEYS[3]) == 1 then return redis.call('HGET', KEYS[3], 'token') == ARGV[1] and 0 or -1 end
if redis.call('HLEN', KEYS[2]) ~= tonumber(ARGV[2]) then return -2 end
local at = now(KEYS[1])
local count = tonumber(ARGV[4])
local ops = { (parse(ARGV, 5 + 2 * count)) }
if not fits(ops[1]) then return {err = 'WRONGTYPE a key holds something else; nothing was accepted'} end
-- The first write is one that a full server refuses, so that a refusal leaves nothing behind.
local failed = all_or_none(function()
  redis.call('HSET', KEYS[2], 'token', ARGV[1], 'made_at', at)
  for i = 5, 4 + 2 * count, 2 do redis.call('HSET', KEYS[2], ARGV[i], ARGV[i + 1]) end
  redis.call('RENAME', KEYS[2], KEYS[3])
  redis.call('PERSIST', KEYS[3])
  redis.call('SETBIT', KEYS[4], ARGV[3], 0)
  apply(ops, at)
end, ops)
if not failed then return 1 end
redis.pcall('DEL', KEYS[2], KEYS[3], KEYS[4])
return {err = failed}
