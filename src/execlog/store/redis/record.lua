-- Writes the record of an execution in a cluster if nobody changed it since it was read.
--
-- KEYS  record
-- ARGV  1 SHA-1 of the record as it was read ('' for none)   2 the record   3 time to live (ms)
local now = redis.call('GET', KEYS[1])
if (ARGV[1] == '' and now) or (ARGV[1] ~= '' and (not now or redis.sha1hex(now) ~= ARGV[1])) then
    return 0
end
redis.call('SET', KEYS[1], ARGV[2], 'PX', ARGV[3])
return 1
