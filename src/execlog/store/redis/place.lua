-- Puts ids into an index in a cluster, newest first, and cuts it.
--
-- KEYS  index, its times (a sorted set of its ids by created_at; -inf once they have left it)
-- ARGV  1 length of an index   2 time to live (ms)   then two for each execution: its id, created_at
-- Answers the ids that have left and whose records are still to be removed.
local index, times = KEYS[1], KEYS[2]

-- Puts an id where it belongs: nearly always first, else it is looked for in steps that double until one is too
-- far, and then by halves.
local function insert(id, created)
    local length = redis.call('LLEN', index)
    local low, high, step = 0, length, 1 -- what stands before `low` is newer, what stands at `high` is not
    while low < high do
        local at = high < length and math.floor((low + high) / 2) or math.min(low + step, high) - 1
        local score = redis.call('ZSCORE', times, redis.call('LINDEX', index, at))
        if score and tonumber(score) > created then
            low, step = at + 1, 2 * step
        else
            high = at
        end
    end
    if low == length then
        return redis.call('RPUSH', index, id)
    end
    return redis.call('LINSERT', index, 'BEFORE', redis.call('LINDEX', index, low), id)
end

for at = 3, #ARGV, 2 do
    local id, created = ARGV[at], tonumber(ARGV[at + 1])
    local before = redis.call('ZSCORE', times, id)
    redis.call('ZADD', times, ARGV[at + 1], id)
    if not before or tonumber(before) ~= created then
        redis.call('LREM', index, 0, id)
        insert(id, created)
    end
end
while redis.call('LLEN', index) > tonumber(ARGV[1]) do
    redis.call('ZADD', times, '-inf', redis.call('RPOP', index))
end
redis.call('PEXPIRE', index, ARGV[2])
redis.call('PEXPIRE', times, ARGV[2])
return redis.call('ZRANGEBYSCORE', times, '-inf', '-inf')
