-- lead: stands for the leadership of the schedulers, or renews it. A term is one leadership of one scheduler: whoever
-- follows has a higher one, and what is done under an older one is refused (`register`, `tick`).
-- KEYS: 1 clock, 2 leader
-- ARGV: 1 the scheduler that asks, 2 ms for which it leads when it is not heard of, 3 where it runs, for people
-- Reply: {term, or 0 when another one leads; who leads; ms until its time is over; now}
-- Safe to resend: whoever leads renews.
local at, ttl = now(KEYS[1]), tonumber(ARGV[2])
local found = redis.call('HMGET', KEYS[2], 'id', 'term', 'until', 'ttl')
local id, term, over = found[1], tonumber(found[2]) or 0, tonumber(found[3]) or 0
local theirs = tonumber(found[4]) or ttl
if id and id ~= ARGV[1] and over > at then
  if over - at > theirs then
    -- The server's clock was put back. A leader that lives renews; one that is dead shall not lead until then.
    over = at + theirs
    redis.call('HSET', KEYS[2], 'until', over)
  end
  return {0, id, over - at, at}
end
room(KEYS[1]) -- somebody leads when the server is full, too
if id ~= ARGV[1] then
  term = term + 1
  redis.call('HSET', KEYS[2], 'v', '1', 'id', ARGV[1], 'term', term, 'since', at, 'where', ARGV[3])
end
redis.call('HSET', KEYS[2], 'until', at + ttl, 'ttl', ttl)
return {term, ARGV[1], ttl, at}
