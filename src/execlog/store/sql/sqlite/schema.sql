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

-- Statistics, added up as executions end. Time comes first in the key, so that a batch's cells lie side by side.
-- `sketch` is text, so that a batch can append to it: store/sqlite/sketches.py.
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
    sketch text not null default '+',
    primary key (resolution, start, series)
) strict, without rowid;

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

-- Section D of the contract: query executions under the names its clients select from, as views over the one spine.

-- A row a query that has ended. Times are ISO 8601 in UTC, `execution_time` is in seconds, the last three are JSON.
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
    || case when begun_fraction = 0 then 'Z' else printf('.%06dZ', begun_fraction) end as started_at,
    strftime('%Y-%m-%dT%H:%M:%S', (ended_at - ended_fraction) / 1000000, 'unixepoch')
    || case when ended_fraction = 0 then 'Z' else printf('.%06dZ', ended_fraction) end as completed_at,
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
