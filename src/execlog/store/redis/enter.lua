-- Enters executions in a cluster where all of them are found, or takes them out, once their record and index are as they
-- should be; then the note about it goes.
--
-- KEYS  order, open, stream, change, notes, kin, then three for each: the sets it is found in, by its id, its parent's and
--       its root's
-- ARGV  1 length of the stream   2 time to live (ms)   then five for each execution: its member, created_at ('' to take it
--       out), its process while it is open, its note ('' for none), whether to tell of the change
-- Answers for each 1, or 0 where somebody else has seen to it since it was noted: then nothing is done.
local done = {}
if redis.call('EXISTS', KEYS[6]) == 0 then
    local newest = redis.call('ZRANGE', KEYS[1], -1, -1, 'WITHSCORES')[2]
    redis.call('SET', KEYS[6], newest and string.format('%.0f', newest + 1) or '-inf')
end
for at = 3, #ARGV, 5 do
    local member, created, origin, note, told = ARGV[at], ARGV[at + 1], ARGV[at + 2], ARGV[at + 3], ARGV[at + 4]
    local first = 7 + 3 * (at - 3) / 5
    local places = KEYS[first]
    if note ~= '' and redis.call('HGET', KEYS[5], member) ~= note then
        table.insert(done, 0)
    else
        if created == '' then
            redis.call('ZREM', KEYS[1], member)
            redis.call('SREM', places, member)
        else
            redis.call('ZADD', KEYS[1], created, member)
            for place = first, first + 2 do
                redis.call('SADD', KEYS[place], member)
                redis.call('PEXPIRE', KEYS[place], ARGV[2])
            end
        end
        if origin == '' then
            redis.call('HDEL', KEYS[2], member)
        else
            redis.call('HSET', KEYS[2], member, origin)
        end
        if told == '1' then
            local number = redis.call('INCR', KEYS[4])
            local deleted = created == '' and '1' or '0'
            redis.call('XADD', KEYS[3], 'MAXLEN', '~', ARGV[1], number .. '-1', 'm', member, 'd', deleted)
        end
        if note ~= '' then
            redis.call('HDEL', KEYS[5], member)
        end
        table.insert(done, 1)
    end
end
return done
