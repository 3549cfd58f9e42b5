-- Removes one execution everywhere, and marks it deleted.
--
-- KEYS  record, index, order, open, places, stream, change, deleted
-- ARGV  1 id   2 member   3 the mark ('' for none)   4 the mark's time to live (ms)   5 length of the stream
local gone = redis.call('DEL', KEYS[1])
redis.call('LREM', KEYS[2], 0, ARGV[1])
redis.call('ZREM', KEYS[3], ARGV[2])
redis.call('HDEL', KEYS[4], ARGV[2])
redis.call('SREM', KEYS[5], ARGV[2])
if gone == 0 then
    return 0
end
if ARGV[3] ~= '' then
    redis.call('SET', KEYS[8], ARGV[3], 'PX', ARGV[4])
end
local number = redis.call('INCR', KEYS[7])
redis.call('XADD', KEYS[6], 'MAXLEN', '~', ARGV[5], number .. '-1', 'm', ARGV[2], 'd', '1')
return 1
