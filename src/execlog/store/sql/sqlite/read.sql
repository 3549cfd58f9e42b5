-- What reading says. Where a place in braces stands, `sqlite/query.py` puts the filter's source, conditions and order.
-- Answers come as one JSON array in one row: a row a step would hand the interpreter over once a row.

-- name: find
select json_group_array(json_array(
    number, id, kind, namespace, status, at, name, subject, actor, engine, queued_at, started_at, ended_at, duration,
    rows, total, declared_succeeded, declared_failed, parent_id, root_id, retry_of, origin, created_at, items_total,
    items_succeeded, items_failed, items_open, tokens_input, tokens_output, cost_nano, error_type, error_message,
    fingerprint, text_key, tags, usage, null, null
))
from (
    select executions.*
    from {source}
    where {where}
    order by {order}
    limit :limit offset :offset
);

-- name: cells_reaching
-- The cells in these windows with a duration so long, and how many executions they count: from each start that is there
-- to the next.
with recursive windows (since, until) as materialized (
    select value ->> 0, value ->> 1 from json_each(:windows)
),
starts (start, until) as (
    select (
        select min(buckets.start)
        from buckets
        where buckets.resolution = :resolution and buckets.start >= windows.since and buckets.start < windows.until
    ), windows.until
    from windows
    union all
    select (
        select min(buckets.start)
        from buckets
        where buckets.resolution = :resolution and buckets.start > starts.start and buckets.start < starts.until
    ), starts.until
    from starts
    where starts.start is not null
)
select json_group_array(json_array(start, executions))
from (
    select starts.start, sum(succeeded + partial + failed + timed_out + cancelled + crashed) as executions
    from starts
    cross join json_each(:series) as wanted
    cross join buckets
        on buckets.resolution = :resolution and buckets.start = starts.start
            and series >= wanted.value ->> 0 and series < wanted.value ->> 1
    group by starts.start
    having max(max_micros) >= :micros
);

-- name: find_texts
-- The rowids of the text index ascend with time second by second, so the first ones are the newest (`desc`) up to order
-- within a second.
select json_group_array(json_array(number, text_key, created_at, id, kind, namespace))
from (
    select executions.number, texts.rowid as text_key, executions.created_at, executions.id, executions.kind,
        executions.namespace
    from {source}
    where {where} and texts.rowid between :first_key and :last_key
    order by texts.rowid {direction}
    limit :limit
);

-- name: heads_of
select json_group_array(json_array(
    number, id, kind, namespace, status, at, name, subject, actor, engine, queued_at, started_at, ended_at, duration,
    rows, total, declared_succeeded, declared_failed, parent_id, root_id, retry_of, origin, created_at, items_total,
    items_succeeded, items_failed, items_open, tokens_input, tokens_output, cost_nano, error_type, error_message,
    fingerprint, text_key, tags, usage, null, null
))
from executions
where number in (select value from json_each(:numbers));

-- name: details
select number, detail from executions where number in (select value from json_each(:numbers)) and detail is not null;

-- name: items
select execution, key, status, at, position, attempt, started_at, ended_at, duration, rows, tokens_input, tokens_output,
    cost_nano, detail
from items
where execution in (select value from json_each(:numbers))
order by execution, position, key;

-- name: logs
select execution, at, number, level, message, item
from logs
where execution in (select value from json_each(:numbers))
order by execution, at, number, level, message, item;

-- name: count
select count(*) from {source} where {where};

-- name: kinds
with recursive kinds (kind) as (
    select (select min(kind) from executions indexed by executions_kind)
    union all
    select (
        select min(executions.kind)
        from executions indexed by executions_kind
        where executions.kind > kinds.kind
    )
    from kinds
    where kinds.kind is not null
)
select json_group_array(kind) from kinds where kind is not null;

-- name: spaces
-- Every (kind, namespace) of these kinds that may have executions, without looking at them all.
with recursive spaces (kind, namespace) as (
    select value, '' from json_each(:kinds)
    union all
    select spaces.kind, (
        select min(executions.namespace)
        from executions indexed by executions_namespace
        where executions.kind = spaces.kind and executions.namespace <> ''
            and executions.namespace > spaces.namespace
    )
    from spaces
    where spaces.namespace is not null
)
select json_group_array(json_array(kind, namespace)) from spaces where namespace is not null;

