-- What `apply` and `delete` say. New rows go into a table in memory first (`stage_…`, a step a row) and from there into
-- their own by one statement (`move_…`), see `store/sqlite/staging.py`. What is read or changed by key travels as one JSON document:
-- `jsonb_each` parses it once and hands out its rows in binary form, several times faster than `json_each`. Statements that
-- read answer with one JSON array in one row.

-- name: look
select
    max((select coalesce(max(number), 0) from executions), (select number from summed)),
    exists (select 1 from tombstones),
    (select coalesce(max(number), 0) from changes),
    (select number from summed);

-- name: marks
select json_group_array(json_array(t.id, t.kind, t.namespace, t.at, t.was_open))
from json_each(:keys) as keys
cross join tombstones as t
    on t.id = keys.value ->> 0 and t.kind = keys.value ->> 1 and t.namespace = keys.value ->> 2;

-- name: stages
create temp table if not exists staged_executions (
    number integer primary key, id, kind, namespace, status default 'succeeded', at, name, subject, actor, engine, queued_at, started_at, ended_at, duration,
    rows, total, declared_succeeded, declared_failed, parent_id, root_id, retry_of, origin, created_at,
    items_total default 0, items_succeeded default 0, items_failed default 0, items_open default 0, tokens_input,
    tokens_output, cost_nano, error_type, error_message, fingerprint, text_key, tags, usage, detail, stamps
);
create temp table if not exists staged_items (
    execution, created_at, key, status, at, position, attempt, started_at, ended_at, duration, rows, tokens_input,
    tokens_output, cost_nano, detail,
    primary key (execution, key)
) without rowid;

-- name: stage_executions
insert or ignore into staged_executions values (?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?);

-- name: stage_plain
insert or ignore into staged_executions (
    number, id, kind, namespace, at, name, subject, actor, engine, queued_at, started_at, ended_at, duration, rows, origin,
    created_at, detail
)
values (?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?);

-- name: move_executions
-- `or fail`: without it SQLite copies every page it is about to change, to be able to undo this statement alone. Whoever
-- fails here undoes the transaction.
insert or fail into executions (
    number, id, kind, namespace, status, at, name, subject, actor, engine, queued_at, started_at, ended_at, duration,
    rows, total, declared_succeeded, declared_failed, parent_id, root_id, retry_of, origin, created_at, items_total,
    items_succeeded, items_failed, items_open, tokens_input, tokens_output, cost_nano, error_type, error_message,
    fingerprint, text_key, tags, usage, detail, stamps
)
select * from staged_executions
where true
on conflict (id, kind, namespace) do nothing;

-- name: clear_executions
delete from staged_executions;

-- name: missing
with recursive numbers (value) as (
    select :first
    union all
    select value + 1 from numbers where value < :last
)
select json_group_array(value)
from numbers
where not exists (select 1 from executions where number = value);

-- name: heads
select json_group_array(json_array(
    e.number, e.id, e.kind, e.namespace, e.status, e.at, e.name, e.subject, e.actor, e.engine, e.queued_at,
    e.started_at, e.ended_at, e.duration, e.rows, e.total, e.declared_succeeded, e.declared_failed, e.parent_id,
    e.root_id, e.retry_of, e.origin, e.created_at, e.items_total, e.items_succeeded, e.items_failed, e.items_open,
    e.tokens_input, e.tokens_output, e.cost_nano, e.error_type, e.error_message, e.fingerprint, e.text_key, e.tags,
    e.usage, e.detail, e.stamps
))
from json_each(:keys) as keys
cross join executions as e
    on e.id = keys.value ->> 0 and e.kind = keys.value ->> 1 and e.namespace = keys.value ->> 2;

-- name: update_executions
update executions
set
    status = new.value ->> 4,
    at = new.value ->> 5,
    name = new.value ->> 6,
    subject = new.value ->> 7,
    actor = new.value ->> 8,
    engine = new.value ->> 9,
    queued_at = new.value ->> 10,
    started_at = new.value ->> 11,
    ended_at = new.value ->> 12,
    duration = new.value ->> 13,
    rows = new.value ->> 14,
    total = new.value ->> 15,
    declared_succeeded = new.value ->> 16,
    declared_failed = new.value ->> 17,
    parent_id = new.value ->> 18,
    root_id = new.value ->> 19,
    retry_of = new.value ->> 20,
    origin = new.value ->> 21,
    created_at = new.value ->> 22,
    items_total = new.value ->> 23,
    items_succeeded = new.value ->> 24,
    items_failed = new.value ->> 25,
    items_open = new.value ->> 26,
    tokens_input = new.value ->> 27,
    tokens_output = new.value ->> 28,
    cost_nano = new.value ->> 29,
    error_type = new.value ->> 30,
    error_message = new.value ->> 31,
    fingerprint = new.value ->> 32,
    text_key = new.value ->> 33,
    tags = new.value ->> 34,
    usage = new.value ->> 35,
    detail = new.value ->> 36,
    stamps = new.value ->> 37
from jsonb_each(:rows) as new
where number = new.value ->> 0;

-- name: items_said
select json_group_array(json_array(
    i.execution, i.key, i.status, i.at, i.position, i.attempt, i.started_at, i.ended_at, i.duration, i.rows,
    i.tokens_input, i.tokens_output, i.cost_nano, i.detail
))
from json_each(:keys) as keys
cross join items as i on i.execution = keys.value ->> 0 and i.key = keys.value ->> 1;

