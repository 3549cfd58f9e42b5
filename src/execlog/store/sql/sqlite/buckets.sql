-- Statistics cells. A batch's cells travel as one JSON document of rows in the order of the table's columns.

-- name: add_cells
-- A sketch that starts with '+' is appended to the one that is there, any other takes its place (sketches.py).
insert into buckets (
    resolution, start, series, succeeded, partial, failed, timed_out, cancelled, crashed, timed, duration_micros,
    max_micros, rows, tokens_input, tokens_output, cost_nano, sketch
)
select
    value ->> 0, value ->> 1, value ->> 2, value ->> 3, value ->> 4, value ->> 5, value ->> 6, value ->> 7, value ->>
    8, value ->> 9, value ->> 10, value ->> 11, value ->> 12, value ->> 13, value ->> 14, value ->> 15, value ->> 16
from jsonb_each(:rows)
where true
on conflict (resolution, start, series) do update set
    succeeded = succeeded + excluded.succeeded,
    partial = partial + excluded.partial,
    failed = failed + excluded.failed,
    timed_out = timed_out + excluded.timed_out,
    cancelled = cancelled + excluded.cancelled,
    crashed = crashed + excluded.crashed,
    timed = timed + excluded.timed,
    duration_micros = duration_micros + excluded.duration_micros,
    rows = rows + excluded.rows,
    tokens_input = tokens_input + excluded.tokens_input,
    tokens_output = tokens_output + excluded.tokens_output,
    cost_nano = cost_nano + excluded.cost_nano,
    max_micros = max(max_micros, excluded.max_micros),
    sketch = case when substr(excluded.sketch, 1, 1) = '+' then sketch || substr(excluded.sketch, 2) else excluded.sketch end;

-- name: add_cells_one
insert into buckets (
    resolution, start, series, succeeded, partial, failed, timed_out, cancelled, crashed, timed, duration_micros,
    max_micros, rows, tokens_input, tokens_output, cost_nano, sketch
)
values (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
on conflict (resolution, start, series) do update set
    succeeded = succeeded + excluded.succeeded,
    partial = partial + excluded.partial,
    failed = failed + excluded.failed,
    timed_out = timed_out + excluded.timed_out,
    cancelled = cancelled + excluded.cancelled,
    crashed = crashed + excluded.crashed,
    timed = timed + excluded.timed,
    duration_micros = duration_micros + excluded.duration_micros,
    rows = rows + excluded.rows,
    tokens_input = tokens_input + excluded.tokens_input,
    tokens_output = tokens_output + excluded.tokens_output,
    cost_nano = cost_nano + excluded.cost_nano,
    max_micros = max(max_micros, excluded.max_micros),
    sketch = case when substr(excluded.sketch, 1, 1) = '+' then sketch || substr(excluded.sketch, 2) else excluded.sketch end;

-- name: sketches_of
select json_group_array(json_array(cells.key, sketch))
from json_each(:cells) as cells
cross join buckets
    on resolution = cells.value ->> 0 and start = cells.value ->> 1 and series = cells.value ->> 2;

-- name: cells_of
select json_group_array(json_array(
    resolution, start, series, succeeded, partial, failed, timed_out, cancelled, crashed, timed, duration_micros,
    max_micros, rows, tokens_input, tokens_output, cost_nano, sketch
))
from json_each(:cells) as cells
cross join buckets
    on resolution = cells.value ->> 0 and start = cells.value ->> 1 and series = cells.value ->> 2;

-- name: put_cells
replace into buckets (
    resolution, start, series, succeeded, partial, failed, timed_out, cancelled, crashed, timed, duration_micros,
    max_micros, rows, tokens_input, tokens_output, cost_nano, sketch
)
select
    value ->> 0, value ->> 1, value ->> 2, value ->> 3, value ->> 4, value ->> 5, value ->> 6, value ->> 7, value ->>
    8, value ->> 9, value ->> 10, value ->> 11, value ->> 12, value ->> 13, value ->> 14, value ->> 15, value ->> 16
from jsonb_each(:rows);

-- name: delete_cells
delete from buckets
where (resolution, start, series) in (select value ->> 0, value ->> 1, value ->> 2 from json_each(:cells));

-- name: greatest_of_finer
-- The greatest maximum among the finer cells that make up a coarser one.
select coalesce(max(max_micros), 0)
from buckets
where resolution = :resolution and start >= :since and start < :until and series = :series;

-- name: greatest_of_all
select max(seconds)
from executions indexed by executions_time
where created_at >= :since
    and created_at < :until
    and status in ('succeeded', 'partial', 'failed', 'timed_out', 'cancelled', 'crashed');

-- name: greatest_of_kind
select max(seconds)
from executions indexed by executions_kind
where kind = :kind
    and created_at >= :since
    and created_at < :until
    and status in ('succeeded', 'partial', 'failed', 'timed_out', 'cancelled', 'crashed');

-- name: greatest_of_subject
select max(seconds)
from executions indexed by executions_subject
where kind = :kind
    and subject = :subject
    and namespace = :namespace
    and created_at >= :since
    and created_at < :until
    and status in ('succeeded', 'partial', 'failed', 'timed_out', 'cancelled', 'crashed');

-- name: greatest_of_namespace
select max(seconds)
from executions indexed by executions_namespace
where kind = :kind
    and namespace = :namespace
    and namespace <> ''
    and created_at >= :since
    and created_at < :until
    and status in ('succeeded', 'partial', 'failed', 'timed_out', 'cancelled', 'crashed');

-- name: greatest_of_actor
select max(seconds)
from executions indexed by executions_actor
where actor = :actor
    and kind = :kind
    and coalesce(engine, '') = coalesce(:engine, '')
    and created_at >= :since
    and created_at < :until
    and status in ('succeeded', 'partial', 'failed', 'timed_out', 'cancelled', 'crashed');

-- name: greatest_of_engine
select max(seconds)
from executions indexed by executions_kind
where kind = :kind
    and engine = :engine
    and created_at >= :since
    and created_at < :until
    and status in ('succeeded', 'partial', 'failed', 'timed_out', 'cancelled', 'crashed');

-- name: set_maximum
update buckets set max_micros = :greatest where resolution = :resolution and start = :start and series = :series;

-- name: long_sketches
select json_group_array(json_array(resolution, start, series, sketch))
from json_each(:cells) as cells
cross join buckets
    on resolution = cells.value ->> 0 and start = cells.value ->> 1 and series = cells.value ->> 2
where length(sketch) - instr(sketch, '+') > :limit;
