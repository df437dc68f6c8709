-- purge: removes dead letters for good, a bounded number at a time.
-- KEYS: 1 dead letters, 2 their bodies
-- ARGV: the members
-- Reply: how many were removed; those that are gone already do not count
-- Safe to resend: what is gone is gone.
local removed = 0
for i = 1, #ARGV do
  removed = removed + redis.call('ZREM', KEYS[1], ARGV[i])
  redis.call('HDEL', KEYS[2], ARGV[i])
end
return removed
