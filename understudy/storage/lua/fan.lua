-- fan: moves a page of the members of a group to their queues.
-- KEYS: 1 clock, 2 the workflow, 3 what is to be moved, then those that the operations mean
-- ARGV: 1 name of the workflow and the node, 2 node, 3 number of the page, 4 "1" when it is the last one, 5 number of
--       operations, then the operations (`add` and `later`; `begin` for a member that begins with a group)
-- Reply: 1 moved; 0 there is nothing to move (any more); -1 somebody else has moved this page meanwhile; an error when a key
--        holds what it must not, or a command failed: nothing was moved
-- Safe to resend: the number of the page has changed then.
local flow = redis.call('HMGET', KEYS[2], 'c' .. ARGV[2], 'state')
if not flow[1] or flow[2] then
  -- All is moved, or the workflow has ended: nobody waits for the others any more.
  redis.call('SREM', KEYS[3], ARGV[1])
  if flow[1] then redis.call('HDEL', KEYS[2], 'c' .. ARGV[2]) end
  return 0
end
if flow[1] ~= ARGV[3] then return -1 end
local at = now(KEYS[1])
local ops, position = {}, 6
for i = 1, tonumber(ARGV[5]) do ops[i], position = parse(ARGV, position) end
for i = 1, #ops do
  if not fits(ops[i]) then return {err = 'WRONGTYPE a key of the queue holds something else; nothing was moved'} end
end
room(KEYS[1]) -- these messages are accepted
local failed = all_or_none(function()
  apply(ops, at)
  if ARGV[4] == '1' then redis.call('HDEL', KEYS[2], 'c' .. ARGV[2])
  else redis.call('HSET', KEYS[2], 'c' .. ARGV[2], ARGV[3] + 1) end
end, ops)
if failed then return {err = failed} end
-- One that is left behind is found to have nothing to move.
if ARGV[4] == '1' then redis.pcall('SREM', KEYS[3], ARGV[1]) end
return 1
