-- Statistics cells. A batch's cells travel as one JSON document of rows in the order of the table's columns.

-- name: add_cells
-- A sketch that starts with '+' is appended to the one that is there, any other takes its place (sketches.py). What is
-- added comes from `cells_given` or `cells_of_tail`. The greatest integer is where a sum ends.
insert into buckets (
    resolution, start, series, succeeded, partial, failed, timed_out, cancelled, crashed, timed, duration_micros,
    max_micros, rows, tokens_input, tokens_output, cost_nano, sketch
)
{source}
where true
on conflict (resolution, start, series) do update set
    succeeded = succeeded + excluded.succeeded,
    partial = partial + excluded.partial,
    failed = failed + excluded.failed,
    timed_out = timed_out + excluded.timed_out,
    cancelled = cancelled + excluded.cancelled,
    crashed = crashed + excluded.crashed,
    timed = timed + excluded.timed,
    duration_micros = min(duration_micros + excluded.duration_micros, 9223372036854775807),
    rows = min(rows + excluded.rows, 9223372036854775807),
    tokens_input = min(tokens_input + excluded.tokens_input, 9223372036854775807),
    tokens_output = min(tokens_output + excluded.tokens_output, 9223372036854775807),
    cost_nano = min(cost_nano + excluded.cost_nano, 9223372036854775807),
    max_micros = max(max_micros, excluded.max_micros),
    sketch = case when substr(excluded.sketch, 1, 1) = '+' then sketch || substr(excluded.sketch, 2) else excluded.sketch end;

-- name: cells_given
select
    value ->> 0, value ->> 1, value ->> 2, value ->> 3, value ->> 4, value ->> 5, value ->> 6, value ->> 7, value ->>
    8, value ->> 9, value ->> 10, value ->> 11, value ->> 12, value ->> 13, value ->> 14, value ->> 15, value ->> 16
from jsonb_each(:rows);

-- name: cells_of_tail
-- Executions numbered (:after, :until] as cells: what `tallying.gather` says of their rows. At most 8,192 at a time, or
-- the sums could leave 64 bits. Counts of three statuses share an integer, 20 bits each: `some` has succeeded, partial and
-- failed, `others` timed_out, cancelled and crashed.
-- What a kind did in a minute is added up first, and coarser cells from finer ones; so is a namespace from its subjects,
-- an engine from its actors, and a day of any of them from its hours.
select
    resolution, start, series, some & 1048575, some >> 20 & 1048575, some >> 40, others & 1048575, others >> 20 & 1048575,
    others >> 40, timed, micros, coalesce(most, 0), rows, tokens_input, tokens_output, cost_nano,
    '+' || coalesce(pairs, '')
