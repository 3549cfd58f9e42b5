-- Saves one execution if nobody changed it since it was read: record, index, order and change in one atomic step. An id
-- that leaves the index takes its record along.
--
-- KEYS  record, index, order, open, places, stream, change, the index it was in so far
-- ARGV  1 SHA-1 of the record as it was read ('' for none)   2 the record   3 time to live (ms)   4 id   5 created_at
--       6 length of an index   7 member   8 its process while it is open, else ''
--       9 what precedes an id in its record's key   10 what follows the id in its member   11 length of the stream
local now = redis.call('GET', KEYS[1])
if (ARGV[1] == '' and now) or (ARGV[1] ~= '' and (not now or redis.sha1hex(now) ~= ARGV[1])) then
    return 0
end
redis.call('SET', KEYS[1], ARGV[2], 'PX', ARGV[3])

local before = redis.call('ZSCORE', KEYS[3], ARGV[7])
redis.call('ZADD', KEYS[3], ARGV[5], ARGV[7])
if KEYS[8] ~= KEYS[2] then
    redis.call('LREM', KEYS[8], 0, ARGV[4])
    before = false
end
if not before or tonumber(before) ~= tonumber(ARGV[5]) then
    redis.call('LREM', KEYS[2], 0, ARGV[4])
    local placed = false
    for _, id in ipairs(redis.call('LRANGE', KEYS[2], 0, -1)) do
        local score = redis.call('ZSCORE', KEYS[3], id .. ARGV[10])
        if not score or tonumber(score) <= tonumber(ARGV[5]) then
            redis.call('LINSERT', KEYS[2], 'BEFORE', id, ARGV[4])
            placed = true
            break
        end
    end
    if not placed then
        redis.call('RPUSH', KEYS[2], ARGV[4])
    end
    while redis.call('LLEN', KEYS[2]) > tonumber(ARGV[6]) do
        local id = redis.call('RPOP', KEYS[2])
        redis.call('DEL', ARGV[9] .. id)
        redis.call('ZREM', KEYS[3], id .. ARGV[10])
        redis.call('HDEL', KEYS[4], id .. ARGV[10])
    end
end
redis.call('PEXPIRE', KEYS[2], ARGV[3])
redis.call('SADD', KEYS[5], ARGV[7])
redis.call('PEXPIRE', KEYS[5], ARGV[3])
if ARGV[8] == '' then
    redis.call('HDEL', KEYS[4], ARGV[7])
else
    redis.call('HSET', KEYS[4], ARGV[7], ARGV[8])
end
local number = redis.call('INCR', KEYS[7])
redis.call('XADD', KEYS[6], 'MAXLEN', '~', ARGV[11], number .. '-1', 'm', ARGV[7], 'd', '0')
return number
