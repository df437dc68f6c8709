-- bury: removes what is left of a dead worker that holds nothing any more.
-- KEYS: 1 leases, 2 its started marks, 3 its last batch, 4.. streams
-- ARGV: 1 dead worker, 2 its beat count as it was observed ("" when it has no lease), 3 group
-- Reply: 1 gone; 0 it lives, or holds something
-- Safe to resend: what is gone is gone.
if (redis.call('HGET', KEYS[1], ARGV[1]) or '') ~= ARGV[2] then return 0 end
for i = 4, #KEYS do
  if #pending(KEYS[i], ARGV[3], '-', '+', 1, ARGV[1]) > 0 then return 0 end
end
-- Where the stream or the group is gone there is nobody to remove.
for i = 4, #KEYS do redis.pcall('XGROUP', 'DELCONSUMER', KEYS[i], ARGV[3], ARGV[1]) end
redis.call('HDEL', KEYS[1], ARGV[1])
redis.call('DEL', KEYS[2], KEYS[3])
return 1
