-- pump: moves a page of a published outcome to the queues.
-- KEYS: 1 clock, 2 the published letters, 3 the published outcomes, then those that the operations mean
-- ARGV: 1 name of the outcome, 2 how many letters it had when the page was read, 3 how many are in the page,
--       4 number of operations, then the operations (`add` and `later`, `unique` before those that may be refused)
-- Reply: how many letters are left, with the refusals after a blank if there are some; -1 when somebody else has moved this
--        page meanwhile: nothing was done; an error when a key holds what it must not, or a command failed
-- Safe to resend: the number of letters has changed then.
if redis.call('LLEN', KEYS[2]) ~= tonumber(ARGV[2]) then return -1 end
local at = now(KEYS[1])
local ops, position = {}, 5
for i = 1, tonumber(ARGV[4]) do ops[i], position = parse(ARGV, position) end
for i = 1, #ops do
  if not fits(ops[i]) then return {err = 'WRONGTYPE a key of the queue holds something else; nothing was moved'} end
end
room(KEYS[1]) -- these messages are accepted
local failed = all_or_none(function()
  apply(ops, at)
  redis.call('LTRIM', KEYS[2], tonumber(ARGV[3]), -1)
end, ops)
if failed then return {err = failed} end
local left_over = tonumber(ARGV[2]) - tonumber(ARGV[3])
if left_over <= 0 then redis.call('SREM', KEYS[3], ARGV[1]) end
local refused = refusals(ops)
return refused ~= '' and left_over .. ' ' .. refused or left_over
