-- The schema after all migrations. tests/stores/test_postgres_schema.py proves that the migrations make exactly this.

-- The spine, as in SQLite: one execution a row, typed columns for what is filtered, grouped or summed, JSON for the rest.
-- Texts compare byte by byte ("C"), which for UTF-8 is the order of code points: the order Python has.
-- `json`, not `jsonb`: what was recorded is read back to the letter, a float that is a whole number too.

create table state (
    only_row boolean primary key default true check (only_row),
    last_number bigint not null default 0,
    last_change bigint not null default 0
);
insert into state default values;

-- A partitioned table has no unique key without its partition column, so identity lives beside it: one probe tells
-- whether an execution is known, and in which month.
create table execution_keys (
    id text collate "C" not null,
    kind text collate "C" not null,
    namespace text collate "C" not null,
    number bigint not null,
    created_at bigint not null,
    primary key (id, kind, namespace)
);

create table executions (
    number bigint not null,
    id text collate "C" not null,
    kind text collate "C" not null,
    namespace text collate "C" not null,
    status text collate "C" not null,
    at bigint not null,
    name text collate "C",
    subject text collate "C",
    actor text collate "C",
    engine text collate "C",
    queued_at bigint,
    started_at bigint,
    ended_at bigint,
    duration double precision,
    rows bigint,
    total bigint,
    declared_succeeded bigint,
    declared_failed bigint,
    parent_id text collate "C",
    root_id text collate "C",
    retry_of text collate "C",
    origin text collate "C",
    created_at bigint not null,
    items_total bigint not null default 0,
    items_succeeded bigint not null default 0,
    items_failed bigint not null default 0,
    items_open bigint not null default 0,
    tokens_input bigint,
    tokens_output bigint,
    cost_nano bigint,
    error_type text collate "C",
    error_message text collate "C",
    fingerprint text collate "C",
    searched text collate "C",
    tags json,
    usage json,
    detail json,
    stamps json,
    seconds double precision generated always as (
        coalesce(
            duration,
            case
                when started_at is not null and ended_at is not null
                    then greatest(ended_at - started_at, 0)::double precision / 1000000.0::double precision
            end
        )
    ) stored,
    primary key (created_at, number)
) partition by range (created_at);

create index executions_kind on executions (kind, created_at);
create index executions_subject on executions (kind, subject, namespace, created_at) where subject is not null;
create index executions_namespace on executions (kind, namespace, created_at) where namespace <> '';
create index executions_actor on executions (actor, created_at) where actor is not null;
create index executions_unsuccessful on executions (created_at, kind, status)
    where status in ('partial', 'failed', 'timed_out', 'cancelled', 'crashed');
create index executions_unsuccessful_subject on executions (kind, subject, namespace, created_at)
    where status in ('partial', 'failed', 'timed_out', 'cancelled', 'crashed');
create index executions_fingerprint on executions (fingerprint, created_at) where fingerprint is not null;
create index executions_open on executions (created_at, kind, subject) where status in ('queued', 'running');
create index executions_parent on executions (parent_id) where parent_id is not null;
create index executions_root on executions (root_id) where root_id is not null;
create index executions_retry on executions (retry_of) where retry_of is not null;
create index executions_texts on executions (created_at) where octet_length(searched) > 0;

-- What no month of its own is made for: before 2000, and far in the future.
create table executions_other partition of executions default;

-- Which subjects there are, so that the latest of each is a look-up a subject; '' stands for executions without one.
create table subjects (
    kind text collate "C" not null,
    subject text collate "C" not null,
    namespace text collate "C" not null,
    primary key (kind, subject, namespace)
);

create table items (
    execution bigint not null,
    created_at bigint not null,
    key text collate "C" not null,
    status text collate "C" not null,
    at bigint not null,
    position bigint not null,
    attempt bigint not null,
    started_at bigint,
    ended_at bigint,
    duration double precision,
    rows bigint,
    tokens_input bigint,
    tokens_output bigint,
    cost_nano bigint,
    detail json,
    primary key (execution, key)
);

