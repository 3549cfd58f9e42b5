-- Statistics cells. A batch's cells travel as arrays, one a column.

-- name: add_cells
-- What is added to a sketch is appended; a sketch that grew long comes back, to be made compact.
with added as (
    insert into buckets (
        resolution, start, series, succeeded, partial, failed, timed_out, cancelled, crashed, timed, duration_micros,
        max_micros, rows, tokens_input, tokens_output, cost_nano, sketch
    )
    select *
    from unnest(
        %(c0)b::bigint [], %(c1)b::bigint [], %(c2)b::text [], %(c3)b::bigint [], %(c4)b::bigint [], %(c5)b::bigint [],
        %(c6)b::bigint [], %(c7)b::bigint [], %(c8)b::bigint [], %(c9)b::bigint [], %(c10)b::bigint [],
        %(c11)b::bigint [], %(c12)b::bigint [], %(c13)b::bigint [], %(c14)b::bigint [], %(c15)b::bigint [],
        %(c16)b::text []
    )
    on conflict (resolution, start, series) do update set
        succeeded = buckets.succeeded + excluded.succeeded,
        partial = buckets.partial + excluded.partial,
        failed = buckets.failed + excluded.failed,
        timed_out = buckets.timed_out + excluded.timed_out,
        cancelled = buckets.cancelled + excluded.cancelled,
        crashed = buckets.crashed + excluded.crashed,
        timed = buckets.timed + excluded.timed,
        duration_micros = buckets.duration_micros + excluded.duration_micros,
        max_micros = greatest(buckets.max_micros, excluded.max_micros),
        rows = buckets.rows + excluded.rows,
        tokens_input = buckets.tokens_input + excluded.tokens_input,
        tokens_output = buckets.tokens_output + excluded.tokens_output,
        cost_nano = buckets.cost_nano + excluded.cost_nano,
        sketch = buckets.sketch || substr(excluded.sketch, 2)
    returning resolution, start, series, sketch
)
select resolution, start, series, sketch from added where length(sketch) - position('+' in sketch) > %(limit)s;

-- name: cells_of
select b.resolution, b.start, b.series, succeeded, partial, failed, timed_out, cancelled, crashed, timed,
    duration_micros, max_micros, rows, tokens_input, tokens_output, cost_nano, sketch
from unnest(%(c0)b::bigint [], %(c1)b::bigint [], %(c2)b::text []) as wanted (resolution, start, series)
inner join buckets as b
    on b.resolution = wanted.resolution and b.start = wanted.start and b.series = wanted.series;

-- name: take_out_cells
delete from buckets
using unnest(%(c0)b::bigint [], %(c1)b::bigint [], %(c2)b::text []) as gone (resolution, start, series)
where buckets.resolution = gone.resolution and buckets.start = gone.start and buckets.series = gone.series;

-- name: copy_cells
copy buckets (
    resolution, start, series, succeeded, partial, failed, timed_out, cancelled, crashed, timed, duration_micros,
    max_micros, rows, tokens_input, tokens_output, cost_nano, sketch
) from stdin;

-- name: shorten_cells
update buckets set sketch = short.sketch
from unnest(%(c0)b::bigint [], %(c1)b::bigint [], %(c2)b::text [], %(c3)b::text [])
    as short (resolution, start, series, sketch)
where buckets.resolution = short.resolution and buckets.start = short.start and buckets.series = short.series;

-- name: greatest_of_finer
-- The greatest maximum among the finer cells that make up a coarser one.
select coalesce(max(max_micros), 0)
from buckets
where resolution = %(resolution)s and start >= %(since)s and start < %(until)s and series = %(series)s;

-- name: greatest
select max(seconds)
from executions
where {where}
    and created_at >= %(since)s
    and created_at < %(until)s
    and status in ('succeeded', 'partial', 'failed', 'timed_out', 'cancelled', 'crashed');

-- name: in_all
true;
-- name: in_kind
kind = %(kind)s;
-- name: in_subject
kind = %(kind)s and subject = %(subject)s and namespace = %(namespace)s;
-- name: in_namespace
kind = %(kind)s and namespace = %(namespace)s and namespace <> '';
-- name: in_actor
actor = %(actor)s and kind = %(kind)s and coalesce(engine, '') = coalesce(%(engine)s::text, '');
-- name: in_engine
kind = %(kind)s and engine = %(engine)s;

-- name: set_maximum
update buckets set max_micros = %(greatest)s
where resolution = %(resolution)s and start = %(start)s and series = %(series)s;
