-- _workflow: put after _ops, before the scripts that let workflows go on, as the body of `learn`.
-- A workflow is one hash, written as it was composed, and what has come of it. Its nodes are numbered; a node is a message
-- or a group. Elements that follow each other form a strand, named by the number of its first node: the workflow itself is
-- one, and so is each member of a group that has more than one step.
--   p<n>    node n in words: kind, group above, next of its strand, strand, number of its stream, callbacks after success,
--           callbacks after failure; of a group also how many members it has, and how many must succeed. "-": none. Kinds:
--           t a message that is put on its stream at once; l one that is moved there by `fan`, at its time; g a group.
--           A member of a group that is one message and nothing else has no p: its message knows its group
--   m<n>    the message of a node of kind t
--   k<i>    a callback: number of its stream, and its message, in which "<workflow>.?" stands for the node that it is told
--   d<n>, e<n>, f<n>   of a group that has begun: members that succeeded, that did not, and the first of the latter
--   x<s>    the node at which strand s has stopped: what comes after it never runs
--   c<n>    the next page that `fan` moves to the queues
--   state, done_at, expires_at, cause   once it has ended; doomed: it is known that it will fail, and by which node
-- A callback after a failure with a "!" behind its number is sent after that only, and not when the node was revoked.
-- The other key is a bitmap: the nodes that have ended. A node ends once, however often its message is delivered.
--   step    workflow, ended nodes, what is to be moved, ended workflows, record, node, group above ("-" for none), state,
--           first node of what runs in its place ("-" for nothing), name of the workflow, its channel, channel to wake,
--           TTL in ms after success, after failure, numbers of the streams        a node has ended
--   begin   the same; the node in its place is begun
--   abort   the same; the workflow is revoked
--   found   workflow as it was put aside, workflow, ended nodes, number of the last node        it exists from now on
--   unless  revoked, message id      the outcome is refused if somebody has revoked the message
--   stop    record, record of the message that failed, TTL in ms, state, exception, traceback, id of that message, channel
--           a later message of one of Dramatiq's pipelines has ended with an earlier one, unless that has succeeded
LENGTH.step, LENGTH.begin, LENGTH.abort, LENGTH.found, LENGTH.stop, LENGTH.unless = 15, 15, 15, 4, 8, 2
TYPES.step = {'hash', 'string', 'set', 'zset', 'hash'}
TYPES.begin, TYPES.abort, TYPES.found = TYPES.step, TYPES.step, {'hash', 'hash', 'string'}
TYPES.stop, TYPES.unless = {'hash', 'hash'}, {'zset'}