create index items_key on items (key, created_at, status);
create index items_failures on items (execution) where status in ('failed', 'timed_out');

create table logs (
    execution bigint not null,
    at bigint not null,
    number bigint not null,
    level text collate "C" not null,
    message text collate "C" not null,
    item text collate "C"
);

create index logs_execution on logs (execution, at, number);

create table buckets (
    resolution bigint not null,
    start bigint not null,
    series text collate "C" not null,
    succeeded bigint not null default 0,
    partial bigint not null default 0,
    failed bigint not null default 0,
    timed_out bigint not null default 0,
    cancelled bigint not null default 0,
    crashed bigint not null default 0,
    timed bigint not null default 0,
    duration_micros bigint not null default 0,
    max_micros bigint not null default 0,
    rows bigint not null default 0,
    tokens_input bigint not null default 0,
    tokens_output bigint not null default 0,
    cost_nano bigint not null default 0,
    sketch text collate "C" not null default '+',
    primary key (resolution, start, series)
);

create table tombstones (
    id text collate "C" not null,
    kind text collate "C" not null,
    namespace text collate "C" not null,
    at bigint not null,
    was_open boolean not null,
    primary key (id, kind, namespace)
);

-- One row a batch: `number` is the last change's, `keys` an array of [kind, namespace, id], in order.
create table changes (
    number bigint primary key,
    deleted boolean not null,
    keys json not null
);

create table processes (
    origin text collate "C" primary key,
    until bigint not null
);

create table quarantine (
    number bigint generated always as identity primary key,
    at bigint not null,
    reason text not null,
    event bytea not null
);

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
    ranked_at bigint,
    last_bar_at bigint
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

-- The instant of so many µs since 1970 in UTC. (Days apart from the rest: an interval is multiplied as a float.)
create function execlog_instant(micros bigint) returns timestamptz language sql immutable return (
    timestamp '1970-01-01' + (micros / 86400000000)::integer * interval '1 day'
    + (micros % 86400000000)::double precision * interval '1 microsecond'
) at time zone 'UTC';

-- The whole number that a JSON value is; null if it is none, or none of 64 bits.
create function execlog_whole(value json) returns bigint language sql immutable return
    case when json_typeof(value) = 'number' and value::text ~ '^-?\d{1,18}$' then value::text::bigint end;

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
    select
        symbol, timeframe, last_computed_at, data_point_count, ranked_at, said_at, known_at,
        (extract(epoch from statement_timestamp()) * 1000000)::bigint as now
    from pairs
    where monitored
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

-- Jobs and the claims of due ones: store/jobs.py. Definitions and items are JSON that only Python looks into.

create table jobs (
    id text collate "C" primary key,
    version bigint not null,
    definition text not null,
    enabled boolean not null,
    next_at bigint,
    due_at bigint,
    last_at bigint,
    skipped bigint not null,
    created_at bigint not null,
    updated_at bigint not null
);

create index jobs_due on jobs (due_at, id) where enabled and due_at is not null;
create index jobs_created on jobs (created_at, id);

create table firings (
    job_id text collate "C" not null,
    instant bigint not null,
    attempt bigint not null,
    execution_id text collate "C" not null,
    due_at bigint not null,
    state text collate "C" not null check (state in ('waiting', 'claimed', 'started')),
    holder text collate "C" not null,
    fence bigint not null,
    lease_until bigint not null,
    overlap text collate "C" not null check (overlap in ('skip', 'queue', 'allow')),
    manual boolean not null,
    triggered_by text collate "C" not null,
    retry_of text collate "C",
    root_id text collate "C",
    items text,
    cancel boolean not null,
    primary key (job_id, instant, attempt)
);

create index firings_waiting on firings (due_at) where state = 'waiting';
create index firings_claimed on firings (lease_until) where state = 'claimed';
create index firings_started on firings (lease_until) where state = 'started';
create index firings_holders on firings (holder) where holder <> '';
