-- _ops: put before the scripts that change what lies in queues, after the prelude.
-- An operation is a name and its arguments, read one after the other from ARGV. A key is passed once, in KEYS, and
-- meant by its number. Every operation is parsed before the first is applied.
-- Operations are applied all or none: what was written before one fails is taken back (`apply`). So each notes what it
-- finds before it writes. Whoever listens to a channel is told as well as can be: that fails nothing.
--   add      stream, payload, deaths, worker          a message that may run now
--   later    delayed, payloads, ids, channel to wake, member, message id, due in ms, or "@" and due at, stream number or
--            "stream number,deaths,length of the worker's name", the name of the worker if there is one and the payload
--   state    record, TTL in ms, new state ("" keeps it), channel, n, then n pairs field, value ("" removes); what is known of an
--            attempt that failed goes with SUCCESS
--   marks    items, TTL in ms (0: unfinished), delivery token, n, then n pairs item, mark ("" forgets the
--            intent of this delivery; "?" does so unless the item was in doubt before)
--   claim    claim, delivery token, action ("complete", "keep", "undo", "release"), TTL in ms, items, record TTL in ms, result
--   dead     dead letters, their bodies, member, body, TTL in ms
--   begun    started marks, entry                     forgets that the entry was started
--   publish  staged outcome, published outcome, published outcomes, name, channel to wake    what was staged takes effect
--   unique   lock, name of the message's record, revoked, message id, until ("done" or "started"), ms for which it stands at
--            the most, when the message does not begin any more (ms, or ""), number. Is refused, and the operation after it
--            left out, while another message stands under the lock
--   free     lock, message id, "1" when the message has ended, workflow that goes on in its place (0: none)      it does not
--            stand any more, if it did; or as long as the workflow goes on
--   turn     head, uses, line and due of a limit, channel to wake, delivery token, "queue/message id", when it arrived, how
--            many places, or how often it has asked for its turn under a rate, an action, queues as "name/delayed/ids/" each.
--            "leave": the place of this delivery is free, and the first in line are woken. "join": it had none and waits in
--            line; the operation after it, its `later`, is due at once if a place has become free for it meanwhile.
--            "wait": it waits for its turn under a rate; its `later` comes next, and is due earlier if its turn is by now.
--            "quit": it does not begin after all: it leaves the line of a rate, and a turn that was not used is free; those
--            behind it are expected earlier when all operations are applied (`close_ranks`)
local LENGTH = { turn = 11, unique = 8, free = 4, add = 4, later = 9, dead = 5, claim = 7, begun = 2, publish = 5, state = 5, marks = 4 }

-- learn(): makes the operations of workflows known, where `_workflow` is put behind; the others come from there.
local learn, has_ended, is_open, is_revoked

-- parse(argv, at): the operation at position `at`, and the position behind it.
local function parse(argv, at)
  local name = argv[at]
  local op = { name = name }
  if not LENGTH[name] and learn then learn() end
  local fixed = LENGTH[name]
  for i = 1, fixed do op[i] = argv[at + i] end
  at = at + fixed + 1
  if name == 'state' or name == 'marks' then
    local n = 2 * tonumber(op[fixed])
    op.pairs = {}
    for i = 1, n do op.pairs[i] = argv[at + i - 1] end
    at = at + n
  end
  return op, at
end

local function key(op, i) return KEYS[tonumber(op[i])] end

-- What the keys of an operation hold, by the number of the argument.
local TYPES = {
  add = {'stream'}, later = {'zset', 'hash', 'hash'}, state = {'hash'}, marks = {'hash'},
  turn = {'hash', 'zset', 'zset', 'zset'}, unique = {'hash'}, free = {'hash'}, claim = {'hash', [5] = 'hash'}, dead = {'zset', 'hash'}, begun = {'hash'}, publish = {'list', 'list', 'set'},
}
local types = {}

-- fits(op): every key of it holds what it must, or nothing yet. Asked before the first write, because a command that
-- fails half-way takes nothing back.
local function fits(op)
  for i, wanted in pairs(TYPES[op.name]) do
    local name = key(op, i)
    if not types[name] then
      local found = redis.call('TYPE', name)
      types[name] = found.ok or found
    end
    -- What is to be published must be there; a rename fails where nothing is.
    local may_be_absent = op.name ~= 'publish' or i > 1
    if types[name] ~= wanted and not (may_be_absent and types[name] == 'none') then return false end
  end
  return true
end

-- look(op): reads what `state` and `claim` find, to be judged, and to be put back. All of it at once is cheaper than by name:
-- mostly there is nothing, or little.
local function look(op)
  local found = {}
  op.flat = redis.call('HGETALL', key(op, 1))
  for i = 1, #op.flat, 2 do found[op.flat[i]] = op.flat[i + 1] end
  op.found = found
  -- A claim that somebody removed by hand is nobody's: it is not written, and stops nothing.
  if op.name == 'claim' then op.gone = not found.token else op.over = found.state and terminal(found.state) end
