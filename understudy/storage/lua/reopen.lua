-- reopen: takes back that nodes of a workflow have ended, a page at a time. Nothing runs by that: `relaunch` comes at the end.
-- KEYS: 1 the workflow, 2 its ended nodes, 3.. records of the nodes, in turn
-- ARGV: 1 what the workflow says of its earlier resumes, 2 "back" also takes back what followed from the end: it is not counted
--       in its group any more, its strand has not stopped; "wipe" only forgets it, as part of what is run anew, then for each
--       node: number, group above ("-" for none), strand ("-" for a member that is one message), "g" for a group, else "t"
-- Reply: 1 done; 0 the workflow is not as it was seen: somebody else resumes it, or it goes on
-- Safe to resend: what was taken back is not there any more.
local flow = redis.call('HMGET', KEYS[1], 'v', 'resumed')
if not flow[1] or (flow[2] or '0') ~= ARGV[1] then return 0 end
for i = 3, #ARGV, 4 do
  local n, up, strand, kind = ARGV[i], ARGV[i + 1], ARGV[i + 2], ARGV[i + 3]
  local record = KEYS[3 + (i - 3) / 4]
  local counted
  if strand == '-' then counted = redis.call('GETBIT', KEYS[2], n) == 1
  else counted = redis.call('HGET', KEYS[1], 'x' .. strand) == n end
  if kind == 't' then
    redis.call('SETBIT', KEYS[2], n, 0)
    redis.call('DEL', record)
  end
  if ARGV[2] == 'wipe' then
    redis.call('HDEL', KEYS[1], 'x' .. strand)
    if kind == 'g' then redis.call('HDEL', KEYS[1], 'd' .. n, 'e' .. n, 'f' .. n, 'c' .. n) end
  elseif counted then
    redis.call('HDEL', KEYS[1], 'x' .. strand)
    if kind == 'g' then redis.call('HDEL', KEYS[1], 'f' .. n) end
    if up ~= '-' then
      redis.call('HINCRBY', KEYS[1], 'e' .. up, -1)
      redis.call('HDEL', KEYS[1], 'f' .. up)
    end
  end
end
return 1
