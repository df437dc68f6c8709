-- settle: commits the outcomes of a batch of deliveries of one worker process, each by itself.
-- An outcome is committed only while its entry is still pending, that is, held: whoever reaped it has made a new
-- entry of it, so a zombie finds nothing. All that follows is applied in the same step: acknowledgement, state,
-- result, marks, claim, retry, follow-up messages, dead letter.
-- KEYS: 1 clock, 2 the last batch of this worker, then those that the operations mean
-- ARGV: 1 batch number, 2 group, 3 number of outcomes, then for each: stream, entry, number of operations, operations
-- Reply: a letter for each outcome: "c" committed; "l" lost (not held any more); "f" finished (the message has its
--        terminal outcome: acknowledged); "u" unclaimed (its claim is another's); "e" error (a key that it means
--        holds something else). Nothing is written but for "c"; after "u" and "e" the message is still held.
-- Safe to resend: the reply to the last batch is kept.
local last = redis.call('HMGET', KEYS[2], 'number', 'reply')
if last[1] == ARGV[1] then return last[2] end
local at = now(KEYS[1])
local outcomes, position = {}, 4
for i = 1, tonumber(ARGV[3]) do
  local outcome = { stream = KEYS[tonumber(ARGV[position])], entry = ARGV[position + 1] }
  local count = tonumber(ARGV[position + 2])
  position = position + 3
  for j = 1, count do outcome[j], position = parse(ARGV, position) end
  outcomes[i] = outcome
end
-- The first write is one that a full server refuses, so that a refusal leaves nothing behind.
redis.call('HSET', KEYS[2], 'number', '')
local verdicts = {}
for i, outcome in ipairs(outcomes) do
  local verdict = 'c'
  if not held(outcome.stream, ARGV[2], outcome.entry) then verdict = 'l' end
  for _, op in ipairs(outcome) do
    if verdict == 'c' and not fits(op) then verdict = 'e' end
  end
  for _, op in ipairs(outcome) do
    if op.name == 'state' and verdict == 'c' then
      local record = redis.call('HMGET', key(op, 1), 'state', 'expires_at')
      op.over = record[1] and terminal(record[1])
      if op.over and not expired(record[2], at) then verdict = 'f' end
    elseif op.name == 'claim' and verdict == 'c' then
      local token = redis.call('HGET', key(op, 1), 'token')
      -- One that somebody removed by hand is nobody's: it is not written, and stops nothing.
      op.gone = not token
      if token and token ~= op[2] then verdict = 'u' end
    end
  end
  if verdict == 'c' or verdict == 'f' then
    redis.call('XACK', outcome.stream, ARGV[2], outcome.entry)
    redis.call('XDEL', outcome.stream, outcome.entry)
    for _, op in ipairs(outcome) do
      if op.name == 'begun' or (verdict == 'c' and not op.gone) then APPLY[op.name](op, at) end
    end
  end
  verdicts[i] = verdict
end
local reply = table.concat(verdicts)
redis.call('HSET', KEYS[2], 'number', ARGV[1], 'reply', reply)
redis.call('PEXPIRE', KEYS[2], 3600000)
return reply
