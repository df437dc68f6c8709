-- consumers: who may hold something of each of many streams, as the reaper looks; one request instead of one a stream.
-- KEYS: 1.. streams
-- ARGV: 1 group
-- Reply: of each stream the names of its consumers; none where the stream or its group is not there
-- Safe to resend: it writes nothing.
local found = {}
for i = 1, #KEYS do
  local names, rows = {}, redis.pcall('XINFO', 'CONSUMERS', KEYS[i], ARGV[1])
  if rows.err then
    local why = tostring(rows.err)
    local gone = string.find(why, 'NOGROUP', 1, true) or string.find(why, 'no such key', 1, true)
    if not gone then return redis.error_reply(why) end
    rows = {}
  end
  for _, row in ipairs(rows) do
    for at = 1, #row, 2 do if row[at] == 'name' then names[#names + 1] = row[at + 1] end end
  end
  found[i] = names
end
return found
