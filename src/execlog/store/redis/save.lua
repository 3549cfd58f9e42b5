-- Saves executions, each if nobody changed it since it was read: record, index, order and change in one atomic step. An id
-- that leaves an index takes its record along.
--
-- KEYS  order, open, stream, change, kin, then six for each execution: record, index, the index it was in so far, and the
--       sets it is found in: by its id, its parent's and its root's
-- ARGV  1 time to live (ms)   2 length of an index   3 length of the stream   then five for each execution: SHA-1 of the
--       record as it was read ('' for none), the record, created_at, member, its process while it is open, else ''
-- Answers for each the number of its change, or 0 where somebody else was quicker.
local order, open, ttl, limit = KEYS[1], KEYS[2], ARGV[1], tonumber(ARGV[2])
local call = redis.call

-- Puts an id where it belongs: nearly always first, else it is looked for in steps that double until one is too
-- far, and then by halves.
local function insert(index, id, created, suffix)
    local length = call('LLEN', index)
    local low, high, step = 0, length, 1 -- what stands before `low` is newer, what stands at `high` is not
    while low < high do
        local at = high < length and math.floor((low + high) / 2) or math.min(low + step, high) - 1
        local score = call('ZSCORE', order, call('LINDEX', index, at) .. suffix)
        if score and tonumber(score) > created then
            low, step = at + 1, 2 * step
        else
            high = at
        end
    end
    if low == length then
        return call('RPUSH', index, id)
    end
    return call('LINSERT', index, 'BEFORE', call('LINDEX', index, low), id)
end

local function place(record, index, id, created, suffix)
    call('LREM', index, 0, id)
    insert(index, id, created, suffix)
    local prefix = string.sub(record, 1, -#id - 1)
    for _ = limit + 1, call('LLEN', index) do
        local last = call('RPOP', index)
        call('DEL', prefix .. last)
        call('ZREM', order, last .. suffix)
        call('HDEL', open, last .. suffix)
    end
end

local function enter(set, member)
    call('SADD', set, member)
    call('PEXPIRE', set, ttl)
end

local function save(record, index, was, places, parent, root, read, text, created, member, origin)
    local now = call('GET', record)
    if (read == '' and now) or (read ~= '' and (not now or redis.sha1hex(now) ~= read)) then
        return 0
    end
    call('SET', record, text, 'PX', ttl)
    local id = string.match(member, '^[^\31]*')
    local before = call('ZSCORE', order, member)
    call('ZADD', order, created, member)
    if was ~= index then
        call('LREM', was, 0, id)
        before = false
    end
    if not before or tonumber(before) ~= tonumber(created) then
        place(record, index, id, tonumber(created), string.sub(member, #id + 1))
    end
    call('PEXPIRE', index, ttl)
    enter(places, member)
    if parent ~= places then
        enter(parent, member)
    end
    if root ~= places then
        enter(root, member)
    end
    if origin == '' then
        call('HDEL', open, member)
    else
        call('HSET', open, member, origin)
    end
    local number = call('INCR', KEYS[4])
    call('XADD', KEYS[3], 'MAXLEN', '~', ARGV[3], number .. '-1', 'm', member, 'd', '0')
    return number
end

if call('EXISTS', KEYS[5]) == 0 then
    local newest = call('ZRANGE', order, -1, -1, 'WITHSCORES')[2]
    call('SET', KEYS[5], newest and string.format('%.0f', newest + 1) or '-inf')
end

local numbers = {}
for at = 1, (#KEYS - 5) / 6 do
    local key, arg = 6 * at - 1, 3 + 5 * (at - 1)
    numbers[at] = save(
        KEYS[key + 1], KEYS[key + 2], KEYS[key + 3], KEYS[key + 4], KEYS[key + 5], KEYS[key + 6],
        ARGV[arg + 1], ARGV[arg + 2], ARGV[arg + 3], ARGV[arg + 4], ARGV[arg + 5]
    )
end
return numbers
