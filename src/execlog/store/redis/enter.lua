-- Enters executions in a cluster where all of them are found, or takes them out, once their record and index are as they
-- should be; then the note about it goes.
--
-- KEYS  order, open, stream, change, notes, then the places of each
-- ARGV  1 length of the stream   2 time to live (ms)   then five for each execution: its member, created_at ('' to take it
--       out), its process while it is open, its note ('' for none), whether to tell of the change
-- Answers for each 1, or 0 where somebody else has seen to it since it was noted: then nothing is done.
local done = {}
for at = 3, #ARGV, 5 do
    local member, created, origin, note, told = ARGV[at], ARGV[at + 1], ARGV[at + 2], ARGV[at + 3], ARGV[at + 4]
    local places = KEYS[5 + (at + 2) / 5]
    if note ~= '' and redis.call('HGET', KEYS[5], member) ~= note then
        table.insert(done, 0)
    else
        if created == '' then
            redis.call('ZREM', KEYS[1], member)
            redis.call('SREM', places, member)
        else
            redis.call('ZADD', KEYS[1], created, member)
            redis.call('SADD', places, member)
            redis.call('PEXPIRE', places, ARGV[2])
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