-- back(op, ...): the command that takes back what was just written.
local function back(op, ...) op.back[#op.back + 1] = {...} end

local function write(op, field, value)
  local found = redis.call('HGET', key(op, 1), field)
  redis.call('HSET', key(op, 1), field, value)
  if found then back(op, 'HSET', key(op, 1), field, found) else back(op, 'HDEL', key(op, 1), field) end
end

local function put(op, stream, payload)
  local number = op.streams[tonumber(stream)]
  back(op, 'XDEL', KEYS[number], redis.call('XADD', KEYS[number], '*', 'm', payload))
end

function has_ended(op, n) return redis.call('GETBIT', key(op, 2), n) == 1 end

local function node_of(op, n)
  local text = redis.call('HGET', key(op, 1), 'p' .. n)
  if not text then return { kind = 't', up = op[7], next = '-', alone = true, good = '-', bad = '-' } end
  local words = {}
  for word in string.gmatch(text, '%S+') do words[#words + 1] = word end
  return { kind = words[1], up = words[2], next = words[3], strand = words[4], stream = words[5], good = words[6],
    bad = words[7], size = tonumber(words[9]), need = tonumber(words[10]) }
end

-- named(text, mark, name): `text` with `name` wherever `mark` stands.
local function named(text, mark, name)
  local parts, at = {}, 1
  while true do
    local first, last = string.find(text, mark, at, true)
    if not first then break end
    parts[#parts + 1] = string.sub(text, at, first - 1) .. name
    at = last + 1
  end
  return table.concat(parts) .. string.sub(text, at)
end

-- call_back(op, callbacks, n, state): sends callbacks; n is the node that they are told.
local function call_back(op, callbacks, n, state)
  for i, only in string.gmatch(callbacks, '(%d+)(!?)') do
    if only == '' or state == 'FAILURE' then
      local stream, payload = string.match(redis.call('HGET', key(op, 1), 'k' .. i), '^(%d+) (.*)$')
      put(op, stream, named(payload, op[10] .. '.?', op[10] .. '.' .. n))
    end
  end
end

-- begin(op, n, node): lets a node begin; true when it is over with that, as a group without members is.
local function begin(op, n, node)
  if node.kind == 'g' then
    write(op, 'd' .. n, '0')
    if node.size == 0 then return true end
  end
  -- Somebody revoked it before its time: its strand has stopped.
  if has_ended(op, n) then return false end
  if node.kind == 't' then
    put(op, node.stream, redis.call('HGET', key(op, 1), 'm' .. n))
  else
    local name = op[10] .. ' ' .. n
    write(op, 'c' .. n, '0')
    if redis.call('SADD', key(op, 3), name) == 1 then back(op, 'SREM', key(op, 3), name) end
    tell(op[12], name)
  end
  return false
end

-- doom(op, group, failed, cause): so many members of a group have failed. Whoever waits for the workflow need not wait for
-- the others if it cannot succeed any more.
local function doom(op, group, failed, cause)
  while failed == group.size - group.need + 1 do
    if group.up == '-' then
      write(op, 'doomed', cause)
      tell(op[11], 'doomed')
      return
    end
    failed = (tonumber(redis.call('HGET', key(op, 1), 'e' .. group.up)) or 0) + 1
    group = node_of(op, group.up)
  end
end

local function finish(op, at, state, cause, told)
  local ends = at + tonumber(state == 'SUCCESS' and op[13] or op[14])
  write(op, 'state', state)
  write(op, 'done_at', at)
  write(op, 'expires_at', ends)
  if cause then write(op, 'cause', cause) end
  local found = redis.call('ZSCORE', key(op, 4), op[10])
  redis.call('ZADD', key(op, 4), ends, op[10])
  if found then back(op, 'ZADD', key(op, 4), found, op[10]) else back(op, 'ZREM', key(op, 4), op[10]) end
  call_back(op, redis.call('HGET', key(op, 1), state == 'SUCCESS' and 'good' or 'bad') or '-', told, state)
  tell(op[11], state)
end

-- go_on(op, at, n, state): what follows from the end of a node, up to where somebody else must end first.
local function go_on(op, at, n, state)
  local cause = n
  while true do
    local node, good = node_of(op, n), state == 'SUCCESS'
    if node.strand and redis.call('HEXISTS', key(op, 1), 'x' .. node.strand) == 1 then return end
    -- Of a group the step that cannot run shows the failure; where none comes after it, the member that failed.
    local told = n
    if not good and node.kind == 'g' then told = node.next ~= '-' and node.next or cause end
    call_back(op, good and node.good or node.bad, told, state)
    if good and node.next ~= '-' then
      n = node.next
      if not begin(op, n, node_of(op, n)) then return end
    else
      if not good and node.strand then write(op, 'x' .. node.strand, n) end
      if node.up == '-' then return finish(op, at, state, not good and cause, told) end
      if not good then tell(op[11], 'stopped') end
      n = node.up
      local group = node_of(op, n)
      local counts = redis.call('HMGET', key(op, 1), 'd' .. n, 'e' .. n, 'f' .. n)
      local done, failed = tonumber(counts[1]) or 0, tonumber(counts[2]) or 0
      if good then
        done = done + 1
        write(op, 'd' .. n, done)
      else
        failed = failed + 1
        write(op, 'e' .. n, failed)
        if not counts[3] then write(op, 'f' .. n, cause) end
        doom(op, group, failed, cause)
      end
      if done + failed < group.size then return end
      if done >= group.need then state = 'SUCCESS'
      else state, cause = 'FAILURE', redis.call('HGET', key(op, 1), 'f' .. n) end
    end
  end
end

local function prepare(op)
  op.back, op.streams = {}, {}
  for number in string.gmatch(op[15], '%d+') do op.streams[#op.streams + 1] = tonumber(number) end
end

function APPLY.begin(op, at)
  prepare(op)
  if begin(op, op[9], node_of(op, op[9])) then go_on(op, at, op[9], 'SUCCESS') end
end

function APPLY.step(op, at)
  prepare(op)
  local n, flow = op[6], redis.call('HMGET', key(op, 1), 'v', 'state')
  if not flow[1] then
    -- The workflow is gone, so nobody sweeps this record.
    redis.call('HSET', key(op, 5), 'expires_at', at + tonumber(op[14]))
    expire(key(op, 5), tonumber(op[14]) + 60000)
    return
  end
  if has_ended(op, n) then return end
  redis.call('SETBIT', key(op, 2), n, 1)
  back(op, 'SETBIT', key(op, 2), n, 0)
  if flow[2] then return end -- it was revoked: nothing follows
  if op[9] ~= '-' then
    if begin(op, op[9], node_of(op, op[9])) then go_on(op, at, op[9], 'SUCCESS') end
    return
  end
  -- What the record says counts: somebody may have ended the message before.
  local state = redis.call('HGET', key(op, 5), 'state')
  if not state or not terminal(state) or op[8] == 'SKIPPED' then state = op[8] end
  if state == 'SKIPPED' then
    local node = node_of(op, n)
    -- What was to follow does not; where nothing was, it has ended well, as a message by itself that skips its body (S12).
    state = node.next == '-' and node.up == '-' and 'SUCCESS' or 'REVOKED'
  end
  go_on(op, at, n, state)
end

function UNDO.step(op)
  for i = #(op.back or {}), 1, -1 do redis.pcall(unpack(op.back[i])) end
end

UNDO.begin, UNDO.abort = UNDO.step, UNDO.step

-- is_open(op): the workflow is known, and has not ended.
function is_open(op)
  local flow = redis.call('HMGET', key(op, 1), 'v', 'state')
  return flow[1] and not flow[2]
end

-- is_revoked(op, at): somebody has revoked the message of an `unless`.
function is_revoked(op, at)
  local forgotten = redis.call('ZSCORE', key(op, 1), op[2])
  return forgotten and not expired(forgotten, at)
end

function APPLY.unless() end
UNDO.unless = APPLY.unless

function APPLY.abort(op, at)
  prepare(op)
  finish(op, at, 'REVOKED', nil, op[6])
end

function APPLY.found(op)
  op.left = left(key(op, 1))
  redis.call('RENAME', key(op, 1), key(op, 2))
  op.moved = true
  redis.call('PERSIST', key(op, 2))
  redis.call('SETBIT', key(op, 3), op[4], 0)
end

function UNDO.found(op)
  if not op.moved then return end
  redis.pcall('DEL', key(op, 3))
  redis.pcall('RENAME', key(op, 2), key(op, 1))
  keep(key(op, 1), op.left)
end

function APPLY.stop(op, at)
  look(op)
  local state = redis.call('HGET', key(op, 2), 'state')
  if op.over and not expired(op.found.expires_at, at) then return end
  -- A zombie has failed: the message that it held has succeeded since.
  if state == 'SUCCESS' and op[4] == 'FAILURE' then return end
  op.set, op.left = true, left(key(op, 1))
  local ends = at + tonumber(op[3])
  redis.call('DEL', key(op, 1))
  redis.call('HSET', key(op, 1), 'v', '1', 'state', op[4], 'exception', op[5], 'traceback', op[6], 'stopped_by', op[7],
    'done_at', at, 'expires_at', ends)
  expire(key(op, 1), tonumber(op[3]) + 60000)
  tell(op[8], op[4])
end

UNDO.stop = UNDO.unique
