-- begin: one delivery of a message takes hold of it and, when tracked, shows STARTED.
-- KEYS: 1 clock, 2 state record, 3 items of the message or of its idempotency key, 4 claim
-- ARGV: 1 delivery token, 2 actor, 3 queue, 4 worker, 5 track ("1" or "0"), 6 retries before this delivery,
--       7 entry (the delivered copy), 8 claimed ("1": the body runs under claim 4, which this token must hold)
-- Reply: {"settled", outbox}         this very entry has its outcome already, but its process died before the entry
--                                    was acknowledged: what the outcome sends stands in the outbox
--        {"finished", state}         the message has its terminal outcome already
--        {"stale"}                   an older copy: the message has been retried since
--        {"unclaimed"}               the claim belongs to another delivery by now
--        {"begun", info or ""}       held; info is the last progress of an earlier delivery, to go on with
-- Nothing is changed but by "begun". Safe to resend: the same token takes the same hold.
local at = now(KEYS[1])
local record = redis.call('HMGET', KEYS[2], 'state', 'expires_at', 'info', 'outbox_entry', 'outbox', 'retries')
local over = record[1] and terminal(record[1]) and expired(record[2], at)
if not over then
  if ARGV[7] ~= '' and record[4] == ARGV[7] then return {'settled', record[5] or ''} end
  if record[1] and terminal(record[1]) then return {'finished', record[1]} end
  if tonumber(record[6] or '0') > tonumber(ARGV[6]) then return {'stale'} end
end
if ARGV[8] == '1' and redis.call('HGET', KEYS[4], 'token') ~= ARGV[1] then return {'unclaimed'} end
if over then
  -- Its time is over: the message is as new, and so are its own items. (Those of a key end with its claim.)
  redis.call('DEL', KEYS[2])
  if ARGV[8] ~= '1' then redis.call('DEL', KEYS[3]) end
  record[3] = false
end
redis.call('HSET', KEYS[2], 'v', '1', 'holder', ARGV[1], 'actor', ARGV[2], 'queue', ARGV[3], 'worker', ARGV[4],
  'started_at', at, 'retries', ARGV[6])
redis.call('HDEL', KEYS[2], 'next_run', 'settled', 'outbox')
if ARGV[5] == '1' then redis.call('HSET', KEYS[2], 'state', 'STARTED') end
redis.call('PERSIST', KEYS[3])
if ARGV[8] == '1' then redis.call('HSET', KEYS[4], 'entered', '1') end
return {'begun', record[3] or ''}
