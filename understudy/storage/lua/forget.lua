-- forget: removes what is recorded of a message. One that is being worked on goes on, and its outcome will be recorded.
-- KEYS: 1 state record
-- ARGV: -
-- Reply: 1 something was forgotten; 0 there was nothing
-- Safe to resend: what is gone is gone.
return redis.call('DEL', KEYS[1])
