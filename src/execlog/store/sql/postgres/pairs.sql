-- Pairs: which are monitored, and what was last said of them. See store/pairs.py.
-- Batches are bound as one JSON text, and `states` answers with one.

-- name: states
select coalesce(json_agg(json_build_array(
    p.symbol, p.timeframe, p.monitored::integer, p.calendar, p.last_computed_at, p.data_point_count, p.said_at,
    p.succeeded_at, p.known_at, p.last_bar_at
)), '[]')::text
from json_array_elements_text(%(keys)s::json) as keys (key)
inner join pairs as p on p.key = keys.key;

-- name: put
insert into pairs (
    key, symbol, timeframe, monitored, calendar, last_computed_at, data_point_count, said_at, succeeded_at, known_at,
    ranked_at, last_bar_at
)
select
    value ->> 0, value ->> 1, value ->> 2, (value ->> 3)::integer::boolean, value ->> 4, (value ->> 5)::bigint,
    (value ->> 6)::bigint, (value ->> 7)::bigint, (value ->> 8)::bigint, (value ->> 9)::bigint, (value ->> 10)::bigint,
    (value ->> 11)::bigint
from json_array_elements(%(rows)s::json) as changed (value)
on conflict (key) do update set
    monitored = excluded.monitored,
    calendar = excluded.calendar,
    last_computed_at = excluded.last_computed_at,
    data_point_count = excluded.data_point_count,
    said_at = excluded.said_at,
    succeeded_at = excluded.succeeded_at,
    known_at = excluded.known_at,
    ranked_at = excluded.ranked_at,
    last_bar_at = excluded.last_bar_at;

-- name: count
insert into pair_counts (span, number, pairs)
select (value ->> 0)::bigint, (value ->> 1)::bigint, (value ->> 2)::bigint
from json_array_elements(%(changes)s::json) as changes (value)
on conflict (span, number) do update set pairs = pair_counts.pairs + excluded.pairs;

-- name: sweep
delete from pair_counts
using json_array_elements(%(changes)s::json) as changes (value)
where pairs = 0 and span = (value ->> 0)::bigint and number = (value ->> 1)::bigint;

-- name: total
select
    coalesce((select pairs from pair_counts where span = 0 and number = 0), 0),
    coalesce((select pairs from pair_counts where span = 0 and number = 1), 0);

-- name: younger
-- How many pairs were computed after an instant: whole minutes and seconds from the counts, one by one within its second.
select (
    coalesce((select sum(pairs) from pair_counts where span = 60000000 and number > %(minute)s), 0)
    + coalesce((
        select sum(pairs) from pair_counts where span = 1000000 and number > %(second)s and number < %(minute_end)s
    ), 0)
    + (select count(*) from pairs where monitored and ranked_at > %(instant)s and ranked_at < %(second_end)s)
)::bigint;

-- name: symbols
select count(distinct symbol) from pairs where monitored;

-- name: stalest
select
    symbol, timeframe, monitored, calendar, last_computed_at, data_point_count, said_at, succeeded_at, known_at,
    last_bar_at
from pairs
where monitored and ranked_at > %(after)s and ranked_at <= %(until)s
order by ranked_at, key
limit %(limit)s;

-- name: missing
select
    symbol, timeframe, monitored, calendar, last_computed_at, data_point_count, said_at, succeeded_at, known_at,
    last_bar_at
from pairs
where monitored and ranked_at is null
order by key
limit %(limit)s;

-- name: failed_computations
select
    coalesce(p.symbol, e.subject, '') as symbol,
    coalesce(p.timeframe, '') as timeframe,
    e.error_message,
    e.parent_id,
    coalesce(execlog_whole(e.detail -> 'metadata' -> 'retry_count'), 0) as retry_count,
    coalesce(p.succeeded_at > coalesce(e.ended_at, e.created_at), false) as resolved,
    coalesce(e.ended_at, e.created_at) as failed_at
from executions as e
left join pairs as p on p.key = e.subject
where e.kind = 'feature' and e.status in ('partial', 'failed', 'timed_out', 'cancelled', 'crashed')
    and e.status in ('failed', 'timed_out') and e.created_at >= %(since)s and coalesce(e.ended_at, e.created_at) >= %(since)s
    and (
        %(resolved)s::boolean is null
        or coalesce(p.succeeded_at > coalesce(e.ended_at, e.created_at), false) = %(resolved)s::boolean
    )
order by e.created_at desc
limit %(limit)s;

-- name: failed_items
-- What failed inside a pipeline and was not said as a computation's failure too.
select
    coalesce(p.symbol, i.key) as symbol,
    coalesce(p.timeframe, '') as timeframe,
    i.detail -> 'error' ->> 'message',
    e.id,
    coalesce(execlog_whole(i.detail -> 'data' -> 'retry_count'), i.attempt - 1) as retry_count,
    coalesce(p.succeeded_at > coalesce(i.ended_at, i.at), false) as resolved,
    coalesce(i.ended_at, i.at) as failed_at
from executions as e
inner join items as i on i.execution = e.number and i.status in ('failed', 'timed_out')
left join pairs as p on p.key = i.key
where e.kind = 'pipeline' and e.created_at >= %(begun)s
    and coalesce(i.ended_at, i.at) >= %(since)s
    and (
        %(resolved)s::boolean is null
        or coalesce(p.succeeded_at > coalesce(i.ended_at, i.at), false) = %(resolved)s::boolean
    )
    and not exists (
        select 1
        from executions as f
        where f.kind = 'feature' and f.subject = i.key and f.parent_id = e.id
            and f.status in ('partial', 'failed', 'timed_out', 'cancelled', 'crashed')
            and f.status in ('failed', 'timed_out')
    )
order by failed_at desc, symbol desc, timeframe desc, e.id desc
limit %(limit)s;
