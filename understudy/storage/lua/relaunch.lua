-- relaunch: lets a workflow go on whose nodes were reopened. What runs first lies in pages, as the members of a group do.
-- KEYS: 1 clock, 2 the workflow, 3 ended workflows, 4 what is to be moved
-- ARGV: 1 name of the workflow, 2 what it says of its earlier resumes, 3 what it says of this one, 4 number under which the pages
--       lie, 5 channel to wake, 6 channel of the workflow
-- Reply: 1 it goes on; 0 the workflow is not as it was seen: nothing was done; an error when a command failed: nothing was done
-- Safe to resend: it says then that it was resumed.
local flow = redis.call('HMGET', KEYS[2], 'v', 'resumed', 'resumed_at')
if flow[2] == ARGV[3] then return 1 end
if not flow[1] or (flow[2] or '0') ~= ARGV[2] then return 0 end
local fields = { 'state', 'done_at', 'expires_at', 'cause', 'doomed', 'swept' }
local at = now(KEYS[1])
local found = redis.call('HMGET', KEYS[2], unpack(fields))
local ends, name = redis.call('ZSCORE', KEYS[3], ARGV[1]), ARGV[1] .. ' ' .. ARGV[4]
local done, why = pcall(function()
  -- Steps whose time was over count it from here (`Expiry`).
  redis.call('HSET', KEYS[2], 'resumed', ARGV[3], 'resumed_at', at, 'c' .. ARGV[4], '0')
  redis.call('HDEL', KEYS[2], unpack(fields))
  redis.call('ZREM', KEYS[3], ARGV[1])
  redis.call('SADD', KEYS[4], name)
end)
if not done then
  redis.pcall('HDEL', KEYS[2], 'resumed', 'resumed_at', 'c' .. ARGV[4])
  if flow[2] then redis.pcall('HSET', KEYS[2], 'resumed', flow[2]) end
  if flow[3] then redis.pcall('HSET', KEYS[2], 'resumed_at', flow[3]) end
  for i, field in ipairs(fields) do
    if found[i] then redis.pcall('HSET', KEYS[2], field, found[i]) end
  end
  if ends then redis.pcall('ZADD', KEYS[3], ends, ARGV[1]) end
  return {err = type(why) == 'table' and why.err or tostring(why)}
end
redis.pcall('PUBLISH', ARGV[5], ARGV[1])
redis.pcall('PUBLISH', ARGV[6], 'PENDING')
return 1
