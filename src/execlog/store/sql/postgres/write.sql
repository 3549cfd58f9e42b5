-- What `apply` and `delete` say. One writer at a time holds the lock, so that change numbers come without gaps and in
-- order; readers are not held up.

-- name: lock
select pg_advisory_xact_lock(hashtext('execlog ' || current_schema()));

-- name: version
-- Asked once the lock is held, by a statement of its own: it sees what a migration did that the lock waited for.
select max(version) from execlog_schema;

-- name: look
select last_number, last_change, exists (select 1 from tombstones) from state;

-- name: note_state
update state set last_number = %(last_number)s, last_change = %(last_change)s;

-- name: marks
select t.kind, t.namespace, t.id, t.at, t.was_open
from unnest(%(kinds)b::text [], %(namespaces)b::text [], %(ids)b::text []) as wanted (kind, namespace, id)
inner join tombstones as t on t.id = wanted.id and t.kind = wanted.kind and t.namespace = wanted.namespace;

-- name: name_executions
insert into execution_keys (number, id, kind, namespace, created_at)
select *
from unnest(
    %(numbers)b::bigint [], %(ids)b::text [], %(kinds)b::text [], %(namespaces)b::text [], %(created)b::bigint []
)
on conflict (id, kind, namespace) do nothing
returning number;

-- name: copy_executions
copy executions (
    number, id, kind, namespace, status, at, name, subject, actor, engine, queued_at, started_at, ended_at, duration,
    rows, total, declared_succeeded, declared_failed, parent_id, root_id, retry_of, origin, created_at, items_total,
    items_succeeded, items_failed, items_open, tokens_input, tokens_output, cost_nano, error_type, error_message,
    fingerprint, searched, tags, usage, detail, stamps
) from stdin;

-- name: copy_items
copy items (
    execution, created_at, key, status, at, position, attempt, started_at, ended_at, duration, rows, tokens_input,
    tokens_output, cost_nano, detail
) from stdin;

-- name: copy_logs
copy logs (execution, at, number, level, message, item) from stdin;

-- name: note_subjects
insert into subjects (kind, subject, namespace)
select * from unnest(%(kinds)b::text [], %(subjects)b::text [], %(namespaces)b::text [])
on conflict do nothing;

-- name: take_out_executions
delete from executions
using unnest(%(numbers)b::bigint [], %(created)b::bigint []) as old (number, created_at)
where executions.created_at = old.created_at and executions.number = old.number;

-- name: move_keys
update execution_keys set created_at = moved.created_at
from unnest(
    %(ids)b::text [], %(kinds)b::text [], %(namespaces)b::text [], %(created)b::bigint []
) as moved (id, kind, namespace, created_at)
where execution_keys.id = moved.id and execution_keys.kind = moved.kind
    and execution_keys.namespace = moved.namespace;

-- name: move_items
update items set created_at = moved.created_at
from unnest(%(numbers)b::bigint [], %(created)b::bigint []) as moved (number, created_at)
where items.execution = moved.number;

-- name: items_said
select i.execution, i.key, i.status, i.at, i.position, i.attempt, i.started_at, i.ended_at, i.duration, i.rows,
    i.tokens_input, i.tokens_output, i.cost_nano, i.detail::text
from unnest(%(numbers)b::bigint [], %(keys)b::text []) as said (number, key)
inner join items as i on i.execution = said.number and i.key = said.key;

-- name: take_out_items
delete from items
using unnest(%(numbers)b::bigint [], %(keys)b::text []) as old (number, key)
where items.execution = old.number and items.key = old.key;

-- name: failed_items
-- The first of each execution, as many as are searched: store/matching.py.
select failed.*
from unnest(%(numbers)b::bigint []) as wanted (number)
cross join lateral (
    select
        execution, key, status, at, position, attempt, started_at, ended_at, duration, rows, tokens_input,
        tokens_output, cost_nano, detail::text
    from items
    where execution = wanted.number
        and status in ('partial', 'failed', 'timed_out', 'cancelled', 'crashed')
        and detail -> 'error' is not null
    order by position, key
    limit 100
) as failed;

-- name: logs_said
select execution, at, number, level, message, item from logs where execution = any(%(numbers)b::bigint []);

-- name: note_changes
insert into changes (number, deleted, keys) values (%(number)s, %(deleted)s, %(keys)s::json);

-- name: trim_changes
delete from changes where number <= %(number)s;

-- name: announce
select pg_notify('execlog', current_schema() || ' ' || %(number)s);

-- name: quarantine
insert into quarantine (at, reason, event) values (%(at)s, %(reason)s, %(event)s);

-- name: attend
insert into processes (origin, until) values (%(origin)s, %(until)s)
on conflict (origin) do update set until = excluded.until;

-- name: forget_processes
delete from processes where until <= %(until)s;

-- name: rows_to_delete
select {head}
from {source}
where {where} and executions.number <= %(highest)s
order by executions.created_at desc, executions.id desc, executions.kind desc, executions.namespace desc
limit %(limit)s;

-- name: mark_deleted
insert into tombstones (id, kind, namespace, at, was_open)
select id, kind, namespace, %(at)s, was_open
from unnest(%(ids)b::text [], %(kinds)b::text [], %(namespaces)b::text [], %(open)b::boolean [])
    as gone (id, kind, namespace, was_open)
on conflict (id, kind, namespace) do update set
    at = greatest(tombstones.at, excluded.at),
    was_open = tombstones.was_open or excluded.was_open;

-- name: delete_items
delete from items where execution = any(%(numbers)b::bigint []);

-- name: delete_logs
delete from logs where execution = any(%(numbers)b::bigint []);

-- name: delete_keys
delete from execution_keys
using unnest(%(ids)b::text [], %(kinds)b::text [], %(namespaces)b::text []) as gone (id, kind, namespace)
where execution_keys.id = gone.id and execution_keys.kind = gone.kind and execution_keys.namespace = gone.namespace;

-- name: highest
select last_number from state;

-- name: partitions
select inhrelid::regclass::text
from pg_inherits
where inhparent = 'executions'::regclass;

-- name: days_of_others
select distinct created_at / 86400000000 * 86400000000 from executions_other where created_at > 0;

-- name: make_partition
create table {name} (like executions including all);

-- name: take_over_others
with moved as (
    delete from executions_other where created_at >= {since} and created_at < {until} returning {columns}
)
insert into {name} ({columns}) select {columns} from moved;

-- name: attach_partition
alter table executions attach partition {name} for values from ({since}) to ({until});

-- name: drop_partition
drop table {name};

-- name: is_empty
select not exists (select 1 from {name});

-- name: trigrams
-- pg_trgm may not be there, or its making not be allowed; then a text search reads everything.
create extension if not exists pg_trgm;

-- name: index_trigrams
create index if not exists executions_searched on executions using gin (searched gin_trgm_ops);