from (
    with tail as materialized (
        select
            kind, namespace, subject, actor, engine, created_at,
            case status when 'succeeded' then 1 when 'partial' then 1 << 20 when 'failed' then 1 << 40 else 0 end as some,
            case status when 'timed_out' then 1 when 'cancelled' then 1 << 20 when 'crashed' then 1 << 40 else 0 end as others,
            micros,
            substr(:digits, (bin >> 6) + 1, 1) || substr(:digits, (bin & 63) + 1, 1) as pair,
            rows, tokens_input, tokens_output, cost_nano
        from (
            select
                kind, namespace, subject, actor, engine, created_at, status,
                min(cast(seconds * 1e6 + 0.5 as integer), :longest) as micros,
                iif(seconds * 1e6 <= 1, 0, min(cast(ceil(ln(seconds * 1e6) / :log_gamma) as integer), 4095)) as bin,
                coalesce(rows, 0) as rows, coalesce(tokens_input, 0) as tokens_input,
                coalesce(tokens_output, 0) as tokens_output, coalesce(cost_nano, 0) as cost_nano
            from executions
            where number > :after and number <= :until
                and status in ('succeeded', 'partial', 'failed', 'timed_out', 'cancelled', 'crashed')
        )
    ),
    minutes_of_kinds as materialized (
        select created_at - (created_at % 60000000 + 60000000) % 60000000 as start, kind,
            sum(some) as some, sum(others) as others, count(micros) as timed, coalesce(sum(micros), 0) as micros,
            max(micros) as most, sum(rows) as rows, sum(tokens_input) as tokens_input,
            sum(tokens_output) as tokens_output, sum(cost_nano) as cost_nano, group_concat(pair, '') as pairs
        from tail
        group by start, kind
    ),
    minutes as materialized (
        select start, 'kind' || char(31) || replace(kind, char(31), ' ') as series,
            some, others, timed, micros, most, rows, tokens_input, tokens_output, cost_nano, pairs
        from minutes_of_kinds
        union all
        select start, 'all',
            sum(some) as some, sum(others) as others, sum(timed) as timed, sum(micros) as micros,
            max(most) as most, sum(rows) as rows, sum(tokens_input) as tokens_input,
            sum(tokens_output) as tokens_output, sum(cost_nano) as cost_nano, group_concat(pairs, '') as pairs
        from minutes_of_kinds
        group by start
    ),
    subjects as materialized (
        select created_at - (created_at % 3600000000 + 3600000000) % 3600000000 as start, kind, namespace,
            coalesce(subject, '') as subject,
            sum(some) as some, sum(others) as others, count(micros) as timed, coalesce(sum(micros), 0) as micros,
            max(micros) as most, sum(rows) as rows, sum(tokens_input) as tokens_input,
            sum(tokens_output) as tokens_output, sum(cost_nano) as cost_nano, group_concat(pair, '') as pairs
        from tail
        group by start, kind, namespace, subject
    ),
    actors as materialized (
        select created_at - (created_at % 3600000000 + 3600000000) % 3600000000 as start, kind,
            coalesce(actor, '') as actor, coalesce(engine, '') as engine,
            sum(some) as some, sum(others) as others, count(micros) as timed, coalesce(sum(micros), 0) as micros,
            max(micros) as most, sum(rows) as rows, sum(tokens_input) as tokens_input,
            sum(tokens_output) as tokens_output, sum(cost_nano) as cost_nano, group_concat(pair, '') as pairs
        from tail
        group by start, kind, actor, engine
    ),
    tens as materialized (
        select minutes.start - (minutes.start % 600000000 + 600000000) % 600000000 as start, series,
            sum(some) as some, sum(others) as others, sum(timed) as timed, sum(micros) as micros,
            max(most) as most, sum(rows) as rows, sum(tokens_input) as tokens_input,
            sum(tokens_output) as tokens_output, sum(cost_nano) as cost_nano, group_concat(pairs, '') as pairs
        from minutes
        group by 1, series
    ),
    hours_of_kinds as materialized (
        select tens.start - (tens.start % 3600000000 + 3600000000) % 3600000000 as start, series,
            sum(some) as some, sum(others) as others, sum(timed) as timed, sum(micros) as micros,
            max(most) as most, sum(rows) as rows, sum(tokens_input) as tokens_input,
            sum(tokens_output) as tokens_output, sum(cost_nano) as cost_nano, group_concat(pairs, '') as pairs
        from tens
        group by 1, series
    ),
    hours as materialized (
        select * from hours_of_kinds
        union all
        select start,
            'subject' || char(31) || replace(kind, char(31), ' ')
            || char(31) || replace(namespace, char(31), ' ') || char(31) || replace(subject, char(31), ' '),
            some, others, timed, micros, most, rows, tokens_input, tokens_output, cost_nano, pairs
        from subjects
        where subject <> ''
        union all
        select start,
            'namespace' || char(31) || replace(kind, char(31), ' ') || char(31) || replace(namespace, char(31), ' '),
            sum(some) as some, sum(others) as others, sum(timed) as timed, sum(micros) as micros,
            max(most) as most, sum(rows) as rows, sum(tokens_input) as tokens_input,
            sum(tokens_output) as tokens_output, sum(cost_nano) as cost_nano, group_concat(pairs, '') as pairs
        from subjects
        where namespace <> ''
        group by start, kind, namespace
        union all
        select start,
            'actor' || char(31) || replace(kind, char(31), ' ')
            || char(31) || replace(actor, char(31), ' ') || char(31) || replace(engine, char(31), ' '),
            some, others, timed, micros, most, rows, tokens_input, tokens_output, cost_nano, pairs
        from actors
        where actor <> ''
        union all
        select start, 'engine' || char(31) || replace(kind, char(31), ' ') || char(31) || replace(engine, char(31), ' '),
            sum(some) as some, sum(others) as others, sum(timed) as timed, sum(micros) as micros,
            max(most) as most, sum(rows) as rows, sum(tokens_input) as tokens_input,
            sum(tokens_output) as tokens_output, sum(cost_nano) as cost_nano, group_concat(pairs, '') as pairs
        from actors
        where engine <> ''
        group by start, kind, engine
    )
    select 60 as resolution, start, series,
        some, others, timed, micros, most, rows, tokens_input, tokens_output, cost_nano, pairs
    from minutes
    union all
    select 600, start, series,
        some, others, timed, micros, most, rows, tokens_input, tokens_output, cost_nano, pairs
    from tens
    union all
    select 21600, hours_of_kinds.start - (hours_of_kinds.start % 21600000000 + 21600000000) % 21600000000, series,
            sum(some) as some, sum(others) as others, sum(timed) as timed, sum(micros) as micros,
            max(most) as most, sum(rows) as rows, sum(tokens_input) as tokens_input,
            sum(tokens_output) as tokens_output, sum(cost_nano) as cost_nano, group_concat(pairs, '') as pairs
    from hours_of_kinds
    group by 2, series
    union all
    select 3600, start, series,
        some, others, timed, micros, most, rows, tokens_input, tokens_output, cost_nano, pairs
    from hours
    union all
    select 86400, hours.start - (hours.start % 86400000000 + 86400000000) % 86400000000, series,
            sum(some) as some, sum(others) as others, sum(timed) as timed, sum(micros) as micros,
            max(most) as most, sum(rows) as rows, sum(tokens_input) as tokens_input,
            sum(tokens_output) as tokens_output, sum(cost_nano) as cost_nano, group_concat(pairs, '') as pairs
    from hours
    group by 2, series
);

