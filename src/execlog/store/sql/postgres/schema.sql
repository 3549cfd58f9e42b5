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

-- What no month of its own is made for: before 2000, and far in the future.
create table executions_other partition of executions default;

-- Which subjects there are, so that the latest of each is a look-up a subject.
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
