-- circuit: may a delivery call what stands behind a circuit breaker?
-- The record: failures in the window that ends at `window`; or, once it has opened, `open_until`, the `cooldown` that led
-- there, and from then on the delivery that tries it out (`probe`) and until when the others wait for it (`probe_until`).
-- KEYS: 1 clock, 2 circuit
-- ARGV: 1 delivery token, 2 ms for which one that tries it out is waited for
-- Reply: {"closed", 0}  go on
--        {"probe", 0}   it was open long enough: this delivery tries it out, alone
--        {"open", ms}   not before so many ms
-- Safe to resend: who tries it out is told so again.
local at = now(KEYS[1])
local found = redis.call('HMGET', KEYS[2], 'open_until', 'probe', 'probe_until')
local open_until = tonumber(found[1])
if not open_until then return {'closed', 0} end
if open_until > at then return {'open', open_until - at} end
local probe_until = tonumber(found[3]) or 0
-- Nobody is told what it finds, so the others look again soon; how long it is waited for is another matter.
if found[2] ~= ARGV[1] and probe_until > at then return {'open', math.min(probe_until - at, 1000)} end
redis.call('HSET', KEYS[2], 'probe', ARGV[1], 'probe_until', at + tonumber(ARGV[2]))
return {'probe', 0}
