-- _plain: put before `settle`, after the operations. What most messages come to: they ended well, and nothing follows but
-- their record, their claim that is complete, and their place that is free. The operations `begun`, `state`, `claim` and
-- `turn` say the same and see to every other case; for these it costs half of that, because much is asked for the whole batch at once, and nothing is built.
-- Whatever turns out to be less simple is put back as it was, and settled by the operations.

-- plain(outcome, at, count): whether the `count` operations at ARGV[at] are no others. Returns the position behind them, and
-- notes where each of them stands.
local function plain(outcome, at, count)
  local begun, claim, turn
  if ARGV[at] == 'begun' then begun, at, count = at, at + 3, count - 1 end
  if ARGV[at] ~= 'state' or ARGV[at + 3] ~= 'SUCCESS' then return nil end
  local state, last = at, at + 5 + 2 * tonumber(ARGV[at + 5])
  local behind = last + 1
  if count > 1 and ARGV[behind] == 'claim' and ARGV[behind + 3] == 'complete' then
    claim, behind, count = behind, behind + 8, count - 1
  end
  if count > 1 and ARGV[behind] == 'turn' and ARGV[behind + 10] == 'leave' then
    turn, behind, count = behind, behind + 12, count - 1
  end
  if count ~= 1 then return nil end
  for i = state + 7, last, 2 do if ARGV[i] == '' then return nil end end -- fields to be removed
  outcome.begun, outcome.state, outcome.last, outcome.claim = begun, state, last, claim
  outcome.record, outcome.channel = KEYS[tonumber(ARGV[state + 1])], ARGV[state + 4]
  if begun then outcome.started = KEYS[tonumber(ARGV[begun + 1])] end
  if claim then outcome.name, outcome.items = KEYS[tonumber(ARGV[claim + 1])], KEYS[tonumber(ARGV[claim + 5])] end
  if turn then outcome.turn = parse(ARGV, turn) end
  return behind
end

