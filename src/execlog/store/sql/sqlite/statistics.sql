-- Statistics: sums over cells, and over executions where no cell serves. Each answers with groups
-- [key, [six statuses, timed, duration_micros, max_micros, rows, tokens_input, tokens_output, cost_nano], sketches].

-- name: cells
-- The starts in each window come first: a series is then a single look-up in each. They are counted through; in a window
-- that is `long`, or open, it goes from each that has cells to the next, which takes three times as long a start.
with recursive windows (resolution, since, until, long) as (
    select value ->> 0, value ->> 1, value ->> 2, value ->> 3 from json_each(:windows)
),
starts (resolution, start, until, long) as (
    select resolution,
        iif(
            long,
            (
                select min(start) from buckets where buckets.resolution = windows.resolution and start >= since
            ),
            since
        ),
        until, long
    from windows
    union all
    select resolution,
        iif(
            long,
            (
                select min(buckets.start)
                from buckets
                where buckets.resolution = starts.resolution and buckets.start > starts.start
            ),
            start + resolution * 1000000
        ),
        until, long
    from starts
    where start < until
)
select json_group_array(json_array(
    key,
    json_array(
        succeeded, partial, failed, timed_out, cancelled, crashed, timed, duration_micros, max_micros, rows, tokens_input,
        tokens_output, cost_nano
    ),
    sketches
))
from (
    select {key} as key, sum(succeeded) as succeeded, sum(partial) as partial, sum(failed) as failed,
        sum(timed_out) as timed_out, sum(cancelled) as cancelled, sum(crashed) as crashed, sum(timed) as timed,
        sum(duration_micros) as duration_micros, max(max_micros) as max_micros, sum(rows) as rows,
        sum(tokens_input) as tokens_input, sum(tokens_output) as tokens_output, sum(cost_nano) as cost_nano,
        group_concat(iif(:sketches, sketch, ''), ' ') as sketches
    from starts
    cross join json_each(:series) as wanted
    cross join buckets
        on buckets.resolution = starts.resolution and buckets.start = starts.start
            and series >= wanted.value ->> 0 and series < wanted.value ->> 1
    where starts.start < starts.until
    group by {key}
);

-- name: key_series
series;
-- name: key_start
starts.start - ((starts.start % :span) + :span) % :span;

-- name: executions
-- The same of executions themselves: micros, bin and its pair of digits as in `cells_of_tail`.
select json_group_array(json_array(
    key,
    json_array(
        succeeded, partial, failed, timed_out, cancelled, crashed, timed, duration_micros, max_micros, rows, tokens_input,
        tokens_output, cost_nano
    ),
    sketch
))
from (
    select key, sum(status = 'succeeded') as succeeded, sum(status = 'partial') as partial, sum(status = 'failed') as failed,
        sum(status = 'timed_out') as timed_out, sum(status = 'cancelled') as cancelled, sum(status = 'crashed') as crashed,
        count(micros) as timed, coalesce(sum(micros), 0) as duration_micros, coalesce(max(micros), 0) as max_micros,
        sum(rows) as rows, sum(tokens_input) as tokens_input, sum(tokens_output) as tokens_output,
        sum(cost_nano) as cost_nano,
        '+' || coalesce(group_concat(substr(:digits, (bin >> 6) + 1, 1) || substr(:digits, (bin & 63) + 1, 1), ''), '')
        as sketch
    from (
        select {key} as key,
            executions.status as status,
            min(cast(seconds * 1e6 + 0.5 as integer), :longest) as micros,
            iif(seconds * 1e6 <= 1, 0, min(cast(ceil(ln(seconds * 1e6) / :log_gamma) as integer), 4095)) as bin,
            coalesce(executions.rows, 0) as rows,
            coalesce(executions.tokens_input, 0) as tokens_input,
            coalesce(executions.tokens_output, 0) as tokens_output,
            coalesce(executions.cost_nano, 0) as cost_nano
        from {source}
        where {where}
    )
    group by key
);

-- name: key_none
null;
-- name: key_subject
executions.subject;
-- name: key_actor
executions.actor;
-- name: key_engine
executions.engine;
-- name: key_kind
executions.kind;
-- name: key_time
executions.created_at - ((executions.created_at % :span) + :span) % :span;
