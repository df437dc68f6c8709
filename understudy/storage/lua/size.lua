-- size: how many messages of a queue wait, are delayed, or are being worked on; counted in one moment, because a message on
-- its way from one place to the other would else be in none.
-- KEYS: 1 delayed, 2.. the streams of the queue
-- ARGV: -
-- Reply: the number
-- Safe to resend: nothing is written.
local size = redis.call('ZCARD', KEYS[1])
for i = 2, #KEYS do size = size + redis.call('XLEN', KEYS[i]) end
return size
