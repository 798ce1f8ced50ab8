-- One key's account in Redis or Valkey: the arithmetic of account.py, one call a decision.
--
-- KEYS  the account (hash), what is under way (sorted set by the millisecond at which it counts as lost)
-- ARGV  what to do; seconds, or "" for the server's clock
--       reserve  lease, and the rule: requests, tokens, parallel, day, month, "" where there is none
--       settle   lease, tokens, nano-dollars
--       renew    lease, …
-- A lease is written `ident|tokens|nano`. Whole numbers are exact up to 2^53: nine million dollars.
-- Answers {reason, wait, requests left, tokens left, their resets}, seconds in milliseconds, -1 for none.

local account, leases = KEYS[1], KEYS[2]
local SLOTS, LEASE_MS, KEPT_S = 61, 60000, 3456000

local now = tonumber(ARGV[2])
if not now then
  local time = redis.call('TIME')
  now = tonumber(time[1]) + tonumber(time[2]) / 1000000
end
local second = math.floor(now)

-- Days since 1970 to a month that grows; Howard Hinnant's civil_from_days.
local function month_of(day)
  local z = day + 719468
  local era = math.floor(z / 146097)
  local doe = z - era * 146097
  local yoe = math.floor((doe - math.floor(doe / 1460) + math.floor(doe / 36524) - math.floor(doe / 146096)) / 365)
  local doy = doe - (365 * yoe + math.floor(yoe / 4) - math.floor(yoe / 100))
  local mp = math.floor((5 * doy + 2) / 153)
  local month = mp < 10 and mp + 3 or mp - 9
  return (yoe + era * 400 + (month <= 2 and 1 or 0)) * 12 + month
end

local names = {'head', 'requests', 'tokens', 'last', 'held_tokens', 'held_nano', 'day', 'day_nano', 'month', 'month_nano'}
local row = {}
for n, value in ipairs(redis.call('HMGET', account, unpack(names))) do
  row[names[n]] = tonumber(value) or 0
end

local function at(kind, slot)
  return tonumber(redis.call('HGET', account, kind .. slot)) or 0
end

local function count(tokens, nano)
  if tokens ~= 0 then
    row.tokens = row.tokens + tokens
    redis.call('HINCRBY', account, 't' .. row.head, tokens)
    row.last = row.head
  end
  row.day_nano = row.day_nano + nano
  row.month_nano = row.month_nano + nano
end

local function parts(lease)
  local tokens, nano = string.match(lease, '|(%d+)|(%d+)$')
  return tonumber(tokens), tonumber(nano)
end

local function give_back(lease)
  local tokens, nano = parts(lease)
  row.held_tokens = row.held_tokens - tokens
  row.held_nano = row.held_nano - nano
  return tokens, nano
end

if second > row.head then
  for slot = row.head - SLOTS + 1, math.min(row.head, second - SLOTS) do
    local requests, tokens = at('r', slot), at('t', slot)
    if requests ~= 0 or tokens ~= 0 then
      row.requests = row.requests - requests
      row.tokens = row.tokens - tokens
      redis.call('HDEL', account, 'r' .. slot, 't' .. slot)
    end
  end
  row.head = second
end
local day = math.floor(now / 86400)
local month = month_of(day)
if day > row.day then row.day, row.day_nano = day, 0 end
if month > row.month then row.month, row.month_nano = month, 0 end

-- Whoever does not renew is gone, and nobody knows what it came to: it is charged what it had reserved.
for _, lease in ipairs(redis.call('ZRANGEBYSCORE', leases, '-inf', now * 1000, 'LIMIT', 0, 100)) do
  redis.call('ZREM', leases, lease)
  count(give_back(lease))
end

local function save()
  local told = {}
  for _, name in ipairs(names) do
    told[#told + 1] = name
    told[#told + 1] = string.format('%.0f', row[name])
  end
  redis.call('HSET', account, unpack(told))
  redis.call('EXPIRE', account, KEPT_S)
  redis.call('EXPIRE', leases, KEPT_S)
end

local function wait(kind, over)
  for slot = row.head - SLOTS + 1, row.head do
    over = over - at(kind, slot)
    if over <= 0 then return slot + SLOTS - now end
  end
  return 1
end

local function denied(rule, tokens, nano)
  local money = row.held_nano + nano
  if rule.month and row.month_nano + money > rule.month then return 'month', -1 end
  if rule.day and row.day_nano + money > rule.day then
    return 'day', nano > rule.day and -1 or 86400 - now % 86400
  end
  if rule.tokens then
    local over = row.tokens + row.held_tokens + tokens - rule.tokens
    if over > 0 then return 'tokens', tokens > rule.tokens and -1 or wait('t', over) end
  end
  if rule.requests and row.requests >= rule.requests then return 'requests', wait('r', 1) end
  if rule.parallel and redis.call('ZCARD', leases) >= rule.parallel then return 'parallel', 1 end
  return '', -1
end

local function standing(rule, reason, waits)
  local used, requests_reset, tokens_reset = row.tokens + row.held_tokens, 0, 0
  if row.requests > 0 then
    local last = row.head
    while at('r', last) == 0 do last = last - 1 end
    requests_reset = last + SLOTS - now
  end
  if used > 0 then tokens_reset = row.held_tokens > 0 and SLOTS or row.last + SLOTS - now end
  local function milli(seconds) return seconds < 0 and -1 or math.ceil(seconds * 1000) end
  return {
    reason, milli(waits), math.max(0, (rule.requests or 0) - row.requests), math.max(0, (rule.tokens or 0) - used),
    milli(requests_reset), milli(tokens_reset),
  }
end

local answer = 0
if ARGV[1] == 'reserve' then
  local lease = ARGV[3]
  local tokens, nano = parts(lease)
  local rule = {
    requests = tonumber(ARGV[4]), tokens = tonumber(ARGV[5]), parallel = tonumber(ARGV[6]),
    day = tonumber(ARGV[7]), month = tonumber(ARGV[8]),
  }
  local reason, waits = denied(rule, tokens, nano)
  if reason == '' then
    row.requests = row.requests + 1
    redis.call('HINCRBY', account, 'r' .. row.head, 1)
    row.held_tokens = row.held_tokens + tokens
    row.held_nano = row.held_nano + nano
    redis.call('ZADD', leases, now * 1000 + LEASE_MS, lease)
  end
  answer = standing(rule, reason, waits)
elseif ARGV[1] == 'settle' then
  if redis.call('ZREM', leases, ARGV[3]) == 1 then
    give_back(ARGV[3])
    count(tonumber(ARGV[4]), tonumber(ARGV[5]))
    answer = 1
  end
else
  for n = 3, #ARGV do
    redis.call('ZADD', leases, 'XX', now * 1000 + LEASE_MS, ARGV[n])
  end
end
save()
return answer
