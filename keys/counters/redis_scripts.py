"""The scripts that Redis runs for the counters. Each is one atomic step; the keys that it touches are all in KEYS.

A counter's number is a string that expires with its window. A counter's leases are a hash: `:<lease id>` holds
`<amount> <when it runs out>`, `total` the sum of the amounts, and `first` a time before which none runs out, so that
they are all looked at about once in the life of a lease. Times are unix milliseconds of Redis' own clock. Numbers
are written out in full, since Lua would round them to 14 digits.
"""

_COMMON = """
local SPARE = 60000  -- how long a hash outlives its leases
local FOREVER = 2592000000  -- a budget without end that nobody used for 30 days is filled again from the database
local clock = redis.call('TIME')
local now = clock[1] * 1000 + math.floor(clock[2] / 1000)

local function whole(number)
  return string.format('%.0f', number)
end

local function parted(lease)  -- amount and end, as text
  return string.match(lease, '^(%d+) (%d+)$')
end

local function hold(name, lease, amount, lifetime)
  local known = redis.call('HGET', name, lease)
  local before = known and parted(known) or '0'
  redis.call('HSET', name, lease, whole(before + amount) .. ' ' .. whole(now + lifetime))
  redis.call('HINCRBY', name, 'total', whole(amount))
  redis.call('HSETNX', name, 'first', whole(now + lifetime))
  redis.call('PEXPIRE', name, whole(lifetime + SPARE))
end

local function give_back(name, lease)
  local known = redis.call('HGET', name, lease)
  if known then
    redis.call('HDEL', name, lease)
    if redis.call('HINCRBY', name, 'total', '-' .. parted(known)) <= 0 then
      redis.call('DEL', name)
    end
  end
end
"""

TAKE = (
    _COMMON
    + """
-- KEYS: of each charge its window and its leases. ARGV: lease, lifetime; of each charge amount, ceiling, floor, length
-- of the window ('': for ever, '0': none), held, elastic, enforced.
-- Answers 1 and of each charge used, milliseconds left (-1: for ever), taken, exceeded; or 0, place, used, left.
local function held_of(name)
  local told = redis.call('HMGET', name, 'total', 'first')
  if not told[1] then
    return 0
  end
  if tonumber(told[2]) > now then
    return tonumber(told[1])
  end
  local first
  local all = redis.call('HGETALL', name)
  for i = 1, #all, 2 do
    if string.sub(all[i], 1, 1) == ':' then
      local _, ends = parted(all[i + 1])
      if tonumber(ends) <= now then
        give_back(name, all[i])
      else
        first = math.min(first or tonumber(ends), tonumber(ends))
      end
    end
  end
  if first then
    redis.call('HSET', name, 'first', whole(first))
  end
  return tonumber(redis.call('HGET', name, 'total') or 0)
end

local lease, lifetime = ARGV[1], tonumber(ARGV[2])
local judged = {}
for i = 1, #KEYS / 2 do
  local at = 2 + (i - 1) * 7
  local window, leases = KEYS[2 * i - 1], KEYS[2 * i]
  local amount, ceiling, floor = tonumber(ARGV[at + 1]), tonumber(ARGV[at + 2]), tonumber(ARGV[at + 3])
  local length = ARGV[at + 4]
  local held, elastic, enforced = ARGV[at + 5] == '1', ARGV[at + 6] == '1', ARGV[at + 7] == '1'
  local left, stored = tonumber(length) or -1, nil
  if length ~= '0' then
    stored = tonumber(redis.call('GET', window) or nil)
    if stored and length ~= '' then
      left = redis.call('PTTL', window)
    end
  end
  local used = math.max(stored or 0, floor)
  local in_use = used
  if held then
    in_use = used + held_of(leases)
  end
  local room, exceeded = ceiling - in_use, 0
  if room < (elastic and 1 or amount) then
    if enforced then
      return {0, i, in_use, left}
    end
    exceeded = 1
  elseif elastic then
    amount = math.min(amount, room)
  end
  judged[i] = {in_use + amount, left, amount, exceeded, held, length, used - (stored or 0), stored}
end

local answer = {1}
for i, one in ipairs(judged) do
  local window, amount, held, length, grows, stored = KEYS[2 * i - 1], one[3], one[5], one[6], one[7], one[8]
  if held and amount > 0 then
    hold(KEYS[2 * i], lease, amount, lifetime)
  end
  if not held then
    grows = grows + amount
  end
  if length ~= '0' and grows > 0 and window ~= KEYS[2 * i - 3] then
    redis.call('INCRBY', window, whole(grows))
    if length == '' then
      redis.call('PEXPIRE', window, FOREVER)
    elseif not stored then
      redis.call('PEXPIRE', window, length)
    end
  end
  for n = 1, 4 do
    answer[#answer + 1] = one[n]
  end
end
return answer
"""
)

BOOK = (
    _COMMON
    + """
-- KEYS: the batch; of each call the leases of its counters, then the windows in which it spent something.
-- ARGV: how long to know the batch (seconds); of each call lease, how many counters, how many windows, and of each of
-- these amount and length. Answers 0 when the batch was booked before.
if not redis.call('SET', KEYS[1], '1', 'NX', 'EX', ARGV[1]) then
  return 0
end
local key, at = 2, 2
while at <= #ARGV do
  local lease, counters, windows = ARGV[at], tonumber(ARGV[at + 1]), tonumber(ARGV[at + 2])
  at = at + 3
  for _ = 1, counters do
    give_back(KEYS[key], lease)
    key = key + 1
  end
  for _ = 1, windows do
    local length = ARGV[at + 1]
    redis.pcall('INCRBY', KEYS[key], ARGV[at])  -- what would be too large stays as it is
    if length == '' then
      redis.call('PEXPIRE', KEYS[key], FOREVER)
    elseif redis.call('PTTL', KEYS[key]) < 0 then
      redis.call('PEXPIRE', KEYS[key], length)
    end
    key, at = key + 1, at + 2
  end
end
return 1
"""
)

PROLONG = (
    _COMMON
    + """
-- KEYS: the leases of a counter for each lease and counter. ARGV: lifetime; for each of them lease and amount.
local lifetime = tonumber(ARGV[1])
for i = 1, #KEYS do
  local lease, amount = ARGV[2 * i], ARGV[2 * i + 1]
  local known = redis.call('HGET', KEYS[i], lease)
  if known then
    redis.call('HSET', KEYS[i], lease, parted(known) .. ' ' .. whole(now + lifetime))
    redis.call('PEXPIRE', KEYS[i], whole(lifetime + SPARE))
  elseif amount ~= '0' then
    hold(KEYS[i], lease, amount, lifetime)
  end
end
return 1
"""
)
