-- The schema after all migrations. tests/stores/test_sqlite_migrations.py proves that the migrations make exactly this.

-- One execution a row: the one truth for all kinds. Typed columns for what is filtered, grouped or summed; the rest is
-- JSON. `number` is the row's own short name, used by the other tables; it is not the caller's id.
-- `fingerprint` is of the failure: the own error's, or the first failed item's where there is no own one.
-- `stamps` says which older event decided which fields, [[at, bits], ...] (store/sqlite/rows.py); null when one event did.
create table executions (
    number integer primary key,
    id text not null,
    kind text not null,
    namespace text not null,
    status text not null,
    created_at integer not null,
    at integer not null,
    name text,
    subject text,
    actor text,
    engine text,
    queued_at integer,
    started_at integer,
    ended_at integer,
    duration real,
    rows integer,
    total integer,
    declared_succeeded integer,
    declared_failed integer,
    items_total integer not null default 0,
    items_succeeded integer not null default 0,
    items_failed integer not null default 0,
    items_open integer not null default 0,
    tokens_input integer,
    tokens_output integer,
    cost_nano integer,
    error_type text,
    error_message text,
    fingerprint text,
    text_key integer,
    parent_id text,
    root_id text,
    retry_of text,
    origin text,
    tags text,
    usage text,
    detail text,
    stamps text,
    seconds real generated always as (coalesce(duration, max(ended_at - started_at, 0) / 1e6)) virtual
) strict;

create unique index executions_identity on executions (id, kind, namespace);
create index executions_time on executions (created_at);
create index executions_kind on executions (kind, created_at);
create index executions_subject on executions (kind, subject, namespace, created_at) where subject is not null;
create index executions_namespace on executions (kind, namespace, created_at) where namespace <> '';
create index executions_actor on executions (actor, created_at) where actor is not null;
create index executions_unsuccessful on executions (created_at, kind, status, fingerprint, subject)
    where status in ('partial', 'failed', 'timed_out', 'cancelled', 'crashed');
create index executions_unsuccessful_subject on executions (kind, subject, namespace, created_at, status)
    where status in ('partial', 'failed', 'timed_out', 'cancelled', 'crashed');
create index executions_fingerprint on executions (fingerprint, created_at) where fingerprint is not null;
create index executions_open on executions (created_at, kind, subject, origin) where status in ('queued', 'running');
create index executions_parent on executions (parent_id) where parent_id is not null;
create index executions_root on executions (root_id) where root_id is not null;
create index executions_retry on executions (retry_of) where retry_of is not null;
create unique index executions_text on executions (text_key) where text_key is not null;

-- The units inside an execution. `created_at` is their execution's: lists of executions by item are ordered by it.
create table items (
    execution integer not null,
    key text not null,
    status text not null,
    at integer not null,
    position integer not null,
    attempt integer not null,
    created_at integer not null,
    started_at integer,
    ended_at integer,
    duration real,
    rows integer,
    tokens_input integer,
    tokens_output integer,
    cost_nano integer,
    detail text,
    primary key (execution, key)
) strict, without rowid;

create index items_key on items (key, created_at, status);

create table logs (
    execution integer not null,
    at integer not null,
    number integer not null,
    level text not null,
    message text not null,
    item text
) strict;

create index logs_execution on logs (execution, at, number);

-- Statistics, added up from executions that ended. Time comes first in the key, so that a batch's cells lie side by side.
-- `sketch` is text, so that a batch can append to it: store/sqlite/sketches.py. It may be longer than a page holds, and a
-- tree that has such rows as its keys reads them whole to find its way: hence a rowid and an index.
create table buckets (
    resolution integer not null,
    start integer not null,
    series text not null,
    succeeded integer not null default 0,
    partial integer not null default 0,
    failed integer not null default 0,
    timed_out integer not null default 0,
    cancelled integer not null default 0,
    crashed integer not null default 0,
    timed integer not null default 0,
    duration_micros integer not null default 0,
    max_micros integer not null default 0,
    rows integer not null default 0,
    tokens_input integer not null default 0,
    tokens_output integer not null default 0,
    cost_nano integer not null default 0,
    sketch text not null default '+'
) strict;

create unique index buckets_cell on buckets (resolution, start, series);

-- How far the cells go: executions numbered up to `summed` are counted in them, those above are the tail, which questions
-- add up themselves and `store/sqlite/summing.py` counts in some hundreds at a time. One row, made by the migration.
create table summed (
    number integer not null
) strict;

-- What was deleted, so that it stays deleted.
create table tombstones (
    id text not null,
    kind text not null,
    namespace text not null,
    at integer not null,
    was_open integer not null,
    primary key (id, kind, namespace)
) strict, without rowid;

-- What changed, one row a batch: `number` is the last change's, `keys` a JSON array of [kind, namespace, id], in order.
create table changes (
    number integer primary key,
    deleted integer not null,
    keys text not null
) strict;

-- Which processes are alive, until when (UTC µs on the store's clock).
create table processes (
    origin text primary key,
    until integer not null
) strict, without rowid;

-- Events that no form of this store could keep, as `core.codec` bytes, with the reason.
create table quarantine (
    number integer primary key,
    at integer not null,
    reason text not null,
    event blob not null
) strict;

-- Substring search, case-insensitive, any script. The rowid is `text_key`: it ascends with created_at, so that the newest
-- matches come first without reading the others.
create virtual table texts using fts5 (text, content = '', contentless_delete = 1, tokenize = 'trigram');

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
    ranked_at integer,
    last_bar_at integer
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

-- Query executions under the names its clients select from, as views over the one spine.

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