end

-- put_back(op): what was found, and nothing else.
local function put_back(op)
  local name = key(op, 1)
  redis.pcall('DEL', name)
  for i = 1, #op.flat, 2 do redis.pcall('HSET', name, op.flat[i], op.flat[i + 1]) end
end

local function tell(channel, what) redis.pcall('PUBLISH', channel, what) end

-- What a record says of an attempt that failed.
local FAILED = { 'exception', 'traceback', 'next_run' }

local APPLY, UNDO = {}, {}

function APPLY.add(op)
  -- What is not said is none: a queue of a million is the smaller for it.
  if op[3] == '0' and op[4] == '' then op.id = redis.call('XADD', key(op, 1), '*', 'm', op[2])
  else op.id = redis.call('XADD', key(op, 1), '*', 'm', op[2], 'd', op[3], 'w', op[4]) end
end

function UNDO.add(op)
  if op.id then redis.pcall('XDEL', key(op, 1), op.id) end
end

function APPLY.later(op, at)
  local due = tonumber(op[7]) and at + tonumber(op[7]) or tonumber(string.sub(op[7], 2))
  local first = redis.call('ZRANGE', key(op, 1), 0, 0, 'WITHSCORES')
  op.found = redis.call('HGET', key(op, 3), op[6])
  redis.call('ZADD', key(op, 1), due, op[5])
  redis.call('HSET', key(op, 2), op[5], op[8] .. ':' .. op[9])
  redis.call('HSET', key(op, 3), op[6], op.found and (op.found .. ' ' .. op[5]) or op[5])
  -- Whoever sleeps until the earliest one is woken when an earlier one comes.
  if not first[2] or due < tonumber(first[2]) then tell(op[4], due) end
end

function UNDO.later(op)
  if op.found == nil then return end
  redis.pcall('ZREM', key(op, 1), op[5])
  redis.pcall('HDEL', key(op, 2), op[5])
  if op.found then redis.pcall('HSET', key(op, 3), op[6], op.found) else redis.pcall('HDEL', key(op, 3), op[6]) end
end

