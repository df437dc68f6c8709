-- insist: one write that a full server would refuse, for what helps to make room: a worker that comes to drain it.
-- KEYS: 1 the key of the command
-- ARGV: the command and its arguments, with "" in the place of the key
-- Reply: that of the command
-- Safe to resend: if the command is; see `Storage.call`.
local command = {}
for i = 1, #ARGV do command[i] = ARGV[i] == '' and KEYS[1] or ARGV[i] end
room(KEYS[1])
return redis.call(unpack(command))
