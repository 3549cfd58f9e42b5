-- Pairs (symbol, timeframe) that pipelines compute: registered, and what the latest computation said of each.
-- `ranked_at` is what a pair's age counts from: last_computed_at, null where there is no data.
create table pairs (
    key text collate "C" primary key,
    symbol text collate "C" not null,
    timeframe text collate "C" not null,
    monitored boolean not null default true,
    calendar text collate "C",
    last_computed_at bigint,
    data_point_count bigint not null default 0,
    said_at bigint not null default 0,
    succeeded_at bigint,
    known_at bigint not null,
    ranked_at bigint
);

create index pairs_age on pairs (ranked_at, key) where monitored;
create index pairs_missing on pairs (key) where monitored and ranked_at is null;
create index pairs_symbol on pairs (symbol) where monitored;

-- How many monitored pairs have their `ranked_at` in a minute or second: `number` counts spans of so many µs since 1970.
-- Span 0 has the count of all of them (0) and of those without data (1).
create table pair_counts (
    span bigint not null,
    number bigint not null,
    pairs bigint not null,
    primary key (span, number)
);

-- An instant (UTC µs) in ISO 8601, to the microsecond.
create function execlog_iso(micros bigint) returns text language sql stable return to_char(
    timestamp '1970-01-01' + (micros / 86400000000)::integer * interval '1 day'
    + (micros % 86400000000)::double precision * interval '1 microsecond',
    'YYYY-MM-DD"T"HH24:MI:SS.US"Z"'
);

-- The whole number that a JSON value is; null if it is none, or none of 64 bits.
create function execlog_whole(value json) returns bigint language sql immutable return
    case when json_typeof(value) = 'number' and value::text ~ '^-?\d{1,18}$' then value::text::bigint end;

-- The names that the pipelines' clients select from. Times are ISO 8601 in UTC, to the microsecond.
create view scheduler_execution_log as
select
    id as execution_id,
    execlog_iso(started_at) as started_at,
    execlog_iso(ended_at) as completed_at,
    coalesce(execlog_whole(detail -> 'metadata' -> 'total_symbols'), total, items_total) as total_symbols,
    coalesce(declared_succeeded, items_succeeded) as successful_symbols,
    coalesce(declared_failed, items_failed) as failed_symbols,
    coalesce(rows, 0) as total_records_processed,
    seconds as duration_seconds,
    case status
        when 'queued' then 'pending'
        when 'running' then 'running'
        when 'succeeded' then 'completed'
        when 'partial' then 'completed'
        else 'failed'
    end as status,
    error_message
from executions
where kind = 'pipeline';

create view symbol_computation_status as
select
    e.id as execution_id,
    coalesce(p.symbol, i.key) as symbol,
    i.detail -> 'data' ->> 'asset_class' as asset_class,
    coalesce(p.timeframe, '') as timeframe,
    case i.status
        when 'queued' then 'pending'
        when 'running' then 'in_progress'
        when 'succeeded' then 'completed'
        when 'partial' then 'completed'
        else 'failed'
    end as status,
    coalesce(i.rows, 0) as records_processed,
    coalesce(execlog_whole(i.detail -> 'data' -> 'records_inserted'), 0) as records_inserted,
    coalesce(execlog_whole(i.detail -> 'data' -> 'features_computed'), 0) as features_computed,
    execlog_iso(i.started_at) as started_at,
    execlog_iso(i.ended_at) as completed_at,
    coalesce(
        i.duration,
        case
            when i.started_at is not null and i.ended_at is not null
                then greatest(i.ended_at - i.started_at, 0)::double precision / 1000000.0::double precision
        end
    ) as duration_seconds,
    i.detail -> 'error' ->> 'message' as error_message
from executions as e
inner join items as i on i.execution = e.number
left join pairs as p on p.key = i.key
where e.kind = 'pipeline';

create view feature_freshness as
select
    symbol,
    timeframe,
    execlog_iso(last_computed_at) as last_computed_at,
    data_point_count,
    case
        when ranked_at is null then 'missing'
        when now - ranked_at < 3600000000 then 'fresh'
        when now - ranked_at < 86400000000 then 'aging'
        else 'stale'
    end as status,
    case when last_computed_at is not null then greatest(now - last_computed_at, 0) / 1000000 end as staleness_seconds,
    execlog_iso(greatest(said_at, known_at)) as updated_at
from (
    select *, (extract(epoch from statement_timestamp()) * 1000000)::bigint as now from pairs where monitored
) as monitored_pairs;

-- What failed: computations recorded as such, and items of pipelines that were not recorded so too.
create view feature_computation_failures as
select symbol, timeframe, error_message, execution_id, retry_count, resolved, execlog_iso(failed) as failed_at
from (
    select
        coalesce(p.symbol, e.subject, '') as symbol,
        coalesce(p.timeframe, '') as timeframe,
        e.error_message,
        e.parent_id as execution_id,
        coalesce(execlog_whole(e.detail -> 'metadata' -> 'retry_count'), 0) as retry_count,
        coalesce(p.succeeded_at > coalesce(e.ended_at, e.created_at), false) as resolved,
        coalesce(e.ended_at, e.created_at) as failed
    from executions as e
    left join pairs as p on p.key = e.subject
    where e.kind = 'feature' and e.status in ('partial', 'failed', 'timed_out', 'cancelled', 'crashed')
        and e.status in ('failed', 'timed_out')
    union all
    select
        coalesce(p.symbol, i.key),
        coalesce(p.timeframe, ''),
        i.detail -> 'error' ->> 'message',
        e.id,
        coalesce(execlog_whole(i.detail -> 'data' -> 'retry_count'), i.attempt - 1),
        coalesce(p.succeeded_at > coalesce(i.ended_at, i.at), false),
        coalesce(i.ended_at, i.at)
    from executions as e
    inner join items as i on i.execution = e.number and i.status in ('failed', 'timed_out')
    left join pairs as p on p.key = i.key
    where e.kind = 'pipeline' and not exists (
        select 1
        from executions as f
        where f.kind = 'feature' and f.subject = i.key and f.parent_id = e.id
            and f.status in ('partial', 'failed', 'timed_out', 'cancelled', 'crashed')
            and f.status in ('failed', 'timed_out')
    )
) as failures;
