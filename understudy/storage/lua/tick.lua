-- tick: one fire time of a job is over, and has become a message if it shall. Claim and message are this one script.
-- A fire time that is not after the last one is refused, whoever asks: no tick is sent twice, with any number of schedulers.
-- KEYS: 1 clock, 2 leader, 3 job, 4 its runs, 5 paused, 6 requests, then those that the operations mean
-- ARGV: 1 the scheduler, 2 its term, 3 fire time in ms, 4 message id ("" when it becomes none), 5 name of the job, 6 request
--       that asked for it ("" for a tick), 7 runs that are kept, 8 note for them, 9 number of operations, then the
--       operations (`add`, `unique` before it if it may be refused)
-- Reply: {"sent", now}; {"overlap", now, the message that stands}; {"missed", now} when it became none; {"before", now}:
--        this very message was sent before: a resend; {"passed", after}: it was over already; {"deposed", term}: another one
--        leads; {"early", now}: its time has not come; {"paused"}; {"unknown"}: nobody has registered the job; an error
--        when a key holds what it must not, or a command failed, or the server is full: nothing was done
-- Safe to resend: the message of the last tick is known, and a request is there once.
local led = redis.call('HMGET', KEYS[2], 'id', 'term')
if led[1] ~= ARGV[1] or led[2] ~= ARGV[2] then return {'deposed', led[2] or '0'} end
local at, fire, id, request = now(KEYS[1]), tonumber(ARGV[3]), ARGV[4], ARGV[6]
local job = redis.call('HMGET', KEYS[3], 'after', 'message', 'asked')
if not job[1] then return {'unknown'} end
if request ~= '' then
  if redis.call('HEXISTS', KEYS[6], request) == 0 then return {job[3] == id and 'before' or 'passed', job[1]} end
else
  if fire <= tonumber(job[1]) then return {id ~= '' and job[2] == id and 'before' or 'passed', job[1]} end
  if fire > at then return {'early', at} end
  if redis.call('HEXISTS', KEYS[5], ARGV[5]) == 1 then return {'paused'} end
end
local ops, position = {}, 10
for i = 1, tonumber(ARGV[9]) do ops[i], position = parse(ARGV, position) end
local runs = redis.call('TYPE', KEYS[4])
if (runs.ok or runs) ~= 'list' and (runs.ok or runs) ~= 'none' then return {err = 'WRONGTYPE the runs of the job; nothing was done'} end
for i = 1, #ops do
  if not fits(ops[i]) then return {err = 'WRONGTYPE a key of the queue holds something else; nothing was done'} end
end
local word, standing, noted = id == '' and 'missed' or 'sent', '', false
local failed = all_or_none(function()
  apply(ops, at)
  for _, op in ipairs(ops) do
    if op.refused then word, standing = 'overlap', op.refused end
  end
  redis.call('LPUSH', KEYS[4], string.format('%d %s %d %s%s', at, word, #standing, standing, ARGV[8]))
  noted = true
  redis.call('LTRIM', KEYS[4], 0, tonumber(ARGV[7]) - 1)
  redis.call('PERSIST', KEYS[4])
  -- Last: it is what makes the tick over.
  if request ~= '' then
    redis.call('HDEL', KEYS[6], request)
    redis.call('HSET', KEYS[3], 'asked', id)
  else
    redis.call('HSET', KEYS[3], 'after', fire, 'message', word == 'sent' and id or '')
  end
end, ops)
if failed then
  if noted then redis.pcall('LPOP', KEYS[4]) end
  return {err = failed}
end
return {word, at, standing}
