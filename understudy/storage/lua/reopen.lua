-- reopen: takes back that nodes of a workflow have ended, a page at a time. Nothing runs by that: `relaunch` comes at the end.
-- KEYS: 1 the workflow, 2 its ended nodes, 3.. records of the nodes, in turn, then what else is forgotten with them
-- ARGV: 1 what the workflow says of its earlier resumes, 2 "back" also takes back what followed from the end: it is not counted
--       in its group any more, its strand has not stopped; "wipe" only forgets it, as part of what is run anew, then for each
--       node: number, group above ("-" for none), strand ("-" for a member that is one message), "g" for a group, else "t"
-- Reply: 1 done; 0 the workflow is not as it was seen: somebody else resumes it, or it goes on; an error when a command failed:
--        nothing was done
-- Safe to resend: what was taken back is not there any more.
local flow = redis.call('HMGET', KEYS[1], 'v', 'resumed')
if not flow[1] or (flow[2] or '0') ~= ARGV[1] then return 0 end
local back = {}

-- change(field, value): of the workflow; no value removes it. What was there is noted.
local function change(field, value)
  local found = redis.call('HGET', KEYS[1], field)
  if found then back[#back + 1] = { 'HSET', KEYS[1], field, found } else back[#back + 1] = { 'HDEL', KEYS[1], field } end
  if value then redis.call('HSET', KEYS[1], field, value) elseif found then redis.call('HDEL', KEYS[1], field) end
end

local function reopen(n, up, strand, kind)
  local ended = redis.call('GETBIT', KEYS[2], n)
  local counted = ended == 1
  if strand ~= '-' then counted = redis.call('HGET', KEYS[1], 'x' .. strand) == n end
  if kind == 't' then
    back[#back + 1] = { 'SETBIT', KEYS[2], n, ended }
    redis.call('SETBIT', KEYS[2], n, 0)
  end
  if ARGV[2] == 'wipe' then
    change('x' .. strand)
    if kind == 'g' then for _, field in ipairs({ 'd', 'e', 'f', 'c' }) do change(field .. n) end end
  elseif counted then
    change('x' .. strand)
    if kind == 'g' then change('f' .. n) end
    if up ~= '-' then
      change('e' .. up, (tonumber(redis.call('HGET', KEYS[1], 'e' .. up)) or 0) - 1)
      change('f' .. up)
    end
  end
end

local records = {}
local done, why = pcall(function()
  for i = 3, #ARGV, 4 do
    reopen(ARGV[i], ARGV[i + 1], ARGV[i + 2], ARGV[i + 3])
    if ARGV[i + 3] == 't' then records[#records + 1] = KEYS[3 + (i - 3) / 4] end
  end
  for i = 3 + (#ARGV - 2) / 4, #KEYS do records[#records + 1] = KEYS[i] end
  -- All at once, and last: what is removed need not be put back.
  if #records > 0 then redis.call('UNLINK', unpack(records)) end
end)
if done then return 1 end
for i = #back, 1, -1 do redis.pcall(unpack(back[i])) end
return {err = type(why) == 'table' and why.err or tostring(why)}
