-- Times of queries with their microseconds even where those are 0: as text, 10:30:00Z comes after 10:30:00.5Z, and so a
-- user's newest query was not always ranked first.
drop view user_recent_executions;
drop view execution_analytics;
drop view query_executions;

-- A row a query that has ended. Times are ISO 8601 in UTC, to the microsecond, so that they sort; `execution_time` is in
-- seconds, the last three are JSON.
create view query_executions as
select
    number as id,
    id as execution_id,
    actor as user_id,
    detail ->> '$.metadata.conversation_id' as conversation_id,
    coalesce(detail ->> '$.input', '') as query,
    coalesce(engine, '') as database_type,
    detail ->> '$.metadata.query_complexity' as query_complexity,
    case status
        when 'succeeded' then 'success'
        when 'partial' then 'success'
        when 'timed_out' then 'timeout'
        when 'crashed' then 'error'
        else 'failed'
    end as status,
    seconds as execution_time,
    rows as total_rows,
    cast(detail ->> '$.metadata.returned_rows' as integer) as returned_rows,
    coalesce(cast(detail ->> '$.metadata.page' as integer), 0) as page,
    coalesce(cast(detail ->> '$.metadata.page_size' as integer), 100) as page_size,
    error_message,
    case
        when status = 'cancelled' then 'Cancelled'
        when status = 'crashed' then coalesce(error_type, 'Crashed')
        else error_type
    end as error_type,
    strftime('%Y-%m-%dT%H:%M:%S', (begun - begun_fraction) / 1000000, 'unixepoch')
    || printf('.%06dZ', begun_fraction) as started_at,
    strftime('%Y-%m-%dT%H:%M:%S', (ended_at - ended_fraction) / 1000000, 'unixepoch')
    || printf('.%06dZ', ended_fraction) as completed_at,
    coalesce(detail -> '$.metadata.connection_params', '{}') as connection_params,
    coalesce(detail -> '$.metadata.request_metadata', '{}') as request_metadata,
    coalesce(detail -> '$.metadata.response_metadata', '{}') as response_metadata
from (
    select
        *,
        coalesce(started_at, created_at) as begun,
        (coalesce(started_at, created_at) % 1000000 + 1000000) % 1000000 as begun_fraction,
        (ended_at % 1000000 + 1000000) % 1000000 as ended_fraction
    from executions
    where kind = 'query' and status not in ('queued', 'running')
);

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
    coalesce(sum(total_rows), 0) as total_rows
from query_executions
group by execution_date, user_id, database_type, status;

-- Every user's queries, the newest with `rank` 1.
create view user_recent_executions as
select
    *,
    row_number() over (partition by user_id order by started_at desc, id desc) as rank
from query_executions
where user_id is not null;
