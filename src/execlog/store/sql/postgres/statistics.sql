-- Statistics: sums over cells, and over executions where no cell serves. Each answers with rows of a key, thirteen sums
-- (six statuses, timed, duration_micros, max_micros, rows, tokens_input, tokens_output, cost_nano) and sketches.

-- name: cells
-- The starts of each window are counted through, so that a series is a single look-up in each: `offset 0` keeps the
-- planner, who takes them for a thousand, from reading all cells instead.
select {key}, sum(succeeded)::bigint, sum(partial)::bigint, sum(failed)::bigint, sum(timed_out)::bigint,
    sum(cancelled)::bigint, sum(crashed)::bigint, sum(timed)::bigint, sum(duration_micros)::bigint,
    max(max_micros)::bigint, sum(rows)::bigint, sum(tokens_input)::bigint, sum(tokens_output)::bigint,
    sum(cost_nano)::bigint, string_agg(case when %(sketches)s then sketch else '' end, ' ')
from unnest(%(resolutions)b::bigint [], %(sinces)b::bigint [], %(untils)b::bigint []) as windows (resolution, since, until)
cross join lateral generate_series(
    (
        select min(b.start) from buckets as b where b.resolution = windows.resolution and b.start >= windows.since
    ),
    (
        select max(b.start) from buckets as b where b.resolution = windows.resolution and b.start < windows.until
    ),
    windows.resolution * 1000000
) as starts (start)
cross join unnest(%(lows)b::text [], %(highs)b::text []) as wanted (low, high)
cross join lateral (
    select *
    from buckets
    where buckets.resolution = windows.resolution and buckets.start = starts.start
        and buckets.series >= wanted.low and buckets.series < wanted.high
    offset 0
) as buckets
group by 1;

-- name: key_series
buckets.series;
-- name: key_start
starts.start - ((starts.start %% %(span)s) + %(span)s) %% %(span)s;

-- name: executions
-- The same of executions themselves; the bin and the rounding as in core.rollup, a bin's pair of digits as in sketches.py.
select key, sum((status = 'succeeded')::int)::bigint, sum((status = 'partial')::int)::bigint,
    sum((status = 'failed')::int)::bigint, sum((status = 'timed_out')::int)::bigint,
    sum((status = 'cancelled')::int)::bigint, sum((status = 'crashed')::int)::bigint, count(micros),
    coalesce(sum(micros), 0)::bigint, coalesce(max(micros), 0), sum(rows)::bigint, sum(tokens_input)::bigint,
    sum(tokens_output)::bigint, sum(cost_nano)::bigint,
    '+' || coalesce(
        string_agg(
            substr(%(digits)s, (bin >> 6)::int + 1, 1) || substr(%(digits)s, (bin & 63)::int + 1, 1), ''
        ),
        ''
    )
from (
    select {key} as key, executions.status,
        case
            when seconds is not null then floor(least(seconds * 1e6::double precision + 0.5, 1e15))::bigint
        end as micros,
        case
            when seconds is null then null
            when seconds * 1e6::double precision <= 1 then 0
            else least(ceil(ln(seconds * 1e6::double precision) / %(log_gamma)s::double precision)::bigint, 4095)
        end as bin,
        coalesce(executions.rows, 0) as rows, coalesce(executions.tokens_input, 0) as tokens_input,
        coalesce(executions.tokens_output, 0) as tokens_output, coalesce(executions.cost_nano, 0) as cost_nano
    from {source}
    where {where}
) as scanned
group by 1;

-- name: key_none
null::text;
-- name: key_subject
executions.subject;
-- name: key_actor
executions.actor;
-- name: key_engine
executions.engine;
-- name: key_kind
executions.kind;
-- name: key_time
executions.created_at - ((executions.created_at %% %(span)s) + %(span)s) %% %(span)s;