-- name: set_summed
update summed set number = :number;

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
where number <= (select number from summed)
    and created_at >= :since
    and created_at < :until
    and status in ('succeeded', 'partial', 'failed', 'timed_out', 'cancelled', 'crashed');

-- name: greatest_of_kind
select max(seconds)
from executions indexed by executions_kind
where number <= (select number from summed)
    and kind = :kind
    and created_at >= :since
    and created_at < :until
    and status in ('succeeded', 'partial', 'failed', 'timed_out', 'cancelled', 'crashed');

-- name: greatest_of_subject
select max(seconds)
from executions indexed by executions_subject
where number <= (select number from summed)
    and kind = :kind
    and subject = :subject
    and namespace = :namespace
    and created_at >= :since
    and created_at < :until
    and status in ('succeeded', 'partial', 'failed', 'timed_out', 'cancelled', 'crashed');

-- name: greatest_of_namespace
select max(seconds)
from executions indexed by executions_namespace
where number <= (select number from summed)
    and kind = :kind
    and namespace = :namespace
    and namespace <> ''
    and created_at >= :since
    and created_at < :until
    and status in ('succeeded', 'partial', 'failed', 'timed_out', 'cancelled', 'crashed');

-- name: greatest_of_actor
select max(seconds)
from executions indexed by executions_actor
where number <= (select number from summed)
    and actor = :actor
    and kind = :kind
    and coalesce(engine, '') = coalesce(:engine, '')
    and created_at >= :since
    and created_at < :until
    and status in ('succeeded', 'partial', 'failed', 'timed_out', 'cancelled', 'crashed');

-- name: greatest_of_engine
select max(seconds)
from executions indexed by executions_kind
where number <= (select number from summed)
    and kind = :kind
    and engine = :engine
    and created_at >= :since
    and created_at < :until
    and status in ('succeeded', 'partial', 'failed', 'timed_out', 'cancelled', 'crashed');

-- name: set_maximum
update buckets set max_micros = :greatest where resolution = :resolution and start = :start and series = :series;

-- name: long_sketches
-- Sketches much was appended to, in the cells that executions numbered [:after, :until] are in: less is much for what is
-- longer than a minute and over. The one at :after was counted before; with the next it tells that an hour is over.
with minutes (start) as (
    select distinct created_at - (created_at % 60000000 + 60000000) % 60000000
    from executions
    where number >= :after and number <= :until
),
starts (resolution, start) as (
    select 60, start from minutes
    union
    select 600, start - (start % 600000000 + 600000000) % 600000000 from minutes
    union
    select 21600, start - (start % 21600000000 + 21600000000) % 21600000000 from minutes
    union
    select 3600, start - (start % 3600000000 + 3600000000) % 3600000000 from minutes
    union
    select 86400, start - (start % 86400000000 + 86400000000) % 86400000000 from minutes
),
limits (resolution, start, most) as (
    select resolution, start,
        iif(resolution > 60 and start + resolution * 1000000 <= (select max(start) from minutes), :limit_over, :limit)
    from starts
)
select json_group_array(json_array(buckets.resolution, buckets.start, series, sketch))
from limits
cross join buckets on buckets.resolution = limits.resolution and buckets.start = limits.start
where octet_length(sketch) > most and octet_length(sketch) - instr(sketch, '+') > most;
