-- read: the record of a message, unless its time is over.
-- KEYS: 1 clock, 2 state record
-- ARGV: -
-- Reply: the record's fields and values in turn; empty when there is none or it has expired
-- Safe to resend: it writes nothing.
if expired(redis.call('HGET', KEYS[2], 'expires_at'), now(KEYS[1])) then return {} end
return redis.call('HGETALL', KEYS[2])
