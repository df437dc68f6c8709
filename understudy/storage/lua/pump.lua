-- pump: moves a page of a published outcome to the queues.
-- KEYS: 1 clock, 2 the published letters, 3 the published outcomes, then those that the operations mean
-- ARGV: 1 name of the outcome, 2 how many letters it had when the page was read, 3 how many are in the page,
--       4 number of operations, then the operations (`add` and `later`)
-- Reply: how many letters are left; -1 when somebody else has moved this page meanwhile: nothing was done;
--        an error when a key holds what it must not
-- Safe to resend: the number of letters has changed then.
if redis.call('LLEN', KEYS[2]) ~= tonumber(ARGV[2]) then return -1 end
local at = now(KEYS[1])
local ops, position = {}, 5
for i = 1, tonumber(ARGV[4]) do ops[i], position = parse(ARGV, position) end
for i = 1, #ops do
  if not fits(ops[i]) then return {err = 'WRONGTYPE a key of the queue holds something else; nothing was moved'} end
end
for i = 1, #ops do APPLY[ops[i].name](ops[i], at) end
redis.call('LTRIM', KEYS[2], tonumber(ARGV[3]), -1)
local left = tonumber(ARGV[2]) - tonumber(ARGV[3])
if left <= 0 then redis.call('SREM', KEYS[3], ARGV[1]) end
return left
