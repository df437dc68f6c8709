-- requeue: a person gives a dead letter another try: it is a message on its stream again, with no attempts and no deaths. If it has
-- a unique key it stands under it again.
-- KEYS: 1 clock, 2 dead letters, 3 their bodies, 4 stream, 5 state record, 6 items, then the records of the messages that come after
--       it in a pipeline, then those that the operations mean
-- ARGV: 1 member, 2 payload, 3 channel to tell, 4 ms for which the items that were done are remembered at least,
--       5 message id, 6 how many come after it in a pipeline, 7 number of operations, then the operations (`unique`)
-- Reply: 1 requeued; 0 there is no such dead letter (any more); -1 the message has succeeded since: it was left alone; the id of
--        the message that stands under its unique key: it was left alone
-- Safe to resend: what was requeued is not among the dead letters any more.
if not redis.call('ZSCORE', KEYS[2], ARGV[1]) then return 0 end
local at = now(KEYS[1])
local record = redis.call('HMGET', KEYS[5], 'state', 'expires_at')
local state = record[1]
if state == 'SUCCESS' and not expired(record[2], at) then return -1 end
local lock = tonumber(ARGV[7] or '0') > 0 and parse(ARGV, 8)
if lock then
  if not fits(lock) then return {err = 'WRONGTYPE the lock of its unique key holds something else; nothing was requeued'} end
  look(lock)
  if lock.found.id ~= ARGV[5] and stands(lock.found, key(lock, 3), at) then return lock.found.id end
end
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
for i = 7, 6 + tonumber(ARGV[6] or '0') do
  if redis.call('HGET', KEYS[i], 'stopped_by') == ARGV[5] then redis.call('DEL', KEYS[i]) end
end
if lock then set_lock(lock, at) end
return 1
