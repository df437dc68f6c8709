-- requeue: a person gives a dead letter another try: it is a message on its stream again, with no attempts and no deaths.
-- KEYS: 1 clock, 2 dead letters, 3 their bodies, 4 stream, 5 state record, 6 items, then the records of the messages that come after
--       it in a pipeline
-- ARGV: 1 member, 2 payload, 3 channel to tell, 4 ms for which the items that were done are remembered at least,
--       5 message id
-- Reply: 1 requeued; 0 there is no such dead letter (any more); -1 the message has succeeded since: it was left alone
-- Safe to resend: what was requeued is not among the dead letters any more.
if not redis.call('ZSCORE', KEYS[2], ARGV[1]) then return 0 end
local record = redis.call('HMGET', KEYS[5], 'state', 'expires_at')
local state = record[1]
if state == 'SUCCESS' and not expired(record[2], now(KEYS[1])) then return -1 end
-- The first write is one that a full server refuses, so that a refusal leaves nothing behind.
redis.call('XADD', KEYS[4], '*', 'm', ARGV[2], 'd', '0', 'w', '')
redis.call('ZREM', KEYS[2], ARGV[1])
redis.call('HDEL', KEYS[3], ARGV[1])
-- Terminal states are terminal but for this. A twin that is on its way keeps its record.
if state and terminal(state) then
  redis.call('DEL', KEYS[5])
  redis.call('PUBLISH', ARGV[3], 'PENDING')
end
-- What is remembered of items must not expire while the message waits for its turn.
local left = redis.call('PTTL', KEYS[6])
if left >= 0 and left < tonumber(ARGV[4]) then expire(KEYS[6], tonumber(ARGV[4])) end
-- What had ended with it may come to another end now.
for i = 7, #KEYS do
  if redis.call('HGET', KEYS[i], 'stopped_by') == ARGV[5] then redis.call('DEL', KEYS[i]) end
end
return 1
