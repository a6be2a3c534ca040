"""The Lua scripts of the Redis store: each is one atomic step of the contract.

A script that can refuse answers {"ok", result}, {"conflict", found revision} or {"lost", current generation}.
"""

# Where a write has a fence: KEYS[1] is its lease, ARGV[1] the generation held ('' without a fence).
_FENCED = """
if ARGV[1] ~= '' then
  local current = tonumber(redis.call('HGET', KEYS[1], 'generation') or '0')
  if current ~= tonumber(ARGV[1]) then return {'lost', current} end
end
"""

# KEYS[2] is the hash of documents, ARGV[2] the key, ARGV[3] the expected revision or ''.
_EXPECTED = """
local stored = redis.call('HGET', KEYS[2], ARGV[2])
local found = stored and tonumber(string.match(stored, '^%d+')) or 0
if ARGV[3] ~= '' and tonumber(ARGV[3]) ~= found then return {'conflict', found} end
"""

PUT = f"""
{_FENCED}
{_EXPECTED}
redis.call('HSET', KEYS[2], ARGV[2], (found + 1) .. ' ' .. ARGV[4])
redis.call('ZADD', KEYS[3], 0, ARGV[2])
return {{'ok', found + 1}}
"""

DELETE = f"""
{_FENCED}
{_EXPECTED}
redis.call('ZREM', KEYS[3], ARGV[2])
return {{'ok', redis.call('HDEL', KEYS[2], ARGV[2])}}
"""

# ARGV: low, high, limit, 'ASC' or 'DESC'; answers key, stored, key, stored, …
FIND = """
local names
if ARGV[4] == 'ASC' then
  names = redis.call('ZRANGEBYLEX', KEYS[2], ARGV[1], ARGV[2], 'LIMIT', 0, ARGV[3])
else
  names = redis.call('ZREVRANGEBYLEX', KEYS[2], ARGV[2], ARGV[1], 'LIMIT', 0, ARGV[3])
end
local found = {}
for at, name in ipairs(names) do
  found[2 * at - 1] = name
  found[2 * at] = redis.call('HGET', KEYS[1], name)
end
return found
"""

# KEYS: lease, heads, entries, kinds, bell; ARGV: fence, log, kind, instant, body.
# The bell is a stream with the newest id alone, so that waiting moves no bodies.
APPEND = f"""
{_FENCED}
local seq = redis.call('HINCRBY', KEYS[2], ARGV[2], 1)
local id = string.format('%.0f-0', seq)
redis.call('XADD', KEYS[3], id, 'k', ARGV[3], 'a', ARGV[4], 'b', ARGV[5])
redis.call('HSET', KEYS[4], ARGV[3], seq)
redis.call('XADD', KEYS[5], 'MAXLEN', 1, id, 's', '')
return {{'ok', seq}}
"""

# ARGV: first id, limit, kinds…; a few entries at a time, as bodies may be large.
READ_KINDS = """
local wanted = {}
for at = 3, #ARGV do wanted[ARGV[at]] = true end
local found, from = {}, ARGV[1]
while true do
  local page = redis.call('XRANGE', KEYS[1], from, '+', 'COUNT', 16)
  for _, entry in ipairs(page) do
    if wanted[entry[2][2]] then
      found[#found + 1] = entry
      if #found >= tonumber(ARGV[2]) then return found end
    end
  end
  if #page < 16 then return found end
  from = '(' .. page[#page][1]
end
"""

LATEST = """
local seq = redis.call('HGET', KEYS[2], ARGV[1])
if not seq then return {} end
return redis.call('XRANGE', KEYS[1], seq .. '-0', seq .. '-0')
"""

SPAN = """
local newest = tonumber(redis.call('HGET', KEYS[1], ARGV[1]) or '0')
local first = redis.call('XRANGE', KEYS[2], '-', '+', 'COUNT', 1)
if #first == 0 then return {newest + 1, newest} end
return {tonumber(string.match(first[1][1], '^%d+')), newest}
"""

TRIM = """
if ARGV[1] == '0' then redis.call('XTRIM', KEYS[2], 'MAXLEN', 0) end
return redis.call('XTRIM', KEYS[1], 'MAXLEN', ARGV[1])
"""

# Leases run on the clock of the Redis server, in milliseconds.
_NOW = """
local clock = redis.call('TIME')
local now = clock[1] * 1000 + math.floor(clock[2] / 1000)
local holder = redis.call('HGET', KEYS[1], 'holder') or ''
local generation = tonumber(redis.call('HGET', KEYS[1], 'generation') or '0')
local expires = tonumber(redis.call('HGET', KEYS[1], 'expires') or '0')
"""

ACQUIRE = f"""
{_NOW}
if holder ~= '' and holder ~= ARGV[1] and expires > now then return 0 end
redis.call('HSET', KEYS[1], 'holder', ARGV[1], 'generation', generation + 1,
  'expires', string.format('%.0f', now + ARGV[2]))
return generation + 1
"""

RENEW = f"""
{_NOW}
if holder ~= ARGV[1] or generation ~= tonumber(ARGV[2]) then return {{'lost', generation}} end
redis.call('HSET', KEYS[1], 'expires', string.format('%.0f', now + ARGV[3]))
return {{'ok', generation}}
"""

RELEASE = """
if redis.call('HGET', KEYS[1], 'generation') == ARGV[1] then
  redis.call('HSET', KEYS[1], 'holder', '', 'expires', '0')
end
return 1
"""
