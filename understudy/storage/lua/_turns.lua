-- _turns: put before the scripts that give messages their turn under a limit, or take it back; after the prelude.
-- A limit has four keys:
--   head  hash: what the limit is; of a bucket also when its next start is due ("next"), and the last start at which it was
--         full ("full", "first"), and the turn given last ("last"). Of a rate until when those who wait may be expected later
--         than their turn is ("gaps"), because somebody left the line before them
--   uses  sorted set: the turns that were given. Of a rate: "delivery token#number" -> when it counts, in ms. Of places:
--         delivery token -> until when a holder in a queue that cannot be looked into is believed
--   line  sorted set: "queue/message id" -> when it arrived: who waits, the first in line first
--   due   sorted set: the same members -> when they are expected, in ms
-- A queue has five: its three streams, its delayed messages, their ids. `queues` has them by the queue's name; where it has
-- no streams nobody can look there.
-- left(name), keep(name, ms): the TTL that was found, for whoever puts it back.
local function left(name) return redis.call('PTTL', name) end
local function keep(name, ms)
  if ms and ms >= 0 then redis.pcall('PEXPIRE', name, ms) else redis.pcall('PERSIST', name) end
end

-- turns(queues, group, channel, at, notes): the functions. They are made where there is a limit, and nobody else pays for them.
-- If `notes`, what they write is noted, and can be taken back: but for `close_up`, and what the head says beside "next".
local function turns(queues, group, channel, at, notes)
  -- Milliseconds for which a member that should have come is waited for: one told its time, one woken for a place; and by
  -- which one may come late without losing its time in an even row.
  local LATE, WOKEN, CATCH_UP = 1000, 2000, 1000
  -- Starts that are remembered, if the limit does not say more.
  local MOST = 1000
  -- More holders than these are looked after every so many milliseconds only.
  local FEW, OFTEN = 32, 100
  -- Milliseconds for which a turn is known, so that whoever asks again for an answer that was lost gets it.
  local KNOWN = 15000
  -- Of those who wait under a rate so many at the most are called forward at a time, whose turns are within so many ms; the
  -- others when they are the first. The first one always is: the way to a worker must not take longer than to his turn.
  local CALLED, AHEAD = 50, 500
  local self, noted = {}, {}
  -- What the heads of buckets say, by their keys: nobody else writes them while a script runs.
  local heads = {}

  local function put(name, member, score)
    if notes then
      local found = redis.call('ZSCORE', name, member)
      if not found and not score then return false end
      noted[#noted + 1] = { name, member, found }
    end
    if score then redis.call('ZADD', name, score, member) else return redis.call('ZREM', name, member) == 1 end
  end

  -- noted(), undo(since): how much is noted, and takes back what was noted since.
  function self.noted() return #noted end
  function self.undo(since)
    for i = #noted, since + 1, -1 do
      local name, member, score, what = unpack(noted[i])
      noted[i] = nil
      if what == 'next' then
        redis.pcall('HSET', name, member, score)
        heads[name] = nil
      elseif what == 'left' then keep(name, score)
      elseif score then redis.pcall('ZADD', name, score, member)
      else redis.pcall('ZREM', name, member) end
    end
  end

  -- forget(limit, member): it does not stand in line any more; whether it did.
  local function forget(limit, member)
    put(limit.due, member)
    return put(limit.line, member)
  end
  self.put, self.forget = put, forget

  local function lives(token, believed)
    local name, level, entry = string.match(token, '^(.*)/(%d)/([^/]*)$')
    local queue = queues[name]
    if not queue or not queue[1] then return tonumber(believed) > at end
    return held(queue[tonumber(level)], group, entry)
  end

  -- free(limit, most, all): how many places are free. That of a delivery which nobody holds any more is; looked for where
  -- none is free, or if `all`.
  function self.free(limit, most, all)
    local taken = redis.call('ZCARD', limit.uses)
    if taken < most and not all then return most - taken end
    if taken > FEW and not all then
      local looked = tonumber(redis.call('HGET', limit.head, 'looked') or '0')
      if at >= looked and at - looked < OFTEN then return most - taken end
      redis.call('HSET', limit.head, 'looked', at)
    end
    local found = redis.call('ZRANGE', limit.uses, 0, -1, 'WITHSCORES')
    for i = 1, #found, 2 do
      if not lives(found[i], found[i + 1]) then
        put(limit.uses, found[i])
        taken = taken - 1
      end
    end
    return most - taken
  end

  -- The delayed copy of a member that waits until `due`: false when there is none, nil when nobody can look.
  local function copy_of(member, due)
    local name, id = string.match(member, '^([^/]*)/(.*)$')
    local queue = queues[name]
    if not queue then return nil end
    for _, one in ipairs(copies(id, redis.call('HGET', queue[5], id))) do
      if tonumber(redis.call('ZSCORE', queue[4], one) or '-1') == due then return one, queue[4] end
    end
    return false
  end

  -- seats(limit, free): for whom the free places are: the first in line, those of them who come or are woken now. Who
  -- waits no more (revoked, or woken and gone) leaves the line.
  function self.seats(limit, free)
    local seats, count = {}, 0
    if free <= 0 then return seats end
    for _, member in ipairs(redis.call('ZRANGE', limit.line, 0, free + 49)) do
      if count >= free then break end
      local due, comes = tonumber(redis.call('ZSCORE', limit.due, member) or '0'), true
      if due > at then
        local copy, delayed = copy_of(member, due)
        if copy then
          put(delayed, copy, at)
          put(limit.due, member, at)
          redis.pcall('PUBLISH', channel, at)
        else
          if copy == false then forget(limit, member) end
          comes = false
        end
      elseif due < at - WOKEN then
        forget(limit, member)
        comes = false
      end
      if comes then seats[member], count = true, count + 1 end
    end
    return seats
  end

  -- place(limit, one): there is a place for this message, and for all that came before it. If not, it stands in line.
  function self.place(limit, one)
    limit.waiting = nil
    if redis.call('ZSCORE', limit.uses, one.token) then return true end
    local free = self.free(limit, limit.most)
    limit.waiting = redis.call('ZCARD', limit.line)
    if limit.waiting == 0 and free > 0 then return true end
    limit.waiting = nil
    put(limit.line, one.member, one.order)
    put(limit.due, one.member, at)
    return self.seats(limit, free)[one.member] or false
  end

  -- take(limit, one, believed): it takes the place.
  function self.take(limit, one, believed)
    put(limit.uses, one.token, at + believed)
    if limit.waiting ~= 0 then forget(limit, one.member) end
  end

  -- How late a message may come and still count at its time, in the even row of a bucket.
  local function late(limit) return limit.counted and math.max(limit.slack, math.min(limit.per / 2, CATCH_UP)) or limit.slack end

  -- row_of(limit): what the head of a bucket says.
  local function row_of(limit)
    local row = heads[limit.head]
    if not row then
      local found = redis.call('HMGET', limit.head, 'next', 'full', 'first', 'last')
      row = { next = tonumber(found[1] or '0'), full = found[2] or '0', first = found[3] or '', last = found[4] }
      heads[limit.head] = row
    end
    return row
  end

  -- nth(limit, number, from): when the start number `number` may be, counted from the first one that is still within `per`
  -- of `from`, if all before it are as early as they may be.
  local function nth(limit, number, from)
    local rounds = math.floor(number / limit.within)
    local rest = number - rounds * limit.within
    if rest >= limit.active then return from + rounds * limit.per end
    local rank = string.format('%d', limit.known - limit.active + rest)
    return tonumber(redis.call('ZRANGE', limit.uses, rank, rank, 'WITHSCORES')[2]) + rounds * limit.per
  end

  -- kind_of(limit): what follows from what a rate is.
  local function kind_of(limit)
    limit.gap, limit.within = limit.per / limit.most, limit.most + limit.burst - 1
    limit.counted = limit.within <= MOST or limit.kind ~= 'bucket'
  end

  -- basis(limit): from what turns are counted while `limit.waiting` wait. Who comes late, because it is a way from the queue to
  -- the worker, counts as up to `slack` earlier in a window, and keeps its time in the even row of a bucket: or what is lost
  -- on the way would be lost for all who follow.
  local function basis(limit)
    if limit.kind == 'bucket' then
      limit.row = row_of(limit)
      limit.from = limit.waiting > 0 and at - late(limit) or at
    end
    limit.counts = at
    if limit.counted then
      limit.since = limit.waiting > 0 and at - limit.slack or at
      limit.known = redis.call('ZCARD', limit.uses)
      limit.active = math.min(limit.within,
        redis.call('ZCOUNT', limit.uses, '(' .. string.format('%.4f', limit.since - limit.per), '+inf'))
      limit.counts = nth(limit, limit.active, limit.since)
    end
  end

  -- turn_of(limit, ahead): when the turn is of whom so many are ahead of (not after now: now), and a number up to one that
  -- orders those who begin in the same moment.
  local function turn_of(limit, ahead)
    local due, rank = 0, 1
    if limit.row then due = math.max(limit.row.next, limit.from) + (ahead - limit.burst + 1) * limit.gap end
    if limit.counted then
      local number = limit.active + ahead
      local seen = nth(limit, number, limit.since)
      if seen > due then
        due = seen
        -- Of those whose turn is in the same moment the first shall come first.
        rank = (number % limit.within + 1) / limit.within
      end
    end
    return due, rank
  end

  -- exactly(due, rank): a time to come at, as text. Whole milliseconds are what time is compared in.
  function self.exactly(due, rank) return string.format('%.4f', math.ceil(due - 0.0005) - 1 + rank) end

  -- give_back(limit, turn): one that was given and not used, unless the bucket has been full since: it would have run over.
  local function give_back(limit, turn)
    local used = tonumber(redis.call('ZSCORE', limit.uses, turn) or nil)
    if not used then return false end
    local row = limit.kind == 'bucket' and row_of(limit)
    if row and (turn == row.last or (turn ~= row.first and used >= tonumber(row.full))) then
      if notes then noted[#noted + 1] = { limit.head, 'next', string.format('%.4f', row.next), 'next' } end
      row.next = row.next - limit.gap
      redis.call('HSET', limit.head, 'next', string.format('%.4f', row.next))
    end
    put(limit.uses, turn)
    return true
  end

  -- gone(limit, but): who should have come and did not leaves the line, a bounded number at a time.
  local function gone(limit, but)
    for _, member in ipairs(redis.call('ZRANGEBYSCORE', limit.due, '-inf', at - LATE, 'LIMIT', 0, 100)) do
      if member ~= but then
        forget(limit, member)
        limit.gaps = true
      end
    end
  end

  -- when(limit, one): when this message may begin (not after now: now), whether this delivery has had its turn already, and a
  -- number up to one that orders those who begin in the same moment. Its turn comes after those of all that arrived before
  -- it and are still waited for.
  function self.when(limit, one)
    limit.waiting = nil
    if redis.call('ZSCORE', limit.uses, one.token .. '#' .. one.number) then return at, true end
    kind_of(limit)
    -- It had its turn, and did not begin in time.
    if one.number > 0 and give_back(limit, one.token .. '#' .. (one.number - 1)) then limit.gaps = true end
    local waiting, ahead = redis.call('ZCARD', limit.line), 0
    if waiting > 0 then
      gone(limit, one.member)
      waiting = redis.call('ZCARD', limit.line)
      if waiting > 0 then ahead = redis.call('ZCOUNT', limit.line, '-inf', '(' .. one.order) end
    end
    limit.waiting = waiting
    basis(limit)
    local due, rank = turn_of(limit, ahead)
    return due, false, rank
  end

  -- begin(limit, one): it has its turn, as `when` found it.
  function self.begin(limit, one)
    local mine = one.token .. '#' .. one.number
    if limit.kind == 'bucket' then
      local row = limit.row
      if limit.from >= row.next then row.next, row.full, row.first = limit.from, at, mine end
      -- Before the others, so that a failure behind it costs a turn and gives none away.
      row.next, row.last = row.next + limit.per / limit.most, mine
      redis.call('HSET', limit.head, 'next', string.format('%.4f', row.next), 'full', row.full, 'first', row.first, 'last', mine)
    end
    put(limit.uses, mine, string.format('%.4f', limit.counts))
    if limit.waiting ~= 0 then forget(limit, one.member) end
    limit.grown = true
  end

  -- trim(limit): turns that nothing depends on any more are forgotten.
  function self.trim(limit)
    if not limit.grown then return end
    redis.call('ZREMRANGEBYSCORE', limit.uses, '-inf', at - math.max(KNOWN, limit.counted and limit.per + limit.slack or 0))
    redis.call('ZREMRANGEBYRANK', limit.uses, 0, string.format('%d', -1 - math.max(MOST, limit.counted and limit.within or 0)))
  end

  -- wait(limit, one, due): it stands in line until its turn.
  function self.wait(limit, one, due)
    put(limit.line, one.member, one.order)
    put(limit.due, one.member, due)
  end

  -- policy_of(limit): what the limit is, as its head says it; false where nothing is known.
  local function policy_of(limit)
    local found = redis.call('HMGET', limit.head, 'kind', 'most', 'per', 'burst', 'slack')
    if not found[4] then return false end
    limit.kind, limit.most, limit.per, limit.burst = found[1], tonumber(found[2]), tonumber(found[3]), tonumber(found[4])
    limit.slack = tonumber(found[5] or '0')
    return true
  end

  -- quit(limit, one): it does not begin after all. It leaves the line, and a turn that it was given is free: the last one that
  -- it knows of, or the one after that if the answer was lost.
  function self.quit(limit, one)
    for _, name in ipairs({ limit.uses, limit.line, limit.due }) do
      noted[#noted + 1] = { name, '', left(name), 'left' } -- with its last member the key goes, and its TTL
    end
    forget(limit, one.member)
    if one.token == '' or not policy_of(limit) then return end
    kind_of(limit)
    for number = one.number, one.number + 1 do give_back(limit, one.token .. '#' .. number) end
  end

  -- close_up(limit, last): whoever waits under a rate behind a gap in the line is expected at his exact time now, the first of them.
  -- A gap is where somebody left without his turn (`limit.gaps`), and counts until all who were in line then have come: each
  -- turn that is given calls the next ones. One that is on its way into line learns it when it gets there. `last`: when the
  -- last one is expected.
  function self.close_up(limit, last)
    if limit.gaps then
      redis.call('HSET', limit.head, 'gaps', last)
    else
      local gaps = tonumber(redis.call('HGET', limit.head, 'gaps') or nil)
      if not gaps then return end
      if gaps < at then
        redis.call('HDEL', limit.head, 'gaps')
        return
      end
    end
    local first = redis.call('ZRANGE', limit.line, 0, CALLED - 1)
    if #first == 0 then return end
    local dues = redis.call('ZMSCORE', limit.due, unpack(first))
    kind_of(limit)
    limit.waiting = #first
    basis(limit)
    local earliest
    for i, member in ipairs(first) do
      local turn, rank = turn_of(limit, i - 1)
      if i > 1 and turn > at + AHEAD then break end
      local due = tonumber(dues[i] or '0')
      local exact = turn <= at and string.format('%.4f', at) or self.exactly(turn, rank)
      if due > at and due - tonumber(exact) >= 1 then
        local copy, name = copy_of(member, due)
        -- Where nobody can look it comes when it was told to.
        if copy ~= nil then
          if copy then redis.call('ZADD', name, exact, copy) end
          redis.call('ZADD', limit.due, exact, member)
          earliest = earliest or exact
        end
      end
    end
    if earliest then redis.pcall('PUBLISH', channel, earliest) end
  end

  -- look_after(limit): nobody waits for who does not come any more.
  function self.look_after(limit)
    if not policy_of(limit) then return end
    if limit.kind == 'places' then
      self.seats(limit, self.free(limit, limit.most))
      return
    end
    gone(limit)
    local last = redis.call('ZREVRANGE', limit.due, 0, 0, 'WITHSCORES')[2]
    if last then self.close_up(limit, last) end
  end

  return self
end