-- name: failed_items
-- The first of each execution, as many as are searched: store/matching.py.
select json_group_array(json_array(
    i.execution, i.key, i.status, i.at, i.position, i.attempt, i.started_at, i.ended_at, i.duration, i.rows,
    i.tokens_input, i.tokens_output, i.cost_nano, i.detail
))
from json_each(:numbers) as numbers
cross join items as i on i.execution = numbers.value and i.key in (
    select failed.key
    from items as failed
    where failed.execution = numbers.value
        and failed.status in ('partial', 'failed', 'timed_out', 'cancelled', 'crashed')
        and failed.detail ->> '$.error' is not null
    order by failed.position, failed.key
    limit 100
);

-- name: put_items
insert into items (
    execution, created_at, key, status, at, position, attempt, started_at, ended_at, duration, rows, tokens_input,
    tokens_output, cost_nano, detail
)
select
    value ->> 0, value ->> 1, value ->> 2, value ->> 3, value ->> 4, value ->> 5, value ->> 6, value ->> 7, value ->>
    8, value ->> 9, value ->> 10, value ->> 11, value ->> 12, value ->> 13, value ->> 14
from jsonb_each(:rows)
where true
on conflict (execution, key) do update set
    created_at = excluded.created_at,
    status = excluded.status,
    at = excluded.at,
    position = excluded.position,
    attempt = excluded.attempt,
    started_at = excluded.started_at,
    ended_at = excluded.ended_at,
    duration = excluded.duration,
    rows = excluded.rows,
    tokens_input = excluded.tokens_input,
    tokens_output = excluded.tokens_output,
    cost_nano = excluded.cost_nano,
    detail = excluded.detail;

-- name: stage_items
insert or ignore into staged_items values (?,?,?,?,?,?,?,?,?,?,?,?,?,?,?);

-- name: move_items
insert or fail into items (
    execution, created_at, key, status, at, position, attempt, started_at, ended_at, duration, rows, tokens_input,
    tokens_output, cost_nano, detail
)
select * from staged_items
where true
on conflict (execution, key) do update set
    created_at = excluded.created_at,
    status = excluded.status,
    at = excluded.at,
    position = excluded.position,
    attempt = excluded.attempt,
    started_at = excluded.started_at,
    ended_at = excluded.ended_at,
    duration = excluded.duration,
    rows = excluded.rows,
    tokens_input = excluded.tokens_input,
    tokens_output = excluded.tokens_output,
    cost_nano = excluded.cost_nano,
    detail = excluded.detail;

-- name: clear_items
delete from staged_items;

-- name: retime_items
update items set created_at = moved.value ->> 1
from json_each(:moved) as moved
where execution = moved.value ->> 0;

-- name: logs_said
select json_group_array(json_array(l.execution, l.at, l.number, l.level, l.message, l.item))
from json_each(:rows) as said
cross join logs as l
    on l.execution = said.value ->> 0 and l.at = said.value ->> 1 and l.number = said.value ->> 2
        and l.level = said.value ->> 3 and l.message = said.value ->> 4 and l.item is said.value ->> 5;

-- name: put_logs
insert into logs (execution, at, number, level, message, item)
select value ->> 0, value ->> 1, value ->> 2, value ->> 3, value ->> 4, value ->> 5 from jsonb_each(:rows);

-- name: insert_texts
insert into texts (rowid, text) select value ->> 0, value ->> 1 from jsonb_each(:rows) order by value ->> 0;

-- name: text_key_taken
select exists (select 1 from executions where text_key = :text_key);

-- name: delete_texts
delete from texts where rowid in (select value from json_each(:keys));

-- name: note_changes
insert into changes (number, deleted, keys) values (:number, :deleted, :keys);

-- name: trim_changes
delete from changes where number <= :number;

-- name: quarantine
insert into quarantine (at, reason, event) values (:at, :reason, :event);

-- name: count_quarantined
select count(*) from quarantine;

-- name: attend
insert into processes (origin, until) values (:origin, :until)
on conflict (origin) do update set until = excluded.until;

-- name: forget_processes
delete from processes where until <= :until;

-- name: mark_deleted
insert into tombstones (id, kind, namespace, at, was_open)
select e.id, e.kind, e.namespace, :at, e.status in ('queued', 'running')
from json_each(:numbers) as numbers
cross join executions as e on e.number = numbers.value
where true
on conflict (id, kind, namespace) do update set
    at = max(at, excluded.at),
    was_open = max(was_open, excluded.was_open);

-- name: rows_to_delete
select json_group_array(json_array(
    number, id, kind, namespace, status, at, name, subject, actor, engine, queued_at, started_at, ended_at, duration,
    rows, total, declared_succeeded, declared_failed, parent_id, root_id, retry_of, origin, created_at, items_total,
    items_succeeded, items_failed, items_open, tokens_input, tokens_output, cost_nano, error_type, error_message,
    fingerprint, text_key, null, null, null, null
))
from (
    select executions.*
    from {source}
    where {where} and executions.number <= :highest
    order by {order}
    limit :limit
);

-- name: delete_items
delete from items where execution in (select value from json_each(:numbers));

-- name: delete_logs
delete from logs where execution in (select value from json_each(:numbers));

-- name: delete_executions
delete from executions where number in (select value from json_each(:numbers));

-- name: last_change
select coalesce(max(number), 0) from changes;
