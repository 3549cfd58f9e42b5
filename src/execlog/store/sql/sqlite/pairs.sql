-- Pairs: which are monitored, and what was last said of them. See store/pairs.py.
-- Statements that read many rows answer with one JSON array in one row.

-- name: states
select json_group_array(json_array(
    p.symbol, p.timeframe, p.monitored, p.calendar, p.last_computed_at, p.data_point_count, p.said_at, p.succeeded_at,
    p.known_at, p.last_bar_at
))
from json_each(:keys) as keys
cross join pairs as p on p.key = keys.value;

-- name: put
insert into pairs (
    key, symbol, timeframe, monitored, calendar, last_computed_at, data_point_count, said_at, succeeded_at, known_at,
    ranked_at, last_bar_at
)
select
    value ->> 0, value ->> 1, value ->> 2, value ->> 3, value ->> 4, value ->> 5, value ->> 6, value ->> 7, value ->> 8,
    value ->> 9, value ->> 10, value ->> 11
from jsonb_each(:rows)
where true
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
select value ->> 0, value ->> 1, value ->> 2 from json_each(:changes)
where true
on conflict (span, number) do update set pairs = pairs + excluded.pairs;

-- name: sweep
delete from pair_counts
where pairs = 0 and (span, number) in (select value ->> 0, value ->> 1 from json_each(:changes));

-- name: total
select
    coalesce((select pairs from pair_counts where span = 0 and number = 0), 0),
    coalesce((select pairs from pair_counts where span = 0 and number = 1), 0);

-- name: younger
-- How many pairs were computed after an instant: whole minutes and seconds from the counts, one by one within its second.
select
    coalesce((select sum(pairs) from pair_counts where span = 60000000 and number > :minute), 0)
    + coalesce((select sum(pairs) from pair_counts where span = 1000000 and number > :second and number < :minute_end), 0)
    + (select count(*) from pairs where monitored = 1 and ranked_at > :instant and ranked_at < :second_end);

-- name: symbols
select count(distinct symbol) from pairs where monitored = 1;

-- name: stalest
select
    symbol, timeframe, monitored, calendar, last_computed_at, data_point_count, said_at, succeeded_at, known_at,
    last_bar_at
from pairs
where monitored = 1 and ranked_at > :after and ranked_at <= :until
order by ranked_at, key
limit :limit;

-- name: missing
select
    symbol, timeframe, monitored, calendar, last_computed_at, data_point_count, said_at, succeeded_at, known_at,
    last_bar_at
from pairs
where monitored = 1 and ranked_at is null
order by key
limit :limit;

-- name: failed_computations
-- In the order of the index of what did not succeed, so that it ends with the first ones that fit.
select
    coalesce(p.symbol, e.subject, '') as symbol,
    coalesce(p.timeframe, '') as timeframe,
    e.error_message,
    e.parent_id,
    coalesce(case json_type(e.detail, '$.metadata.retry_count') when 'integer' then e.detail ->> '$.metadata.retry_count' end, 0),
    coalesce(p.succeeded_at > coalesce(e.ended_at, e.created_at), 0) as resolved,
    coalesce(e.ended_at, e.created_at) as failed_at
from executions as e
left join pairs as p on p.key = e.subject
where +e.kind = 'feature' and e.status in ('partial', 'failed', 'timed_out', 'cancelled', 'crashed')
    and e.status in ('failed', 'timed_out') and e.created_at >= :since and coalesce(e.ended_at, e.created_at) >= :since
    and (:resolved is null or coalesce(p.succeeded_at > coalesce(e.ended_at, e.created_at), 0) = :resolved)
order by e.created_at desc
limit :limit;

-- name: failed_items
-- What failed inside a pipeline and was not said as a computation's failure too.
select
    coalesce(p.symbol, i.key) as symbol,
    coalesce(p.timeframe, '') as timeframe,
    i.detail ->> '$.error.message',
    e.id,
    coalesce(case json_type(i.detail, '$.data.retry_count') when 'integer' then i.detail ->> '$.data.retry_count' end, i.attempt - 1),
    coalesce(p.succeeded_at > coalesce(i.ended_at, i.at), 0) as resolved,
    coalesce(i.ended_at, i.at) as failed_at
from executions as e
cross join items as i indexed by items_failures on i.execution = e.number and i.status in ('failed', 'timed_out')
left join pairs as p on p.key = i.key
where e.kind = 'pipeline' and e.created_at >= :begun
    and coalesce(i.ended_at, i.at) >= :since
    and (:resolved is null or coalesce(p.succeeded_at > coalesce(i.ended_at, i.at), 0) = :resolved)
    and not exists (
        select 1
        from executions as f
        where f.kind = 'feature' and f.subject = i.key and f.parent_id = e.id
            and f.status in ('partial', 'failed', 'timed_out', 'cancelled', 'crashed')
            and f.status in ('failed', 'timed_out')
    )
order by failed_at desc, symbol desc, timeframe desc, e.id desc
limit :limit;
