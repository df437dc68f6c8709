-- stage: puts a page of a large outcome aside. Nothing of it has an effect before `settle` publishes it.
-- KEYS: 1 the staged outcome
-- ARGV: 1 how many letters are staged already, 2 TTL in ms after which what was never published is swept, then letters
-- Reply: how many are staged now
-- Safe to resend: a page is put at its place once.
if redis.call('LLEN', KEYS[1]) == tonumber(ARGV[1]) then
  for i = 3, #ARGV do redis.call('RPUSH', KEYS[1], ARGV[i]) end
end
redis.call('PEXPIRE', KEYS[1], tonumber(ARGV[2]))
return redis.call('LLEN', KEYS[1])
