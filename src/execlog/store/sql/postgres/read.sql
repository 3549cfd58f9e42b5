-- What reading says. Where a place in braces stands, `postgres/query.py` puts the filter's source, conditions and order.

-- name: head
executions.number, executions.id, executions.kind, executions.namespace, executions.status, executions.at,
executions.name, executions.subject, executions.actor, executions.engine, executions.queued_at, executions.started_at,
executions.ended_at, executions.duration, executions.rows, executions.total, executions.declared_succeeded,
executions.declared_failed, executions.parent_id, executions.root_id, executions.retry_of, executions.origin,
executions.created_at, executions.items_total, executions.items_succeeded, executions.items_failed,
executions.items_open, executions.tokens_input, executions.tokens_output, executions.cost_nano, executions.error_type,
executions.error_message, executions.fingerprint, {searched}, executions.tags::text, executions.usage::text,
{detail}, {stamps};

-- name: find
select {head}
from {source}
where {where}
order by {order}
limit %(limit)s offset %(offset)s;

-- name: cells_reaching
-- The cells in these windows with a duration so long, and how many executions they count.
select starts.start,
    sum(succeeded + partial + failed + timed_out + cancelled + crashed)::bigint
from unnest(%(sinces)b::bigint [], %(untils)b::bigint []) as windows (since, until)
cross join lateral generate_series(
    (
        select min(b.start) from buckets as b where b.resolution = %(resolution)s and b.start >= windows.since
    ),
    (
        select max(b.start) from buckets as b where b.resolution = %(resolution)s and b.start < windows.until
    ),
    %(resolution)s::bigint * 1000000
) as starts (start)
cross join unnest(%(lows)b::text [], %(highs)b::text []) as wanted (low, high)
cross join lateral (
    select *
    from buckets
    where buckets.resolution = %(resolution)s and buckets.start = starts.start
        and buckets.series >= wanted.low and buckets.series < wanted.high
    offset 0
) as buckets
group by starts.start
having max(max_micros) >= %(micros)s;

-- name: find_near
-- A common text is soon among those that have any text, in the order of time. With each row come how many those are, the
-- time of the farthest, and how long it is from the middle one to it; where none has the text, that is the only row.
with executions as materialized (
    select executions.*
    from executions
    where octet_length(executions.searched) > 0 and {window}
    order by executions.created_at {direction}
    fetch first {most} rows with ties
),
found as (
    select {head}, row_number() over (order by {order}) as place
    from executions
    where {where}
    order by {order}
    limit %(limit)s
)
select near.*, found.*
from (
    select count(*), {farthest}(created_at) as edge,
        abs({farthest}(created_at) - percentile_disc(0.5) within group (order by created_at)) as half
    from executions
) as near
left join found on true
order by found.place;

-- name: between
-- The index of all texts in the order of time, which this can use beside the text's own, is for a part of them.
octet_length(executions.searched) > 0 and executions.created_at >= %(low)s and executions.created_at < %(high)s;

-- name: beyond
executions.created_at >= %(low)s and executions.created_at < %(high)s;

-- name: find_searched
-- The search comes first, and alone: asked for the newest fifty, the planner would walk the index of times instead, which
-- for a rare text means reading everything.
with executions as materialized (
    select executions.*
    from {source}
    where {where}
)
select {head}
from executions
order by {order}
limit %(limit)s offset %(offset)s;

-- name: heads_of_keys
select {head}
from unnest(%(kinds)b::text [], %(namespaces)b::text [], %(ids)b::text []) as wanted (kind, namespace, id)
inner join execution_keys as k on k.id = wanted.id and k.kind = wanted.kind and k.namespace = wanted.namespace
inner join executions on executions.created_at = k.created_at and executions.number = k.number;

-- name: items
select execution, key, status, at, position, attempt, started_at, ended_at, duration, rows, tokens_input, tokens_output,
    cost_nano, detail::text
from items
where execution = any(%(numbers)b::bigint [])
order by execution, position, key;

-- name: logs
select execution, at, number, level, message, item
from logs
where execution = any(%(numbers)b::bigint [])
order by execution, at, number, level, message, item is not null, item;

-- name: count
select count(*) from {source} where {where};

-- name: kinds
-- A step down the index a kind: of `subjects`, for it is not parted by months.
with recursive kinds (kind) as (
    select min(kind) from subjects
    union all
    select (select min(subjects.kind) from subjects where subjects.kind > kinds.kind)
    from kinds
    where kinds.kind is not null
)
select kind from kinds where kind is not null;

-- name: places
select kind, namespace
from subjects
where kind = any(%(kinds)b::text []) and subject = %(subject)s
    and (%(namespace)s::text is null or namespace = %(namespace)s::text);

-- name: newest_subjects
select executions.number, executions.created_at, executions.kind, executions.namespace, executions.subject
from {source}
where {where}
order by {order}
limit %(most)s;

-- name: heads_of
select {head}
from executions
where executions.created_at = any(%(created)s::bigint[]) and executions.number = any(%(numbers)s::bigint[]);

-- name: latest
select {head}
from subjects
cross join lateral (
    select executions.*
    from executions
    where executions.kind = subjects.kind and executions.subject = subjects.subject
        and executions.namespace = subjects.namespace and executions.subject is not null and {where}
    order by executions.created_at desc, executions.id desc
    limit 1
) as executions
where subjects.subject <> ''
order by executions.created_at desc, executions.id desc, executions.kind desc, executions.namespace desc
limit %(limit)s;

-- name: failures
with groups as materialized (
    select executions.fingerprint, count(*) as count, min(executions.created_at) as first_at,
        max(executions.created_at) as last_at,
        array_agg(distinct executions.subject) filter (where executions.subject <> '') as subjects
    from {source}
    where {where}
    group by executions.fingerprint
)
select fingerprint, count, first_at, last_at, subjects
from groups
where last_at >= coalesce(
    (select last_at from groups order by last_at desc limit 1 offset %(limit)s - 1), (select min(last_at) from groups)
);

-- name: changes
select number, deleted, keys from changes where number > %(after)s order by number limit %(limit)s;

-- name: last_changes
select number, deleted, keys from changes order by number desc limit 1;

-- name: absent
select distinct origin
from executions
where status in ('queued', 'running') and origin <> ''
    and not exists (
        select 1 from processes where processes.origin = executions.origin and processes.until > %(now)s
    )
order by origin;

-- name: sizes
select
    (select count(*) from execution_keys),
    (select count(*) from executions where status in ('queued', 'running')),
    (select count(*) from tombstones),
    (select count(*) from quarantine),
    (select last_change from state);

-- name: numbers
select coalesce(k.number, 0)
from unnest(%(kinds)b::text [], %(namespaces)b::text [], %(ids)b::text []) with ordinality
    as wanted (kind, namespace, id, place)
left join execution_keys as k on k.id = wanted.id and k.kind = wanted.kind and k.namespace = wanted.namespace
order by wanted.place;

-- name: now
select (extract(epoch from clock_timestamp()) * 1000000)::bigint;
