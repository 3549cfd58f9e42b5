-- The notes that are older than so many microseconds, each with its member.
--
-- KEYS  notes
-- ARGV  1 the age
local time = redis.call('TIME')
local before = time[1] * 1000000 + time[2] - ARGV[1]
local found = {}
local notes = redis.call('HGETALL', KEYS[1])
for at = 1, #notes, 2 do
    if tonumber(string.match(notes[at + 1], '^%d+')) <= before then
        table.insert(found, notes[at])
        table.insert(found, notes[at + 1])
    end
end
return found
