-- settle: commits the outcomes of a batch of deliveries of one worker process, each by itself.
-- An outcome is committed only while its entry is still pending, that is, held: whoever reaped it has made a new
-- entry of it, so a zombie finds nothing. All that follows is applied in the same step: acknowledgement, state,
-- result, marks, claim, retry, follow-up messages, dead letter.
-- KEYS: 1 clock, 2 the last batch of this worker, then those that the operations mean
-- ARGV: 1 batch number, 2 group, 3 number of outcomes, then for each: stream, entry, number of operations, operations; then,
--       unless nothing is counted: counters, how many rows, rows (field, field for the time, how many, microseconds), and
--       "row:microseconds" for each outcome, in one argument: the row that has it in it (0: none)
-- Reply: a letter for each outcome, then what `unique` refused (`refusals`): "c" committed; "l" lost (not held any more); "f" finished (the message has its
--        terminal outcome: acknowledged); "u" unclaimed (its claim is another's); "r" revoked (so nothing goes on in its
--        place); "e" error (a key that it means holds something else, or a command failed). Nothing is written but for "c";
--        after "u", "r" and "e" the message is still held.
-- Safe to resend: the reply to the last batch is kept.
local last = redis.call('HMGET', KEYS[2], 'number', 'reply')
if last[1] == ARGV[1] then return last[2] end
-- A copy of an earlier batch that was long on its way: nobody waits for its answer any more.
if (tonumber(last[1]) or -1) > tonumber(ARGV[1]) then return string.rep('l', tonumber(ARGV[3])) end
local at = now(KEYS[1])

-- read(outcome): its operations; returns the position behind them.
local function read(outcome)
  local position = outcome.first
  outcome.begun = nil
  for _ = 1, outcome.count do
    local op
    op, position = parse(ARGV, position)
    if op.name == 'begun' then outcome.begun = op else outcome[#outcome + 1] = op end
  end
  return position
end

local outcomes, few, position = {}, {}, 4
for i = 1, tonumber(ARGV[3]) do
  local outcome = { stream = KEYS[tonumber(ARGV[position])], entry = ARGV[position + 1], count = tonumber(ARGV[position + 2]) }
  position = position + 3
  outcome.first = position
  local behind = plain(outcome, position, outcome.count)
  if behind then
    few[#few + 1], position = outcome, behind
  else
    position = read(outcome)
  end
  outcomes[i] = outcome
end
-- The first write is one that a full server takes, and from then on it takes all of them: outcomes make room. Whatever
-- else refuses writes (a disk that fails, a replica) refuses this one, and nothing is left behind.
redis.call('HDEL', KEYS[2], 'number')

-- judge(outcome): the verdict, by what is there. Nothing is written.
local function judge(outcome)
  if not held(outcome.stream, ARGV[2], outcome.entry) then return 'l' end
  if outcome.begun and not fits(outcome.begun) then return 'e' end
  for _, op in ipairs(outcome) do
    -- A record is read whole in a moment, which fails if it is none: no need to ask before.
    if op.name ~= 'state' and not fits(op) then return 'e' end
  end
  for _, op in ipairs(outcome) do
    if op.name == 'state' or op.name == 'claim' then look(op) end
    if op.over and not expired(op.found.expires_at, at) then return 'f' end
    if op.name == 'claim' and not op.gone and op.found.token ~= op[2] then return 'u' end
    if op.name == 'step' and has_ended(op, op[6]) then return 'f' end
    if op.name == 'unless' and is_revoked(op, at) then return 'r' end
  end
  return 'c'
end

-- commit(outcome): applies it; the acknowledgement comes last, so that what fails before can be taken back.
local function commit(outcome)
  apply(outcome, at)
  redis.call('XACK', outcome.stream, ARGV[2], outcome.entry)
end

-- settle(outcome): the verdict, of its operations one after the other, and what they refused.
local function settle(outcome)
  local judged, verdict = pcall(judge, outcome)
  if not judged then verdict = 'e' end
  local ended = verdict == 'c' or verdict == 'f'
  -- Of one that is finished already the acknowledgement is all that is left to do.
  if verdict == 'f' then only_free(outcome) end
  if ended and all_or_none(commit, outcome) then ended, verdict = false, 'e' end
  if ended then
    -- What is acknowledged is committed. That these are left behind harms nobody.
    redis.pcall('XDEL', outcome.stream, outcome.entry)
    if outcome.begun then forget_begun(outcome.begun, outcome.stream) end
  end
  return verdict, ended and refusals(outcome) or ''
end

local verdicts, refused = {}, ''
settle_plain(few, ARGV[2], at)
for i, outcome in ipairs(outcomes) do
  if outcome.committed then
    verdicts[i] = 'c'
  else
    local left_out
    if outcome.record then read(outcome) end
    verdicts[i], left_out = settle(outcome)
    refused = refused .. left_out
  end
end

-- add_up(at): counts what was committed. As a rule that is all of the batch, and the sums are right as they came.
local function add_up(at)
  local counters, rows, behind = tonumber(ARGV[at]), {}, at + 2 + 4 * tonumber(ARGV[at + 1])
  for first = at + 2, behind - 1, 4 do
    rows[#rows + 1] = { ARGV[first], tonumber(ARGV[first + 2]), ARGV[first + 1], tonumber(ARGV[first + 3]) }
  end
  if string.find(table.concat(verdicts), '[^c]') then
    local i = 0
    for number, micros in string.gmatch(ARGV[behind], '(%d+):(%d+)') do
      i = i + 1
      local row = rows[tonumber(number)]
      if row and verdicts[i] ~= 'c' then row[2], row[4] = row[2] - 1, row[4] - tonumber(micros) end
    end
  end
  for _, row in ipairs(rows) do
    if row[2] > 0 then redis.pcall('HINCRBY', KEYS[counters], row[1], row[2]) end
    if row[4] > 0 then redis.pcall('HINCRBY', KEYS[counters], row[3], string.format('%.0f', row[4])) end
  end
end
close_ranks(at)
if ARGV[position] then add_up(position) end
local reply = table.concat(verdicts) .. refused
redis.call('HSET', KEYS[2], 'number', ARGV[1], 'reply', reply)
redis.call('PEXPIRE', KEYS[2], 3600000)
return reply
