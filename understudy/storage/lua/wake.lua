-- wake: places whose holders are dead are free again; the first in line are woken for them. Who should have come for his turn
-- under a rate, and did not, is waited for no more; those behind him are called forward.
-- KEYS: 1 clock, 2 head, 3 uses, 4 line, 5 due of the limit, then for each queue its streams, delayed and ids
-- ARGV: 1 group, 2 channel to wake, then the names of the queues
-- Reply: how many places are free, before those who are woken take theirs; -1 when it is no limit of places
-- Safe to resend: whoever was woken is not woken again.
local at = now(KEYS[1])
local kind = redis.call('TYPE', KEYS[2])
if (kind.ok or kind) ~= 'hash' then return -1 end
local head = redis.call('HMGET', KEYS[2], 'kind', 'most')
if not head[1] then return -1 end
local queues = {}
for i = 3, #ARGV do
  local first = 6 + 5 * (i - 3)
  queues[ARGV[i]] = { KEYS[first], KEYS[first + 1], KEYS[first + 2], KEYS[first + 3], KEYS[first + 4] }
end
local limit = { head = KEYS[2], uses = KEYS[3], line = KEYS[4], due = KEYS[5], most = tonumber(head[2]) }
room(KEYS[1]) -- what waits goes on when the server is full
local give = turns(queues, ARGV[1], ARGV[2], at)
if head[1] ~= 'places' then
  give.look_after(limit)
  return -1
end
local free = give.free(limit, limit.most, true)
give.seats(limit, free)
return math.max(0, free)
