-- launch: accepts a workflow, and begins it.
-- KEYS: 1 clock, 2 what this producer sent last, 3 the workflow as it was put aside, 4 the workflow, 5 its ended nodes, then those
--       that the operation means
-- ARGV: 1 lane (a thread of the producer), 2 token of this call, 3 how many fields were put aside, 4 number of the last node,
--       5 how many further fields, then pairs field, value, then the operation (`begin`)
-- Reply: 1 accepted; 0 accepted before: this is a resend; -1 there is a workflow of this name; -2 what was put aside is gone;
--        an error when a key holds what it must not, a command failed, or the server is full: nothing was accepted
-- Safe to resend: as `enqueue` is.
local last = redis.call('HGET', KEYS[2], ARGV[1])
if last and (last == ARGV[2] or (tonumber(last) or -1) > (tonumber(ARGV[2]) or 1e300)) then return 0 end
if redis.call('EXISTS', KEYS[4]) == 1 then return -1 end
if redis.call('HLEN', KEYS[3]) ~= tonumber(ARGV[3]) then return -2 end
local at = now(KEYS[1])
local count = tonumber(ARGV[5])
local ops = { parse(ARGV, 6 + 2 * count) }
ops[2] = nil
if not fits(ops[1]) then return {err = 'WRONGTYPE a key holds something else; nothing was accepted'} end
-- The first write is one that a full server refuses, so that a refusal leaves nothing behind.
local failed = all_or_none(function()
  redis.call('HSET', KEYS[2], ARGV[1], ARGV[2])
  redis.call('PEXPIRE', KEYS[2], 3600000)
  for i = 6, 5 + 2 * count, 2 do redis.call('HSET', KEYS[3], ARGV[i], ARGV[i + 1]) end
  redis.call('HSET', KEYS[3], 'made_at', at)
  redis.call('RENAME', KEYS[3], KEYS[4])
  redis.call('PERSIST', KEYS[4])
  redis.call('SETBIT', KEYS[5], ARGV[4], 0)
  apply(ops, at)
end, ops)
if not failed then return 1 end
redis.pcall('DEL', KEYS[3], KEYS[4], KEYS[5])
-- A resend must not take the token for an acceptance.
redis.pcall('HDEL', KEYS[2], ARGV[1])
return {err = failed}
