-- Query executions under the names its clients select from, as views over the one spine.

-- A row a query that has ended. Times are ISO 8601 in UTC, `execution_time` is in seconds, the last three are JSON.
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
    replace(execlog_iso(coalesce(started_at, created_at)), '.000000Z', 'Z') as started_at,
    replace(execlog_iso(ended_at), '.000000Z', 'Z') as completed_at,
    coalesce((metadata -> 'connection_params')::text, '{}') as connection_params,
    coalesce((metadata -> 'request_metadata')::text, '{}') as request_metadata,
    coalesce((metadata -> 'response_metadata')::text, '{}') as response_metadata
from (
    select *, detail -> 'metadata' as metadata
    from executions
    where kind = 'query' and status not in ('queued', 'running')
) as queries;

-- What queries come to, per UTC day, user, type of database and status.
create view execution_analytics as
select
    substr(started_at, 1, 10) as execution_date,
    user_id,
    database_type,
    status,
    count(*) as execution_count,
    avg(execution_time) as avg_execution_time,
    min(execution_time) as min_execution_time,
    max(execution_time) as max_execution_time,
    coalesce(sum(total_rows), 0)::bigint as total_rows
from query_executions
group by substr(started_at, 1, 10), user_id, database_type, status;

-- Every user's queries, the newest with `rank` 1.
create view user_recent_executions as
select
    *,
    row_number() over (partition by user_id order by started_at desc, id desc) as rank
from query_executions
where user_id is not null;
