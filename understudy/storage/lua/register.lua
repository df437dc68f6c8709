-- register: the jobs that the leader's code has, all of them. A new one begins now; one whose schedule is another one now
-- begins anew; one that is not among them has vanished: nothing is left of it but its history, for a while.
-- KEYS: 1 clock, 2 leader, 3 schedules, 4 paused, 5 requests, then the jobs, then job and runs of each that has vanished
-- ARGV: 1 the scheduler, 2 its term, 3 ms for which history of vanished jobs is kept, 4 number of jobs, then name, schedule
--       and definition of each, then the names of those that have vanished
-- Reply: {"deposed"}, or {now, paused names and values in turn, requests and their ids in turn, then for each job {epoch,
--        after}}: ticks are counted from the epoch, and those up to `after` are over
-- Safe to resend: what is there already is left as it is.
local found = redis.call('HMGET', KEYS[2], 'id', 'term')
if found[1] ~= ARGV[1] or found[2] ~= ARGV[2] then return {'deposed'} end
local at, count, jobs = now(KEYS[1]), tonumber(ARGV[4]), {}
for i = 1, count do
  jobs[i] = redis.call('HMGET', KEYS[5 + i], 'schedule', 'epoch', 'after')
end
local reply = {at, redis.call('HGETALL', KEYS[4]), redis.call('HGETALL', KEYS[5])}
for i = 1, count do
  local name, schedule, definition = ARGV[2 + 3 * i], ARGV[3 + 3 * i], ARGV[4 + 3 * i]
  local epoch, after = jobs[i][2], jobs[i][3]
  redis.call('HSET', KEYS[3], name, definition)
  if jobs[i][1] ~= schedule then
    -- Ticks of the old schedule are over, and the new one has none before now. A clock that was put back takes none back.
    epoch, after = at, math.max(at, tonumber(after) or 0)
    redis.call('HSET', KEYS[5 + i], 'v', '1', 'schedule', schedule, 'epoch', epoch, 'after', after)
  end
  reply[3 + i] = {tonumber(epoch), tonumber(after)}
end
for i = 5 + 3 * count, #ARGV do
  local first = 6 + count + 2 * (i - 5 - 3 * count)
  redis.call('HDEL', KEYS[3], ARGV[i])
  redis.call('DEL', KEYS[first])
  expire(KEYS[first + 1], tonumber(ARGV[3]))
end
return reply
