-- extend: reserves numbers of a workflow that has begun, for what an actor lets run in its place.
-- KEYS: 1 the workflow
-- ARGV: 1 how many numbers, 2 streams that the new nodes need, separated by commas
-- Reply: {first number, all streams of the workflow in their order}; {0, ""} when the workflow is gone
-- Safe to resend: numbers that nobody uses are reserved then.
if redis.call('HEXISTS', KEYS[1], 'v') == 0 then return {0, ''} end
local to = redis.call('HGET', KEYS[1], 'to') or ''
for stream in string.gmatch(ARGV[2], '[^,]+') do
  if not string.find(',' .. to .. ',', ',' .. stream .. ',', 1, true) then to = to == '' and stream or to .. ',' .. stream end
end
redis.call('HSET', KEYS[1], 'to', to)
local size = redis.call('HINCRBY', KEYS[1], 'size', ARGV[1])
return {size - ARGV[1] + 1, to}
