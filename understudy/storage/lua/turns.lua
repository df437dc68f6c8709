-- turns: deliveries ask for their turn under the limits of their actors: a rate, a number of places, or both. One that gets
-- it may begin now. One that does not stands in line, in the order of arrival, and is told when to come back.
-- KEYS: 1 clock, 2 the limits there are, then for each queue its streams, delayed and ids, then for each limit its head, uses,
--       line and due (see `_turns`)
-- ARGV: 1 group, 2 ms for which a holder is believed in whose queue nobody can look, 3 channel to wake, 4 number of queues,
--       their names, number of limits, then for each: number of its first key, name, kind ("bucket", "window", "places"), how
--       many, within how many ms, burst, slack in ms; number of messages, then for each: delivery token, "queue/message id",
--       when it arrived, how often this delivery has asked before, "1" if it would begin now or "0" if not yet, the numbers of
--       its limit of places and of its rate (0: it has none)
-- Reply: for each message a word, a number of ms, and a time in ms
--        "run"     its turn is now, given at that time
--        "ask"     its turn may be when it begins: nothing was done
--        "rate"    its turn is in so many ms, at that time
--        "places"  all places are taken: it is woken when one is free, and looks again after so many ms
--        "lost"    it is not held by this delivery any more: nothing was done
--        "odd"     a key of its limits holds something else: nothing was done
-- Safe to resend: a delivery that had its turn has it still, one that stands in line does not stand there twice.
local SOON, SELDOM = 5000, 300000
local at, group, believed = now(KEYS[1]), ARGV[1], tonumber(ARGV[2])
local queues, position, key = {}, 5, 3
for _ = 1, tonumber(ARGV[4]) do
  queues[ARGV[position]] = { KEYS[key], KEYS[key + 1], KEYS[key + 2], KEYS[key + 3], KEYS[key + 4] }
  position, key = position + 1, key + 5
end
local give = turns(queues, group, ARGV[3], at)
local WANTED = { head = 'hash', uses = 'zset', line = 'zset', due = 'zset' }
local types = {}

local function fits(limit)
  for part, wanted in pairs(WANTED) do
    local name = limit[part]
    if not types[name] then
      local found = redis.call('TYPE', name)
      types[name] = found.ok or found
    end
    if types[name] ~= wanted and types[name] ~= 'none' then return false end
  end
  return true
end

local function held_by(token)
  local name, level, entry = string.match(token, '^(.*)/(%d)/([^/]*)$')
  return queues[name] and held(queues[name][tonumber(level)], group, entry)
end

-- keep(limit): what the limit is, for whoever looks; and until when its keys are kept, if nobody asks again. Places are kept
-- as long as they are taken. Done once, when all have their answers.
local function keep(limit)
  give.trim(limit)
  redis.call('HSET', limit.head, 'v', '1', 'kind', limit.kind, 'most', limit.most, 'per', limit.per, 'burst', limit.burst,
    'slack', limit.slack)
  redis.call('ZADD', KEYS[2], at, limit.name)
  local ms = limit.per + 60000
  if limit.kind == 'places' then ms = 86400000 end
  local last = redis.call('ZREVRANGE', limit.due, 0, 0, 'WITHSCORES')[2]
  if last then
    if limit.kind ~= 'places' then give.close_up(limit, last) end
    ms = ms + math.max(0, tonumber(last) - at)
    expire(limit.line, math.ceil(ms))
    expire(limit.due, math.ceil(ms))
  end
  expire(limit.head, math.ceil(ms))
  if limit.kind ~= 'places' then expire(limit.uses, math.ceil(ms)) end
end

local function answer(one)
  if not held_by(one.token) then return 'lost', 0 end
  local places, rate = one.places, one.rate
  if places and not fits(places) or rate and not fits(rate) then return 'odd', 0 end
  if places and not give.place(places, one) then
    if rate and give.forget(rate, one.member) then rate.gaps, rate.asked = true, true end
    places.asked = true
    return 'places', redis.call('ZRANK', places.line, one.member) < places.most and SOON or SELDOM
  end
  if rate then
    local due, had, rank = give.when(rate, one)
    if due > at then
      due = give.exactly(due, rank)
      give.wait(rate, one, due)
      rate.asked = true
      if places and not redis.call('ZSCORE', places.uses, one.token) then
        -- The place is for the next one in line.
        give.forget(places, one.member)
        give.seats(places, give.free(places, places.most))
      end
      return 'rate', math.ceil(tonumber(due) - at), due
    end
    if not one.begins then return 'ask', 0 end
    if not had then give.begin(rate, one) end
    rate.asked = true
  end
  if not one.begins then return 'ask', 0 end
  if places then
    give.take(places, one, believed)
    places.asked = true
  end
  return 'run', 0, at
end

room(KEYS[1]) -- a body begins when the server is full, too
local reply, limits = {}, {}
for i = 1, tonumber(ARGV[position]) do
  local at_it = position + 7 * i - 6
  local first = tonumber(ARGV[at_it])
  limits[i] = { head = KEYS[first], uses = KEYS[first + 1], line = KEYS[first + 2], due = KEYS[first + 3],
    name = ARGV[at_it + 1], kind = ARGV[at_it + 2], most = tonumber(ARGV[at_it + 3]),
    per = tonumber(ARGV[at_it + 4]), burst = tonumber(ARGV[at_it + 5]), slack = tonumber(ARGV[at_it + 6]) }
end
position = position + 7 * #limits + 1
for first = position + 1, position + 7 * tonumber(ARGV[position]), 7 do
  local one = { token = ARGV[first], member = ARGV[first + 1], order = ARGV[first + 2],
    number = tonumber(ARGV[first + 3]), begins = ARGV[first + 4] == '1',
    places = limits[tonumber(ARGV[first + 5])], rate = limits[tonumber(ARGV[first + 6])] }
  local word, ms, due = answer(one)
  reply[#reply + 1] = word
  reply[#reply + 1] = ms
  reply[#reply + 1] = due or ''
end
for _, limit in ipairs(limits) do if limit.asked then keep(limit) end end
-- What nobody has asked of for a day is forgotten, a bounded number at a time.
local old = redis.call('ZRANGEBYSCORE', KEYS[2], '-inf', at - 86400000, 'LIMIT', 0, 100)
if #old > 0 then redis.call('ZREM', KEYS[2], unpack(old)) end
return reply
