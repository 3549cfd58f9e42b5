-- The sums beside what they are the sums of (store/sqlite/recounting.py).

-- name: resolutions
with recursive resolutions (resolution) as (
    select min(resolution) from buckets
    union all
    select (select min(buckets.resolution) from buckets where buckets.resolution > resolutions.resolution)
    from resolutions
    where resolution is not null
)
select resolution from resolutions where resolution is not null;

-- name: days_of_cells
-- The starts of the days that have cells of a resolution.
with recursive cells (at) as (
    select min(start) from buckets where resolution = %(resolution)s
    union all
    select (
        select min(start)
        from buckets
        where resolution = %(resolution)s and start >= cells.at - (cells.at %% 86400000000 + 86400000000) %% 86400000000 + 86400000000
    )
    from cells
    where at is not null
)
select at - (at %% 86400000000 + 86400000000) %% 86400000000 from cells where at is not null;

-- name: days_of_executions
with recursive told (at) as (
    select min(created_at) from executions
    union all
    select (
        select min(created_at) from executions where created_at >= told.at - (told.at %% 86400000000 + 86400000000) %% 86400000000 + 86400000000
    )
    from told
    where at is not null
)
select at - (at %% 86400000000 + 86400000000) %% 86400000000 from told where at is not null;

-- name: counted
-- What is counted of the executions of a while, in the places `tallying.gather` looks for it.
select
    number, null, kind, namespace, status, null, null, subject, actor, engine, null, started_at, ended_at, duration, rows,
    null, null, null, null, null, null, null, created_at, null, null, null, null, tokens_input, tokens_output, cost_nano
from executions
where created_at >= %(since)s and created_at < %(until)s
    and status in ('succeeded', 'partial', 'failed', 'timed_out', 'cancelled', 'crashed');

-- name: kept
select
    start, series, succeeded, partial, failed, timed_out, cancelled, crashed, timed, duration_micros, max_micros, rows,
    tokens_input, tokens_output, cost_nano, sketch
from buckets
where resolution = %(resolution)s and start >= %(since)s and start < %(until)s;

-- name: drop
delete from buckets where resolution = %(resolution)s and start = %(start)s and series = %(series)s;

-- name: put
insert into buckets (
    resolution, start, series, succeeded, partial, failed, timed_out, cancelled, crashed, timed, duration_micros,
    max_micros, rows, tokens_input, tokens_output, cost_nano, sketch
)
values (
    %(resolution)s, %(start)s, %(series)s, %(v0)s, %(v1)s, %(v2)s, %(v3)s, %(v4)s, %(v5)s, %(v6)s, %(v7)s, %(v8)s, %(v9)s,
    %(v10)s, %(v11)s, %(v12)s, %(sketch)s
);
