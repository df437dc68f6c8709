-- enqueue: puts one entry on a queue of Dramatiq's stock Redis broker, in its layout, once.
-- KEYS: 1 queue (list of entries), 2 its messages (hash: entry -> message)
-- ARGV: 1 entry, 2 message (encoded)
-- Reply: 1 put; 0 it stands there already
-- Safe to resend for as long as the entry is not acknowledged.
if redis.call('HSETNX', KEYS[2], ARGV[1], ARGV[2]) == 0 then return 0 end
redis.call('RPUSH', KEYS[1], ARGV[1])
return 1
