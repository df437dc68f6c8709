-- abort: revokes a workflow: it has ended, what waits is not run, and what runs is left to its end, or stopped.
-- KEYS: 1 clock, 2 revoked, 3 to be stopped, then those that the operation means
-- ARGV: 1 name of the workflow, 2 "stop" ends running bodies, "stay" does not, 3 ms for which it is remembered, 4 channel of the
--       workers, then the operation (`abort`)
-- Reply: 1 it is revoked; 0 it had ended before, or is not known: nothing was done; an error when a key holds what it must not,
--        or a command failed: nothing was done
-- Safe to resend: what was revoked has ended.
local at = now(KEYS[1])
local ops = { (parse(ARGV, 5)) }
if not fits(ops[1]) then return {err = 'WRONGTYPE a key of the workflow holds something else; nothing was done'} end
if not is_open(ops[1]) then return 0 end
room(KEYS[1]) -- it makes some itself
local found = { redis.call('ZSCORE', KEYS[2], ARGV[1]), redis.call('ZSCORE', KEYS[3], ARGV[1]) }
local failed = all_or_none(function()
  apply(ops, at)
  redis.call('ZADD', KEYS[2], at + tonumber(ARGV[3]), ARGV[1])
  if ARGV[2] == 'stop' then redis.call('ZADD', KEYS[3], at + tonumber(ARGV[3]), ARGV[1]) end
end, ops)
if failed then
  for i = 1, 2 do
    if found[i] then redis.pcall('ZADD', KEYS[1 + i], found[i], ARGV[1]) else redis.pcall('ZREM', KEYS[1 + i], ARGV[1]) end
  end
  return {err = failed}
end
redis.pcall('PUBLISH', ARGV[4], ARGV[2] .. ' ' .. ARGV[1])
return 1
