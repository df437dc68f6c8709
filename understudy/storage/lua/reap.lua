-- reap: makes what a dead worker held available again, a bounded number of entries of one stream at a time.
-- KEYS: 1 leases, 2 the dead worker's started marks, 3 stream
-- ARGV: 1 dead worker, 2 its beat count as it was observed ("" when it has no lease), 3 how many at the most, 4 group,
--       5 deaths since the body finished an item, 6 deaths in all: after so many an entry is suspected of having caused them
-- Reply: {"alive"}                       its lease was renewed since: nothing was done
--        {"reaped", number, {entry, payload, deaths} ...}  number moved; then the entries that were running at too
--        many deaths: they are left pending, for the caller to settle
-- Safe to resend: what was moved is not pending any more.
local count = redis.call('HGET', KEYS[1], ARGV[1])
if (count or '') ~= ARGV[2] then return {'alive'} end
local reply = {'reaped', 0}
room(KEYS[3]) -- what a dead worker held comes back when the server is full, too
for _, pending in ipairs(pending(KEYS[3], ARGV[4], '-', '+', tonumber(ARGV[3]), ARGV[1])) do
  local entry = pending[1]
  local found = redis.call('XRANGE', KEYS[3], entry, entry)[1]
  local fields = {}
  if found then for i = 1, #found[2], 2 do fields[found[2][i]] = found[2][i + 1] end end
  local started = redis.call('HGET', KEYS[2], mark_of(KEYS[3], entry))
  -- An entry that somebody else wrote may lack everything; whoever reads it next makes a dead letter of it.
  local payload, since, all = fields['m'] or '', counts(fields['d'])
  if started then since, all = (came_on(started) and 0 or since) + 1, all + 1 end
  local deaths = since < all and since .. '/' .. all or tostring(since)
  if not found then
    redis.call('XACK', KEYS[3], ARGV[4], entry)
  elseif alone(started) and (since >= tonumber(ARGV[5]) or all >= tonumber(ARGV[6])) then
    reply[#reply + 1] = {entry, payload, deaths}
  else
    redis.call('XADD', KEYS[3], '*', 'm', payload, 'd', deaths, 'w', ARGV[1])
    redis.call('XACK', KEYS[3], ARGV[4], entry)
    redis.call('XDEL', KEYS[3], entry)
    redis.call('HDEL', KEYS[2], mark_of(KEYS[3], entry))
    reply[2] = reply[2] + 1
  end
end
return reply
