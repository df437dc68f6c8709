-- _ops: put before the scripts that change what lies in queues, after the prelude.
-- An operation is a name and its arguments, read one after the other from ARGV. A key is passed once, in KEYS, and
-- meant by its number. Every operation is parsed before the first is applied.
--   add      stream, payload, deaths, worker          a message that may run now
--   later    delayed, payloads, ids, channel to wake, member, message id, due in ms, stream number, payload
--   state    record, TTL in ms, new state ("" keeps it), channel, n, then n pairs field, value ("" removes)
--   marks    items, TTL in ms (0: unfinished), delivery token, n, then n pairs item, mark ("" forgets the intent)
--   claim    claim, delivery token, action ("complete", "keep", "undo", "release"), TTL in ms, items, record TTL in ms, result
--   dead     dead letters, their bodies, member, body, TTL in ms
--   begun    started marks, entry                     forgets that the entry was started
--   publish  staged outcome, published outcome, published outcomes, name, channel to wake    what was staged takes effect
local LENGTH = { add = 4, later = 9, dead = 5, claim = 7, begun = 2, publish = 5, state = 5, marks = 4 }

-- parse(argv, at): the operation at position `at`, and the position behind it.
local function parse(argv, at)
  local name = argv[at]
  local op = { name = name }
  local fixed = LENGTH[name]
  for i = 1, fixed do op[i] = argv[at + i] end
  at = at + fixed + 1
  if name == 'state' or name == 'marks' then
    local n = tonumber(op[fixed])
    op.pairs = {}
    for i = 1, 2 * n do op.pairs[i] = argv[at + i - 1] end
    at = at + 2 * n
  end
  return op, at
end

local function key(op, i) return KEYS[tonumber(op[i])] end

-- What the keys of an operation hold, by the number of the argument.
local TYPES = {
  add = {'stream'}, later = {'zset', 'hash', 'hash'}, state = {'hash'}, marks = {'hash'},
  claim = {'hash', [5] = 'hash'}, dead = {'zset', 'hash'}, begun = {'hash'}, publish = {'list', 'list', 'set'},
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

local APPLY = {}

function APPLY.add(op)
  redis.call('XADD', key(op, 1), '*', 'm', op[2], 'd', op[3], 'w', op[4])
end

function APPLY.later(op, at)
  local due = at + tonumber(op[7])
  local first = redis.call('ZRANGE', key(op, 1), 0, 0, 'WITHSCORES')
  redis.call('ZADD', key(op, 1), due, op[5])
  redis.call('HSET', key(op, 2), op[5], op[8] .. ':' .. op[9])
  local members = redis.call('HGET', key(op, 3), op[6])
  redis.call('HSET', key(op, 3), op[6], members and (members .. ' ' .. op[5]) or op[5])
  -- Whoever sleeps until the earliest one is woken when an earlier one comes.
  if not first[2] or due < tonumber(first[2]) then
    redis.call('PUBLISH', op[4], due)
  end
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
  -- The TTL of a record starts at its terminal state. Native expiry is only the broom: it comes a minute later.
  if terminal(op[3]) then
    local ttl = tonumber(op[2])
    set[#set + 1] = 'done_at'; set[#set + 1] = at
    set[#set + 1] = 'expires_at'; set[#set + 1] = at + ttl
    redis.call(unpack(set))
    redis.call('PEXPIRE', record, ttl + 60000)
  else
    redis.call(unpack(set))
  end
  if #gone > 0 then redis.call('HDEL', record, unpack(gone)) end
  redis.call('PUBLISH', op[4], op[3])
end

function APPLY.marks(op)
  local items, intent = key(op, 1), '?' .. op[3]
  for i = 1, #op.pairs, 2 do
    local item, mark = op.pairs[i], op.pairs[i + 1]
    if mark ~= '' then redis.call('HSET', items, item, mark)
    elseif redis.call('HGET', items, item) == intent then redis.call('HDEL', items, item) end
  end
  if tonumber(op[2]) > 0 then redis.call('PEXPIRE', items, tonumber(op[2]) + 60000) end
end

function APPLY.claim(op, at)
  local claim, action, ttl, items = key(op, 1), op[3], tonumber(op[4]), key(op, 5)
  if action == 'complete' then
    redis.call('HSET', claim, 'status', 'done', 'until', at + ttl, 'result', op[7])
    redis.call('HDEL', claim, 'after')
    redis.call('PEXPIRE', claim, ttl + 60000)
    redis.call('PEXPIRE', items, math.max(ttl, tonumber(op[6])) + 60000)
  elseif action == 'keep' then
    redis.call('HSET', claim, 'status', 'kept', 'until', at + ttl)
    redis.call('HDEL', claim, 'after')
  elseif action == 'undo' then
    -- The claim was taken and nobody heard so: the body has not run. What an earlier holder left in doubt stays so.
    redis.call('HSET', claim, 'status', 'kept', 'until', at + ttl)
  else
    redis.call('DEL', claim)
    if redis.call('EXISTS', items) == 1 then
      -- Nobody holds the key, but who claims it next shall go on where this one stopped.
      local rest = tonumber(op[6])
      redis.call('HSET', claim, 'v', '1', 'status', 'free', 'until', at + rest)
      redis.call('PEXPIRE', claim, rest + 60000)
      redis.call('PEXPIRE', items, rest + 60000)
    end
  end
end

function APPLY.dead(op, at)
  redis.call('ZADD', key(op, 1), at, op[3])
  redis.call('HSET', key(op, 2), op[3], op[4])
  -- What is older than the TTL goes as new ones come; a bounded number at a time.
  local old = redis.call('ZRANGEBYSCORE', key(op, 1), '-inf', at - tonumber(op[5]), 'LIMIT', 0, 100)
  if #old > 0 then
    redis.call('ZREM', key(op, 1), unpack(old))
    redis.call('HDEL', key(op, 2), unpack(old))
  end
end

function APPLY.publish(op)
  redis.call('RENAME', key(op, 1), key(op, 2))
  redis.call('PERSIST', key(op, 2))
  redis.call('SADD', key(op, 3), op[4])
  redis.call('PUBLISH', op[5], op[4])
end

function APPLY.begun(op)
  redis.call('HDEL', key(op, 1), op[2])
end
