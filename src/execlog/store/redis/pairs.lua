-- Puts states of pairs if none of them changed since they were read: all of them, or nothing.
--
-- KEYS  states (hash), ages (sorted set of monitored ones with data), missing (monitored ones without), symbols (hash of
--       how many monitored pairs each has)
-- ARGV  six for each pair: key, state as it was read ('' for none), state, rank ('missing' without data, '' where it is not
--       monitored), symbol, step of its
--       symbol's count
for at = 1, #ARGV, 6 do
    local now = redis.call('HGET', KEYS[1], ARGV[at])
    if (ARGV[at + 1] == '' and now) or (ARGV[at + 1] ~= '' and now ~= ARGV[at + 1]) then
        return 0
    end
end
for at = 1, #ARGV, 6 do
    local key, rank, symbol, step = ARGV[at], ARGV[at + 3], ARGV[at + 4], tonumber(ARGV[at + 5])
    redis.call('HSET', KEYS[1], key, ARGV[at + 2])
    redis.call('ZREM', KEYS[2], key)
    redis.call('ZREM', KEYS[3], key)
    if rank == 'missing' then
        redis.call('ZADD', KEYS[3], 0, key)
    elseif rank ~= '' then
        redis.call('ZADD', KEYS[2], rank, key)
    end
    if step ~= 0 and redis.call('HINCRBY', KEYS[4], symbol, step) <= 0 then
        redis.call('HDEL', KEYS[4], symbol)
    end
end
return 1
