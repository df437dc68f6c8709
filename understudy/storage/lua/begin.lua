-- begin: the body of a held message begins, and its actor repeats nothing that is in doubt: from now on it is, if the holder of
-- the claim dies.
-- KEYS: 1 clock, 2 claim, 3 the stream of the message
-- ARGV: 1 delivery token, 2 group, 3 entry
-- Reply: 1 the body may begin; 0 the message, or its claim, is not held by this delivery any more
-- Safe to resend: it begins once.
local found = redis.call('HMGET', KEYS[2], 'status', 'token')
if found[1] ~= 'running' or found[2] ~= ARGV[1] or not held(KEYS[3], ARGV[2], ARGV[3]) then return 0 end
room(KEYS[1]) -- a body begins when the server is full, too
redis.call('HDEL', KEYS[2], 'waits')
return 1