-- name: places
-- Every (kind, namespace) that has executions of a subject, without looking at them all.
with recursive places (kind, namespace) as (
    select kinds.value, (
        select min(namespace)
        from executions indexed by executions_subject
        where kind = kinds.value and subject = :subject
    )
    from json_each(:kinds) as kinds
    union all
    select places.kind, (
        select min(executions.namespace)
        from executions indexed by executions_subject
        where executions.kind = places.kind and executions.subject = :subject
            and executions.namespace > places.namespace
    )
    from places
    where places.namespace is not null
)
select json_group_array(json_array(kind, namespace))
from places
where namespace is not null and (:namespace is null or namespace = :namespace);

-- name: newest
(select executions.* from {source} order by {order} limit :near) as executions;

-- name: newest_subjects
select json_group_array(json_array(number, kind, namespace, subject))
from (
    select executions.number, executions.kind, executions.namespace, executions.subject
    from {source}
    where {where}
    order by {order}
    limit :most
);

-- name: latest
-- One step down the index per subject, then one look for its newest execution that the filter lets through. Without the
-- plus signs columns would be compared with columns, and SQLite goes through all of a kind for each step.
with recursive subjects (number) as (
    select (
        select number
        from executions indexed by executions_subject
        where subject <> '' and (:kind is null or kind = :kind)
        order by kind, subject, namespace
        limit 1
    )
    union all
    select (
        select next.number
        from executions as next indexed by executions_subject
        where next.subject <> '' and (:kind is null or next.kind = :kind)
            and (next.kind, next.subject, next.namespace) > (+this.kind, +this.subject, +this.namespace)
        order by next.kind, next.subject, next.namespace
        limit 1
    )
    from subjects
    cross join executions as this on this.number = subjects.number
)
select json_group_array(number)
from (
    select newest.number
    from subjects
    cross join executions as this on this.number = subjects.number
    cross join executions as newest on newest.number = (
        select executions.number
        from executions indexed by {index}
        where executions.kind = this.kind and executions.subject = this.subject
            and executions.namespace = this.namespace and {where}
        order by executions.created_at desc, executions.id desc
        limit 1
    )
    order by newest.created_at desc, newest.id desc, newest.kind desc, newest.namespace desc
    limit :limit
);

-- name: failures
with groups (fingerprint, count, first_at, last_at, subjects) as materialized (
    select fingerprint, count(*), min(executions.created_at), max(executions.created_at),
        json_group_array(distinct subject) filter (where subject <> '')
    from {source}
    where {where}
    group by fingerprint
)
select json_group_array(json_array(fingerprint, count, first_at, last_at, json(subjects)))
from groups
where last_at >= coalesce((select last_at from groups order by last_at desc limit 1 offset :limit - 1), last_at);

-- name: changes
select json_group_array(json_array(number, deleted, json(keys)))
from (select number, deleted, keys from changes where number > :after order by number limit :limit);

-- name: last_changes
select json_group_array(json_array(number, deleted, json(keys)))
from (select number, deleted, keys from changes order by number desc limit 1);

-- name: absent
select json_group_array(distinct origin)
from executions indexed by executions_open
where status in ('queued', 'running') and origin <> ''
    and not exists (select 1 from processes where processes.origin = executions.origin and until > :now);

-- name: sizes
select
    (select count(*) from executions),
    (select count(*) from executions indexed by executions_open where status in ('queued', 'running')),
    (select count(*) from tombstones),
    (select count(*) from quarantine),
    (select coalesce(max(number), 0) from changes);

-- name: numbers
-- The rows' own short names, in the order of the keys; 0 for one that is gone.
select json_group_array(coalesce(e.number, 0))
from json_each(:keys) as keys
left join executions as e
    on e.id = keys.value ->> 2 and e.kind = keys.value ->> 0 and e.namespace = keys.value ->> 1;
