-- Replaces fields of a hash and runs further commands, if none of the fields changed since they were read: all in one
-- atomic step.
--
-- KEYS  the hash, and the keys of the commands
-- ARGV  1 how many fields   then of each: its name, the SHA-1 of its value as it was read ('' for none), its new value
--       ('' to remove it)   then a command each, a JSON list of texts: its name, the number of its key, the rest
local fields = tonumber(ARGV[1])
for at = 2, 3 * fields, 3 do
    local now = redis.call('HGET', KEYS[1], ARGV[at])
    local read = ARGV[at + 1]
    if (read == '' and now) or (read ~= '' and (not now or redis.sha1hex(now) ~= read)) then
        return 0
    end
end
for at = 2, 3 * fields, 3 do
    if ARGV[at + 2] == '' then
        redis.call('HDEL', KEYS[1], ARGV[at])
    else
        redis.call('HSET', KEYS[1], ARGV[at], ARGV[at + 2])
    end
end
for at = 3 * fields + 2, #ARGV do
    local command = cjson.decode(ARGV[at])
    command[2] = KEYS[tonumber(command[2])]
    redis.call(unpack(command))
end
return 1
