-- Pairs (symbol, timeframe) that pipelines compute: registered, and what the latest computation said of each.
-- `ranked_at` is what a pair's age counts from: last_computed_at, null where there is no data. (Not a generated column: an
-- index over one does not answer without the row.)
create table pairs (
    key text primary key,
    symbol text not null,
    timeframe text not null,
    monitored integer not null default 1,
    calendar text,
    last_computed_at integer,
    data_point_count integer not null default 0,
    said_at integer not null default 0,
    succeeded_at integer,
    known_at integer not null,
    ranked_at integer
) strict, without rowid;

create index pairs_age on pairs (monitored, ranked_at);
create index pairs_symbol on pairs (monitored, symbol);

-- How many monitored pairs have their `ranked_at` in a minute or second: `number` counts spans of so many µs since 1970.
-- Span 0 has the count of all of them (0) and of those without data (1).
create table pair_counts (
    span integer not null,
    number integer not null,
    pairs integer not null,
    primary key (span, number)
) strict, without rowid;

create index items_failures on items (execution) where status in ('failed', 'timed_out');

-- The names that the pipelines' clients select from. Times are ISO 8601 in UTC, to the microsecond.
create view scheduler_execution_log as
select
    id as execution_id,
    strftime('%Y-%m-%dT%H:%M:%S', started_at / 1000000 - (started_at % 1000000 < 0), 'unixepoch')
    || printf('.%06dZ', (started_at % 1000000 + 1000000) % 1000000) as started_at,
    strftime('%Y-%m-%dT%H:%M:%S', ended_at / 1000000 - (ended_at % 1000000 < 0), 'unixepoch')
    || printf('.%06dZ', (ended_at % 1000000 + 1000000) % 1000000) as completed_at,
    coalesce(
        case json_type(detail, '$.metadata.total_symbols') when 'integer' then detail ->> '$.metadata.total_symbols' end,
        total,
        items_total
    ) as total_symbols,
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
    i.detail ->> '$.data.asset_class' as asset_class,
    coalesce(p.timeframe, '') as timeframe,
    case i.status
        when 'queued' then 'pending'
        when 'running' then 'in_progress'
        when 'succeeded' then 'completed'
        when 'partial' then 'completed'
        else 'failed'
    end as status,
    coalesce(i.rows, 0) as records_processed,
    coalesce(i.detail ->> '$.data.records_inserted', 0) as records_inserted,
    coalesce(i.detail ->> '$.data.features_computed', 0) as features_computed,
    strftime('%Y-%m-%dT%H:%M:%S', i.started_at / 1000000 - (i.started_at % 1000000 < 0), 'unixepoch')
    || printf('.%06dZ', (i.started_at % 1000000 + 1000000) % 1000000) as started_at,
    strftime('%Y-%m-%dT%H:%M:%S', i.ended_at / 1000000 - (i.ended_at % 1000000 < 0), 'unixepoch')
    || printf('.%06dZ', (i.ended_at % 1000000 + 1000000) % 1000000) as completed_at,
    coalesce(i.duration, max(i.ended_at - i.started_at, 0) / 1e6) as duration_seconds,
    i.detail ->> '$.error.message' as error_message
from executions as e
join items as i on i.execution = e.number
left join pairs as p on p.key = i.key
where e.kind = 'pipeline';

create view feature_freshness as
select
    symbol,
    timeframe,
    strftime('%Y-%m-%dT%H:%M:%S', last_computed_at / 1000000 - (last_computed_at % 1000000 < 0), 'unixepoch')
    || printf('.%06dZ', (last_computed_at % 1000000 + 1000000) % 1000000) as last_computed_at,
    data_point_count,
    case
        when ranked_at is null then 'missing'
        when cast((julianday('now') - 2440587.5) * 86400000000 as integer) - ranked_at < 3600000000 then 'fresh'
        when cast((julianday('now') - 2440587.5) * 86400000000 as integer) - ranked_at < 86400000000 then 'aging'
        else 'stale'
    end as status,
    max(cast((julianday('now') - 2440587.5) * 86400000000 as integer) - last_computed_at, 0) / 1000000 as staleness_seconds,
    strftime('%Y-%m-%dT%H:%M:%S', max(said_at, known_at) / 1000000 - (max(said_at, known_at) % 1000000 < 0), 'unixepoch')
    || printf('.%06dZ', (max(said_at, known_at) % 1000000 + 1000000) % 1000000) as updated_at
from pairs
where monitored = 1;

-- What failed: computations recorded as such, and items of pipelines that were not recorded so too.
create view feature_computation_failures as
select
    symbol,
    timeframe,
    error_message,
    execution_id,
    retry_count,
    resolved,
    strftime('%Y-%m-%dT%H:%M:%S', failed / 1000000 - (failed % 1000000 < 0), 'unixepoch')
    || printf('.%06dZ', (failed % 1000000 + 1000000) % 1000000) as failed_at
from (
    select
        coalesce(p.symbol, e.subject, '') as symbol,
        coalesce(p.timeframe, '') as timeframe,
        e.error_message,
        e.parent_id as execution_id,
        coalesce(
            case json_type(e.detail, '$.metadata.retry_count')
                when 'integer' then e.detail ->> '$.metadata.retry_count'
            end,
            0
        ) as retry_count,
        coalesce(p.succeeded_at > coalesce(e.ended_at, e.created_at), 0) as resolved,
        coalesce(e.ended_at, e.created_at) as failed
    from executions as e
    left join pairs as p on p.key = e.subject
    where e.kind = 'feature' and e.status in ('partial', 'failed', 'timed_out', 'cancelled', 'crashed')
        and e.status in ('failed', 'timed_out')
    union all
    select
        coalesce(p.symbol, i.key),
        coalesce(p.timeframe, ''),
        i.detail ->> '$.error.message',
        e.id,
        coalesce(
            case json_type(i.detail, '$.data.retry_count') when 'integer' then i.detail ->> '$.data.retry_count' end,
            i.attempt - 1
        ),
        coalesce(p.succeeded_at > coalesce(i.ended_at, i.at), 0),
        coalesce(i.ended_at, i.at)
    from executions as e
    join items as i indexed by items_failures on i.execution = e.number and i.status in ('failed', 'timed_out')
    left join pairs as p on p.key = i.key
    where e.kind = 'pipeline' and not exists (
        select 1
        from executions as f
        where f.kind = 'feature' and f.subject = i.key and f.parent_id = e.id
            and f.status in ('partial', 'failed', 'timed_out', 'cancelled', 'crashed')
            and f.status in ('failed', 'timed_out')
    )
);
