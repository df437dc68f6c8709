-- order: what a person wants of a job: that it pauses, goes on, or runs now. It outlasts restarts and deploys, and who
-- wanted it is written down.
-- KEYS: 1 clock, 2 schedules, 3 paused, 4 requests, 5 audit, 6 job
-- ARGV: 1 "pause", "resume" or "run-now", 2 name of the job, 3 who, 4 token of this call, 5 entries of the audit that are
--       kept, 6 channel of the schedulers
-- Reply: "done"; "already": it is paused, or is not; "unknown": no scheduler knows such a job
-- Safe to resend: the audit has the token.
local at, verb, name, token = now(KEYS[1]), ARGV[1], ARGV[2], ARGV[4]
local latest = redis.call('LRANGE', KEYS[5], 0, 99)
for i = 1, #latest do
  if string.sub(latest[i], 1, #token + 1) == token .. ' ' then return 'done' end
end
local paused = redis.call('HEXISTS', KEYS[3], name) == 1
-- What is paused may be resumed also when no code has it any more.
if redis.call('HEXISTS', KEYS[2], name) == 0 and not (verb == 'resume' and paused) then return 'unknown' end
if (verb == 'pause' and paused) or (verb == 'resume' and not paused) then return 'already' end
local after = redis.call('HGET', KEYS[6], 'after')
local who = string.format('%d %s', at, ARGV[3])
redis.call('LPUSH', KEYS[5], string.format('%s %s %d %s%s', token, verb, #name, name, who))
redis.call('LTRIM', KEYS[5], 0, tonumber(ARGV[5]) - 1)
if verb == 'pause' then redis.call('HSET', KEYS[3], name, who)
elseif verb == 'resume' then
  redis.call('HDEL', KEYS[3], name)
  -- What came due in between was not wanted.
  if after then redis.call('HSET', KEYS[6], 'after', math.max(at, tonumber(after))) end
else redis.call('HSET', KEYS[4], token, string.format('%d %s', at, name)) end
redis.call('PUBLISH', ARGV[6], verb)
return 'done'
