-- Puts ids into an index in a cluster, newest first, and cuts it.
--
-- KEYS  index, its times (a sorted set of its ids by created_at; -inf once they have left it)
-- ARGV  1 length of an index   2 time to live (ms)   then two for each execution: its id, created_at
-- Answers the ids that have left and whose records are still to be removed.
for at = 3, #ARGV, 2 do
    local id, created = ARGV[at], tonumber(ARGV[at + 1])
    local before = redis.call('ZSCORE', KEYS[2], id)
    redis.call('ZADD', KEYS[2], ARGV[at + 1], id)
    if not before or tonumber(before) ~= created then
        redis.call('LREM', KEYS[1], 0, id)
        local placed = false
        for _, other in ipairs(redis.call('LRANGE', KEYS[1], 0, -1)) do
            local score = redis.call('ZSCORE', KEYS[2], other)
            if not score or tonumber(score) <= created then
                redis.call('LINSERT', KEYS[1], 'BEFORE', other, id)
                placed = true
                break
            end
        end
        if not placed then
            redis.call('RPUSH', KEYS[1], id)
        end
    end
end
while redis.call('LLEN', KEYS[1]) > tonumber(ARGV[1]) do
    redis.call('ZADD', KEYS[2], '-inf', redis.call('RPOP', KEYS[1]))
end
redis.call('PEXPIRE', KEYS[1], ARGV[2])
redis.call('PEXPIRE', KEYS[2], ARGV[2])
return redis.call('ZRANGEBYSCORE', KEYS[2], '-inf', '-inf')
