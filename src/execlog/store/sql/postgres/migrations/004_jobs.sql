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
