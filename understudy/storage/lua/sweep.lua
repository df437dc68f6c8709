-- sweep: removes a page of the records of a workflow whose time is over, and at the end the workflow.
-- KEYS: 1 clock, 2 the workflow, 3 its ended nodes, 4 ended workflows, 5.. records
-- ARGV: 1 name of the workflow, 2 number of the page, 3 "1" when it is the last one
-- Reply: 1 removed; 0 there is nothing to sweep (any more), or its time is not over; -1 that is not the next page
-- Safe to resend: the number of the page has changed then.
local flow = redis.call('HMGET', KEYS[2], 'v', 'state', 'expires_at', 'swept')
if not flow[1] then redis.call('ZREM', KEYS[4], ARGV[1]) end
if not flow[2] or not expired(flow[3], now(KEYS[1])) then return 0 end
if (flow[4] or '0') ~= ARGV[2] then return -1 end
for i = 5, #KEYS do redis.call('UNLINK', KEYS[i]) end
if ARGV[3] == '1' then
  redis.call('UNLINK', KEYS[2], KEYS[3])
  redis.call('ZREM', KEYS[4], ARGV[1])
else
  redis.call('HSET', KEYS[2], 'swept', ARGV[2] + 1)
end
return 1
