-- Puts ids into an index in a cluster, newest first, and cuts it.
--
-- KEYS  index, its times (a sorted set of its ids by created_at; -inf once they have left it)
-- ARGV  1 length of an index   2 time to live (ms)   then two for each execution: its id, created_at
-- Answers the ids that have left and whose records are still to be removed.
local index, times = KEYS[1], KEYS[2]

-- Puts an id where it belongs: nearly always first, else the places behind are looked at twenty at a time.
local function insert(id, created)
    local at, step, some = 0, 1, nil
    repeat
        some = redis.call('LRANGE', index, at, at + step - 1)
        for _, other in ipairs(some) do
            local score = redis.call('ZSCORE', times, other)
            if not score or tonumber(score) <= created then
                return redis.call('LINSERT', index, 'BEFORE', other, id)
            end
        end
        at, step = at + step, 20
    until #some == 0
    return redis.call('RPUSH', index, id)
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