function APPLY.state(op, at)
  local record = key(op, 1)
  if op.over then redis.call('DEL', record) end
  local set = { 'HSET', record, 'v', '1' }
  local gone = {}
  for i = 1, #op.pairs, 2 do
    if op.pairs[i + 1] == '' then gone[#gone + 1] = op.pairs[i]
    else set[#set + 1] = op.pairs[i]; set[#set + 1] = op.pairs[i + 1] end
  end
  if op[3] ~= '' then set[#set + 1] = 'state'; set[#set + 1] = op[3] end
  -- What is known of an attempt that failed goes when one succeeds, without being said.
  if op[3] == 'SUCCESS' then
    for _, field in ipairs(FAILED) do if op.found[field] then gone[#gone + 1] = field end end
  end
  -- The TTL of a record starts at its terminal state. Native expiry is only the broom: it comes a minute later.
  if terminal(op[3]) then
    local ttl = tonumber(op[2])
    set[#set + 1] = 'done_at'; set[#set + 1] = at
    set[#set + 1] = 'expires_at'; set[#set + 1] = at + ttl
    redis.call(unpack(set))
    expire(record, ttl + 60000)
  else
    redis.call(unpack(set))
  end
  if #gone > 0 and #op.flat > 0 then redis.call('HDEL', record, unpack(gone)) end
  tell(op[4], op[3])
end

UNDO.state = put_back

function APPLY.marks(op)
  local items, ttl = key(op, 1), tonumber(op[2])
  op.found, op.left = {}, ttl > 0 and left(items)
  for i = 1, #op.pairs, 2 do
    local item, mark = op.pairs[i], op.pairs[i + 1]
    local found = redis.call('HGET', items, item)
    op.found[i] = found
    if mark == '?' then
      if found == '?' .. op[3] then redis.call('HDEL', items, item) end
    elseif mark ~= '' then redis.call('HSET', items, item, mark)
    elseif begun_by(op[3], found) then redis.call('HDEL', items, item) end
  end
  if ttl > 0 then expire(items, ttl + 60000) end
end

function UNDO.marks(op)
  local items = key(op, 1)
  for i = 1, #op.pairs, 2 do
    local found = op.found and op.found[i]
    if found then redis.pcall('HSET', items, op.pairs[i], found)
    elseif found == false then redis.pcall('HDEL', items, op.pairs[i]) end
  end
  if op.left then keep(items, op.left) end
end

function APPLY.claim(op, at)
  local claim, action, ttl, items = key(op, 1), op[3], tonumber(op[4]), key(op, 5)
  if action == 'complete' then
    op.left = left(items)
    redis.call('HSET', claim, 'status', 'done', 'until', at + ttl, 'result', op[7])
    redis.call('HDEL', claim, 'after')
    expire(claim, ttl + 60000)
    expire(items, math.max(ttl, tonumber(op[6])) + 60000)
  elseif action == 'keep' then
    redis.call('HSET', claim, 'status', 'kept', 'until', at + ttl)
    redis.call('HDEL', claim, 'after')
  elseif action == 'undo' then
    -- The claim was taken and nobody heard so: the body has not run. What an earlier holder left in doubt stays so.
    redis.call('HSET', claim, 'status', 'kept', 'until', at + ttl)
  else
    op.left = left(items)
    redis.call('DEL', claim)
    if redis.call('EXISTS', items) == 1 then
      -- Nobody holds the key, but who claims it next shall go on where this one stopped.
      local rest = tonumber(op[6])
      redis.call('HSET', claim, 'v', '1', 'status', 'free', 'until', at + rest)
      expire(claim, rest + 60000)
      expire(items, rest + 60000)
    end
  end
end

function UNDO.claim(op)
  put_back(op)
  if op.left then keep(key(op, 5), op.left) end
end

function APPLY.dead(op, at)
  redis.call('ZADD', key(op, 1), at, op[3])
  redis.call('HSET', key(op, 2), op[3], op[4])
  -- What is older than the TTL goes as new ones come; a bounded number at a time.
  local old = redis.call('ZRANGEBYSCORE', key(op, 1), '-inf', at - tonumber(op[5]), 'LIMIT', 0, 100)
  -- The bodies first: whatever is left behind is found again the next time.
  if #old > 0 and type(redis.pcall('HDEL', key(op, 2), unpack(old))) == 'number' then
    redis.pcall('ZREM', key(op, 1), unpack(old))
  end
end

function UNDO.dead(op)
  redis.pcall('ZREM', key(op, 1), op[3])
  redis.pcall('HDEL', key(op, 2), op[3])
end

function APPLY.publish(op)
  op.left = left(key(op, 1))
  redis.call('RENAME', key(op, 1), key(op, 2))
  op.moved = true
  redis.call('PERSIST', key(op, 2))
  redis.call('SADD', key(op, 3), op[4])
  tell(op[5], op[4])
end

function UNDO.publish(op)
  if not op.moved then return end
  redis.pcall('SREM', key(op, 3), op[4])
  redis.pcall('RENAME', key(op, 2), key(op, 1))
  keep(key(op, 1), op.left)
end

-- stands(lock, revoked, at): the message that set a lock has neither ended nor, if that is enough, begun. What it has come to
-- is read from its record, or from the workflow that goes on in its place: their names are in the lock, because nobody else
-- knows them. That locks are freed is only the rule.
local function stands(lock, revoked, at)
  if not lock.id or expired(lock['until'], at) then return false end
  local record = redis.pcall('HMGET', lock.record, 'state', 'expires_at', 'done_at', 'by')
  if record.err then record = {} end
  local state, begun = record[1], record[4] and record[4] ~= lock.by
  -- An id may be sent anew: the end of an earlier message of this name is not the end of this one.
  if state and terminal(state) and (tonumber(record[3]) or 0) >= tonumber(lock.since) then return false end
  if lock.flow then
    local flow = redis.pcall('HMGET', lock.flow, 'v', 'state')
    return lock.ends ~= 'started' and not flow.err and flow[1] and not flow[2]
  end
  if begun then return lock.ends ~= 'started' end
  if lock.expires ~= '' and expired(lock.expires, at) then return false end
  if state and not (terminal(state) and expired(record[2], at)) then return true end
  local forgotten = redis.pcall('ZSCORE', revoked, lock.id)
  return type(forgotten) ~= 'string' or expired(forgotten, at)
end

-- set_lock(op, at): the message of a `unique` stands under its lock.
local function set_lock(op, at)
  local name, ms = key(op, 1), tonumber(op[6])
  op.left = left(name)
  local by = redis.pcall('HGET', key(op, 2), 'by')
  op.set = true
  redis.call('DEL', name)
  redis.call('HSET', name, 'v', '1', 'id', op[4], 'record', key(op, 2), 'by', type(by) == 'string' and by or '',
    'ends', op[5], 'since', at, 'until', at + ms, 'expires', op[7])
  expire(name, ms + 60000)
end

function APPLY.unique(op, at, follower)
  look(op)
  if stands(op.found, key(op, 3), at) then
    op.refused, op.gone, follower.gone = op.found.id, true, true
    return
  end
  set_lock(op, at)
end

function UNDO.unique(op)
  if not op.set then return end
  put_back(op)
  keep(key(op, 1), op.left)
end

function APPLY.free(op)
  look(op)
  local flow = op[3] ~= '1' and KEYS[tonumber(op[4])]
  if op.found.id ~= op[2] or (op[3] ~= '1' and not flow) then return end
  op.left = left(key(op, 1))
  op.set = true
  -- Whoever finds the lock taken looks whether the workflow goes on.
  if flow then redis.call('HSET', key(op, 1), 'flow', flow) else redis.call('DEL', key(op, 1)) end
end

UNDO.free = UNDO.unique

-- queues_of(text): the queues that a `turn` names, in which nobody can look for holders here.
local known_queues = {}
local function queues_of(text)
  if not known_queues[text] then
    known_queues[text] = {}
    for name, delayed, ids in string.gmatch(text, '([^/]*)/(%d+)/(%d+)/') do
      known_queues[text][name] = { false, false, false, KEYS[tonumber(delayed)], KEYS[tonumber(ids)] }
    end
  end
  return known_queues[text]
end

-- giver(op, at): what gives turns, for all operations that look into the same queues.
local givers = {}
local function giver(op, at)
  local found = givers[op[11]]
  if not found then
    found = turns(queues_of(op[11]), '', op[5], at, true)
    givers[op[11]] = found
  end
  return found
end

local function limit_of(op) return { head = key(op, 1), uses = key(op, 2), line = key(op, 3), due = key(op, 4) } end

-- The operations by which somebody has quit a line.
local quitted = {}

function APPLY.turn(op, at, follower)
  local member, limit = op[7], limit_of(op)
  op.give = giver(op, at)
  op.since = op.give.noted()
  if op[10] == 'quit' then
    op.give.quit(limit, { token = op[6], member = member, number = tonumber(op[9]) })
    quitted[op] = true
    return
  end
  if op[10] == 'wait' then
    local due = redis.call('ZSCORE', limit.due, member)
    -- It was called forward on its way here, or so long ago that it is not waited for any more.
    if not due then follower[7] = '0' elseif tonumber(due) < tonumber(string.sub(follower[7], 2)) then follower[7] = '@' .. due end
    return
  end
  if op[10] == 'leave' then
    op.give.put(limit.uses, op[6])
    op.give.forget(limit, member)
  else
    op.give.put(limit.line, member, op[8])
    op.give.put(limit.due, member, at)
  end
  local seats = op.give.seats(limit, op.give.free(limit, tonumber(op[9])))
  if op[10] ~= 'join' then return end
  if seats[member] then follower[7] = '0' else op.give.put(limit.due, member, at + tonumber(follower[7])) end
  expire(limit.line, 86400000)
  expire(limit.due, 86400000)
end

function UNDO.turn(op)
  quitted[op] = nil
  if op.give then op.give.undo(op.since) end
end

-- close_ranks(at): when all is applied, those who stand behind who has quit are called forward. It fails nothing: whoever is
-- not called comes when he was told to.
local function close_ranks(at)
  local done = {}
  for op in pairs(quitted) do
    local limit = limit_of(op)
    limit.gaps = true
    if not done[limit.head] then pcall(giver(op, at).look_after, limit) end
    done[limit.head] = true
  end
end

-- refusals(ops): what was refused, as the number, the length of the id of the message that stands, and the id.
local function refusals(ops)
  local found = ''
  for _, op in ipairs(ops) do
    if op.refused then found = found .. op[8] .. ':' .. #op.refused .. ':' .. op.refused end
  end
  return found
end

-- only_free(ops): of a message that has ended before nothing is left to do but to free its lock and its place, and to tell its
-- workflow.
local function only_free(ops)
  for i = #ops, 1, -1 do
    if ops[i].name == 'free' then ops[i][3] = '1'
    elseif ops[i].name == 'turn' then ops[i][10] = (ops[i][10] == 'quit' or ops[i][10] == 'wait') and 'quit' or 'leave'
    elseif ops[i].name ~= 'step' and ops[i].name ~= 'stop' then table.remove(ops, i) end
  end
end

-- After the acknowledgement, and it fails nothing: a mark that is left behind counts for no death, its entry is gone.
local function forget_begun(op, stream) redis.pcall('HDEL', key(op, 1), mark_of(stream, op[2])) end

-- apply(ops, at): applies operations, one after the other.
local function apply(ops, at)
  for i, op in ipairs(ops) do
    ops.applied = i
    if not op.gone then APPLY[op.name](op, at, ops[i + 1]) end
  end
end

-- all_or_none(change, ops, ...): calls `change`, which applies `ops`. If it fails they are taken back, the last first, and
-- why it failed is returned.
local function all_or_none(change, ops, ...)
  ops.applied = 0
  local done, why = pcall(change, ops, ...)
  if done then return nil end
  for i = ops.applied, 1, -1 do
    if not ops[i].gone then UNDO[ops[i].name](ops[i]) end
  end
  return type(why) == 'table' and why.err or tostring(why)
end
