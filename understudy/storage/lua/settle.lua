-- settle: commits the outcome of one delivery: state and result, item marks, the idempotency claim.
-- KEYS: 1 clock, 2 state record, 3 items, 4 claim
-- ARGV: 1 delivery token, 2 begun ("1" when `begin` took the hold), 3 new state ("" keeps it),
--       4 record TTL in ms, 5 claim action ("", "complete", "keep", "release"), 6 claim TTL in ms,
--       7 claim result, 8 channel to tell, 9 number of fields, then that many pairs for the state record (the
--       value "" removes the field), then pairs (item, mark) where the mark "" forgets the item's intent if it is
--       this delivery's
-- Reply: "committed"; "again" (this delivery's outcome is committed already: a resend); "lost" (it does not
--        hold the message any more, or the message is finished); "unclaimed" (it holds the message, but the claim
--        belongs to another delivery). Nothing was written when it is not "committed".
-- Safe to resend: see "again". All reads and checks come before the first write.
local at = now(KEYS[1])
local token = ARGV[1]
local begun, state, claim_action = ARGV[2] == '1', ARGV[3], ARGV[5]
local record_ttl, claim_ttl = tonumber(ARGV[4]), tonumber(ARGV[6])
local record = redis.call('HMGET', KEYS[2], 'holder', 'settled', 'state', 'expires_at')
if record[2] == token then return 'again' end
if begun and record[1] ~= token then return 'lost' end
local over = record[3] and terminal(record[3]) and expired(record[4], at)
-- A delivery that did not begin and records no state gives back its claim, if it has one, whatever became of the message.
if (begun or state ~= '') and record[3] and terminal(record[3]) and not over then return 'lost' end
if claim_action ~= '' and redis.call('HGET', KEYS[4], 'token') ~= token then
  if begun then return 'unclaimed' end
  claim_action = ''
end
local first_mark = 10 + 2 * tonumber(ARGV[9])
local own = {}
for i = first_mark, #ARGV, 2 do
  own[i] = ARGV[i + 1] == '' and redis.call('HGET', KEYS[3], ARGV[i]) == '?' .. token
end

if over then redis.call('DEL', KEYS[2]) end
-- What an earlier outcome was to send has been sent, or this delivery would not exist.
if begun or state ~= '' then redis.call('HDEL', KEYS[2], 'outbox', 'outbox_entry') end
for i = 10, first_mark - 1, 2 do
  if ARGV[i + 1] == '' then redis.call('HDEL', KEYS[2], ARGV[i])
  else redis.call('HSET', KEYS[2], ARGV[i], ARGV[i + 1]) end
end
for i = first_mark, #ARGV, 2 do
  if ARGV[i + 1] ~= '' then redis.call('HSET', KEYS[3], ARGV[i], ARGV[i + 1])
  elseif own[i] then redis.call('HDEL', KEYS[3], ARGV[i]) end
end
if begun then redis.call('HDEL', KEYS[2], 'holder') end
if begun or state ~= '' then redis.call('HSET', KEYS[2], 'v', '1', 'settled', token) end

if claim_action == 'complete' then
  redis.call('HSET', KEYS[4], 'status', 'done', 'until', at + claim_ttl, 'result', ARGV[7])
  redis.call('PEXPIRE', KEYS[4], claim_ttl + 60000)
elseif claim_action == 'keep' then
  redis.call('HSET', KEYS[4], 'status', 'kept', 'until', at + claim_ttl)
elseif claim_action == 'release' then
  redis.call('DEL', KEYS[4])
  if redis.call('EXISTS', KEYS[3]) == 1 then
    -- Nobody holds the key, but who claims it next shall go on where this one stopped.
    redis.call('HSET', KEYS[4], 'v', '1', 'status', 'free', 'until', at + record_ttl)
    redis.call('PEXPIRE', KEYS[4], record_ttl + 60000)
    redis.call('PEXPIRE', KEYS[3], record_ttl + 60000)
  end
end

if state == '' then return 'committed' end
redis.call('HSET', KEYS[2], 'state', state)
if terminal(state) then
  -- The TTLs of a record start at its terminal state. Native expiry is only the broom: it comes a minute later.
  redis.call('HSET', KEYS[2], 'done_at', at, 'expires_at', at + record_ttl)
  redis.call('PEXPIRE', KEYS[2], record_ttl + 60000)
  -- A duplicate ends while its twin works: the items are the twin's.
  if begun or claim_action ~= '' then
    redis.call('PEXPIRE', KEYS[3], math.max(record_ttl, claim_ttl) + 60000)
  end
end
redis.call('PUBLISH', ARGV[8], state)
return 'committed'
