-- Notes in a cluster that executions are about to be saved, or removed: who finds such a note old makes good what the
-- process that wrote it left undone.
--
-- KEYS  notes, then the mark of each one that is removed
-- ARGV  1 a token   2 the marks' time to live (ms)   then three for each execution: its member, the index it is removed from
--       ('' to save it), its mark ('' for none)
-- Answers what the notes begin with: the time in microseconds and the token. One of a removal stays: it will be carried out.
local time = redis.call('TIME')
local head = string.format('%.0f', time[1] * 1000000 + time[2]) .. ' ' .. ARGV[1]
for at = 3, #ARGV, 3 do
    local index = ARGV[at + 1]
    if index ~= '' then
        redis.call('HSET', KEYS[1], ARGV[at], head .. ' ' .. index)
        if ARGV[at + 2] ~= '' then
            redis.call('SET', KEYS[(at + 3) / 3], ARGV[at + 2], 'PX', ARGV[2])
        end
    else
        local now = redis.call('HGET', KEYS[1], ARGV[at])
        if not now or not string.find(now, '^%d+ %x+ ') then
            redis.call('HSET', KEYS[1], ARGV[at], head)
        end
    end
end
return head
