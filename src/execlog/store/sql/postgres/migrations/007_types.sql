-- The SQL names with the types their clients know: times are timestamptz, a day is a date, what is JSON is jsonb. They
-- were texts, which no client's `started_at > now() - interval '7 days'` could be asked of.
drop view user_recent_executions, execution_analytics, query_executions;
drop view feature_computation_failures, feature_freshness, symbol_computation_status, scheduler_execution_log;
drop function execlog_iso(bigint);

-- The instant of so many µs since 1970 in UTC. (Days apart from the rest: an interval is multiplied as a float.)
create function execlog_instant(micros bigint) returns timestamptz language sql immutable return (
    timestamp '1970-01-01' + (micros / 86400000000)::integer * interval '1 day'
    + (micros % 86400000000)::double precision * interval '1 microsecond'
) at time zone 'UTC';

-- The names that the pipelines' clients select from.
create view scheduler_execution_log as
select
    id as execution_id,
    execlog_instant(started_at) as started_at,
    execlog_instant(ended_at) as completed_at,
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
    execlog_instant(i.started_at) as started_at,
    execlog_instant(i.ended_at) as completed_at,
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
    execlog_instant(last_computed_at) as last_computed_at,
    data_point_count,
    case
        when ranked_at is null then 'missing'
        when now - ranked_at < 3600000000 then 'fresh'
        when now - ranked_at < 86400000000 then 'aging'
        else 'stale'
    end as status,
    case when last_computed_at is not null then greatest(now - last_computed_at, 0) / 1000000 end as staleness_seconds,
    execlog_instant(greatest(said_at, known_at)) as updated_at
from (
    select *, (extract(epoch from statement_timestamp()) * 1000000)::bigint as now from pairs where monitored
) as monitored_pairs;

-- What failed: computations recorded as such, and items of pipelines that were not recorded so too.
create view feature_computation_failures as
select symbol, timeframe, error_message, execution_id, retry_count, resolved, execlog_instant(failed) as failed_at
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

-- Query executions under the names its clients select from, as views over the one spine.

-- A row a query that has ended. `execution_time` is in seconds.
create view query_executions as
select
    number as id,
    id as execution_id,
    actor as user_id,
    metadata ->> 'conversation_id' as conversation_id,
    coalesce(detail ->> 'input', '') as query,
    coalesce(engine, '') as database_type,
    metadata ->> 'query_complexity' as query_complexity,
    case status
        when 'succeeded' then 'success'
        when 'partial' then 'success'
        when 'timed_out' then 'timeout'
        when 'crashed' then 'error'
        else 'failed'
    end as status,
    seconds as execution_time,
    rows as total_rows,
    execlog_whole(metadata -> 'returned_rows') as returned_rows,
    coalesce(execlog_whole(metadata -> 'page'), 0) as page,
    coalesce(execlog_whole(metadata -> 'page_size'), 100) as page_size,
    error_message,
    case
        when status = 'cancelled' then 'Cancelled'
        when status = 'crashed' then coalesce(error_type, 'Crashed')
        else error_type
    end as error_type,
    execlog_instant(coalesce(started_at, created_at)) as started_at,
    execlog_instant(ended_at) as completed_at,
    coalesce((metadata -> 'connection_params')::jsonb, '{}') as connection_params,
    coalesce((metadata -> 'request_metadata')::jsonb, '{}') as request_metadata,
    coalesce((metadata -> 'response_metadata')::jsonb, '{}') as response_metadata
from (
    select *, detail -> 'metadata' as metadata
    from executions
    where kind = 'query' and status not in ('queued', 'running')
) as queries;

-- What queries come to, per UTC day, user, type of database and status.
create view execution_analytics as
select
    (started_at at time zone 'UTC')::date as execution_date,
    user_id,
    database_type,
    status,
    count(*) as execution_count,
    avg(execution_time) as avg_execution_time,
    min(execution_time) as min_execution_time,
    max(execution_time) as max_execution_time,
    coalesce(sum(total_rows), 0)::bigint as total_rows
from query_executions
group by execution_date, user_id, database_type, status;

-- Every user's queries, the newest with `rank` 1.
create view user_recent_executions as
select
    *,
    row_number() over (partition by user_id order by started_at desc, id desc) as rank
from query_executions
where user_id is not null;