-- none(outcomes, which): whether nothing lies under these keys of theirs.
local function none(outcomes, which)
  local name = {}
  for _, outcome in ipairs(outcomes) do name[#name + 1] = outcome[which] end
  return #name > 0 and redis.pcall('EXISTS', unpack(name)) == 0
end

-- ends(ttl, at): when a TTL that begins now is over, and for how long its key stays (a minute more; see `expire`). As text,
-- because numbers are slow to pass on; most are the same.
local known_ends = {}
local function ends(ttl, at)
  local known = known_ends[ttl]
  if not known then
    local ms = tonumber(ttl)
    known = { string.format('%.17g', at + ms), string.format('%.17g', math.min(ms + 60000, 1e15)) }
    known_ends[ttl] = known
  end
  return known[1], known[2]
end

local NOTHING = {}

-- settled(outcome, group, at, absent): writes the outcome of a message that is held, the acknowledgement last. False when it
-- is left to the operations; what was written until then is to be put back. `absent.record` and `absent.items`: nothing
-- lies under any of the batch's, but for records that were written since.
local function settled(outcome, group, at, absent)
  local record, claim = outcome.record, outcome.claim
  if outcome.begun and not fits({ name = 'begun', ARGV[outcome.begun + 1] }) then return false end
  if outcome.turn and not fits(outcome.turn) then return false end
  local found = NOTHING
  if not absent.record or absent[record] then found = redis.call('HGETALL', record) end
  for i = 1, #found, 2 do
    local field = found[i]
    if field == 'state' and terminal(found[i + 1]) then return false end
    for _, failed in ipairs(FAILED) do if field == failed then return false end end
  end
  if claim then
    local held = redis.call('HMGET', outcome.name, 'token', 'status', 'after', 'until')
    if held[1] ~= ARGV[claim + 2] or held[2] ~= 'running' or held[3] then return false end
    outcome.claimed_until = held[4]
    local items = outcome.items
    if not absent.items and redis.call('EXISTS', items) == 1 then return false end
  end
  local over, stays = ends(ARGV[outcome.state + 2], at)
  outcome.found, absent[record] = found, true
  redis.call('HSET', record, 'v', '1', 'state', 'SUCCESS', 'done_at', absent.at, 'expires_at', over,
    unpack(ARGV, outcome.state + 6, outcome.last))
  redis.call('PEXPIRE', record, stays)
  if claim then
    local name = outcome.name
    over, stays = ends(ARGV[claim + 4], at)
    outcome.completed = true
    redis.call('HSET', name, 'status', 'done', 'until', over, 'result', ARGV[claim + 7])
    redis.call('PEXPIRE', name, stays)
  end
  return redis.call('XACK', outcome.stream, group, outcome.entry) == 1
end

-- held_again(name, believed): the claim as it was: running, and without a result or a TTL.
local function held_again(name, believed)
  redis.pcall('HSET', name, 'status', 'running', 'until', believed)
  redis.pcall('HDEL', name, 'result')
  redis.pcall('PERSIST', name)
end

local function as_it_was(name, flat)
  redis.pcall('DEL', name)
  for i = 1, #flat, 2 do redis.pcall('HSET', name, flat[i], flat[i + 1]) end
end

-- listened(outcomes): those of whose channels somebody listens to. To ask is cheaper than to tell nobody.
local function listened(outcomes)
  if redis.pcall('PUBSUB', 'NUMPAT') ~= 0 then return outcomes end
  local channels, found = {}, {}
  for i, outcome in ipairs(outcomes) do channels[i] = outcome.channel end
  local ears = redis.pcall('PUBSUB', 'NUMSUB', unpack(channels))
  if ears.err then return outcomes end
  for i, outcome in ipairs(outcomes) do
    if tonumber(ears[2 * i]) > 0 then found[#found + 1] = outcome end
  end
  return found
end

-- sweep(outcomes): what may be left behind, and harms nobody, of what is committed.
local function sweep(outcomes)
  local entries, marks = {}, {}
  for _, outcome in ipairs(outcomes) do
    local name, started = outcome.stream, outcome.started
    entries[name] = entries[name] or {}
    table.insert(entries[name], outcome.entry)
    if started then
      marks[started] = marks[started] or {}
      table.insert(marks[started], mark_of(name, outcome.entry))
    end
  end
  for name, gone in pairs(entries) do redis.pcall('XDEL', name, unpack(gone)) end
  for name, gone in pairs(marks) do redis.pcall('HDEL', name, unpack(gone)) end
  for _, outcome in ipairs(listened(outcomes)) do tell(outcome.channel, 'SUCCESS') end
end

-- leave_together(ops, at): the places of these deliveries, of one limit, are free.
local function leave_together(ops, at)
  local op, tokens, members = ops[#ops], {}, {}
  for i, one in ipairs(ops) do tokens[i], members[i] = one[6], one[7] end
  local limit = limit_of(op)
  redis.call('ZREM', limit.uses, unpack(tokens))
  if redis.call('ZCARD', limit.line) == 0 then return end
  redis.call('ZREM', limit.line, unpack(members))
  redis.call('ZREM', limit.due, unpack(members))
  local give = turns(queues_of(op[11]), '', op[5], at)
  give.seats(limit, give.free(limit, tonumber(op[9])))
end

-- leave(outcomes, at): the places of what is committed are free. A place that was left behind would not be held, and be
-- found free by whoever asks; but nobody would be woken for it, so what fails together is tried one by one.
local function leave(outcomes, at)
  local limits, by_name = {}, {}
  for _, outcome in ipairs(outcomes) do
    local op = outcome.turn
    if op then
      local name = op[2]
      if not by_name[name] then
        by_name[name] = {}
        limits[#limits + 1] = by_name[name]
      end
      table.insert(by_name[name], op)
    end
  end
  for _, ops in ipairs(limits) do
    if not pcall(leave_together, ops, at) then
      for _, op in ipairs(ops) do pcall(APPLY.turn, op, at) end
    end
  end
end

-- settle_plain(outcomes, group, at): settles those of them that are as simple as they look, and notes so. For a few of them it
-- is not worth its questions.
local function settle_plain(outcomes, group, at)
  if #outcomes < 4 then return end
  local absent = { at = string.format('%.17g', at), record = none(outcomes, 'record'), items = none(outcomes, 'items') }
  local committed = {}
  for _, outcome in ipairs(outcomes) do
    local done, held = pcall(settled, outcome, group, at, absent)
    if done and held then
      outcome.committed = true
      committed[#committed + 1] = outcome
    else
      if outcome.completed then held_again(outcome.name, outcome.claimed_until) end
      if outcome.found then as_it_was(outcome.record, outcome.found) end
    end
  end
  leave(committed, at)
  sweep(committed)
end
