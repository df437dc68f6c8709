-- revoked: which messages are revoked, as workers ask when they start, reconnect, or cannot hear.
-- KEYS: 1 clock, 2 revoked, 3 to be stopped
-- ARGV: 1 a message id, or "" for all, 2 how many of them to pass over, 3 how many at the most
-- Reply: of one id {1} or {0}; of all a page of {id, "stop" or "stay", ...}
-- Safe to resend: it writes nothing.
local at = now(KEYS[1])
if ARGV[1] ~= '' then
  local deadline = redis.call('ZSCORE', KEYS[2], ARGV[1])
  return {(deadline and not expired(deadline, at)) and 1 or 0}
end
local page = {}
for _, id in ipairs(redis.call('ZRANGEBYSCORE', KEYS[2], '(' .. at, '+inf', 'LIMIT', ARGV[2], ARGV[3])) do
  page[#page + 1] = id
  page[#page + 1] = redis.call('ZSCORE', KEYS[3], id) and 'stop' or 'stay'
end
return page
