-- Statistics: sums over cells, and over executions where no cell serves. Each answers with groups
-- [key, [six statuses, timed, duration_micros, max_micros, rows, tokens_input, tokens_output, cost_nano], sketches].

-- The starts come first, as `all_starts` or `starts_there`: a series is then a single look-up in each.

-- name: cells_by_series
{starts}
select json_group_array(json_array(
    series,
    json_array(
        succeeded, partial, failed, timed_out, cancelled, crashed, timed, duration_micros, max_micros, rows, tokens_input,
        tokens_output, cost_nano
    ),
    sketches
))
from (
    select series, sum(succeeded) as succeeded, sum(partial) as partial, sum(failed) as failed,
        sum(timed_out) as timed_out, sum(cancelled) as cancelled, sum(crashed) as crashed, sum(timed) as timed,
        sum(duration_micros) as duration_micros, max(max_micros) as max_micros, sum(rows) as rows,
        sum(tokens_input) as tokens_input, sum(tokens_output) as tokens_output, sum(cost_nano) as cost_nano,
        group_concat(iif(:sketches, sketch, ''), ' ') as sketches
    from starts
    cross join json_each(:series) as wanted
    cross join buckets
        on resolution = :resolution and buckets.start = starts.start
            and series >= wanted.value ->> 0 and series < wanted.value ->> 1
    group by series
);

-- name: cells_by_start
{starts}
select json_group_array(json_array(
    cell,
    json_array(
        succeeded, partial, failed, timed_out, cancelled, crashed, timed, duration_micros, max_micros, rows, tokens_input,
        tokens_output, cost_nano
    ),
    sketches
))
from (
    select starts.start - ((starts.start % :span) + :span) % :span as cell,
        sum(succeeded) as succeeded, sum(partial) as partial, sum(failed) as failed,
        sum(timed_out) as timed_out, sum(cancelled) as cancelled, sum(crashed) as crashed, sum(timed) as timed,
        sum(duration_micros) as duration_micros, max(max_micros) as max_micros, sum(rows) as rows,
        sum(tokens_input) as tokens_input, sum(tokens_output) as tokens_output, sum(cost_nano) as cost_nano,
        group_concat(iif(:sketches, sketch, ''), ' ') as sketches
    from starts
    cross join json_each(:series) as wanted
    cross join buckets
        on resolution = :resolution and buckets.start = starts.start
            and series >= wanted.value ->> 0 and series < wanted.value ->> 1
    group by cell
);

-- name: all_starts
with recursive starts (start) as (
    select :since
    union all
    select start + :resolution * 1000000
    from starts
    where start + :resolution * 1000000 < :until
);

-- name: starts_there
-- Those that have cells, for a window that is long or open: from each to the next takes three times as long.
with recursive starts (start) as (
    select (
        select min(start) from buckets where resolution = :resolution and start >= :since and start < :until
    )
    union all
    select (
        select min(buckets.start)
        from buckets
        where buckets.resolution = :resolution and buckets.start > starts.start and buckets.start < :until
    )
    from starts
    where starts.start is not null
);

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
