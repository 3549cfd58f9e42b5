-- Jobs and the claims of due ones. Instants are UTC µs; see execlog/store/jobs.py for what each step promises.

-- name: schema
create table if not exists jobs (
    id         text primary key,
    version    integer not null,
    definition text    not null,
    enabled    integer not null,
    next_at    integer,
    due_at     integer,
    last_at    integer,
    skipped    integer not null,
    created_at integer not null,
    updated_at integer not null
) strict, without rowid;
create index if not exists jobs_due on jobs (due_at, id) where enabled and due_at is not null;
create index if not exists jobs_created on jobs (created_at, id);
create table if not exists firings (
    job_id       text    not null,
    instant      integer not null,
    attempt      integer not null,
    execution_id text    not null,
    due_at       integer not null,
    state        text    not null check (state in ('waiting', 'claimed', 'started')),
    holder       text    not null,
    fence        integer not null,
    lease_until  integer not null,
    overlap      text    not null check (overlap in ('skip', 'queue', 'allow')),
    manual       integer not null,
    triggered_by text    not null,
    retry_of     text,
    root_id      text,
    items        text,
    cancel       integer not null,
    primary key (job_id, instant, attempt)
) strict, without rowid;
create index if not exists firings_waiting on firings (due_at) where state = 'waiting';
create index if not exists firings_claimed on firings (lease_until) where state = 'claimed';
create index if not exists firings_started on firings (lease_until) where state = 'started';
create index if not exists firings_holders on firings (holder) where holder <> '';

-- name: job
select id, definition, version, enabled, next_at, due_at, last_at, skipped, created_at, updated_at
from jobs where id = :id;

-- name: insert_job
insert into jobs (id, version, definition, enabled, next_at, due_at, last_at, skipped, created_at, updated_at)
values (:id, 1, :definition, :enabled, :next_at, :due_at, :last_at, :skipped, :created_at, :updated_at)
on conflict do nothing
returning version;

-- name: update_job
update jobs set version = version + 1, definition = :definition, enabled = :enabled, next_at = :next_at, due_at = :due_at,
    updated_at = :updated_at
where id = :id and version = :expected and last_at is :last_at
returning version;

-- name: version_of
select version, skipped from jobs where id = :id;

-- name: list_jobs
select id, definition, version, enabled, next_at, due_at, last_at, skipped, created_at, updated_at
from jobs where (created_at, id) < (:created_at, :before)
order by created_at desc, id desc limit :limit;

-- name: delete_job
delete from jobs where id = :id returning id;

-- name: delete_waiting
delete from firings where job_id = :id and state = 'waiting';

-- name: due_jobs
select id, definition, version, enabled, next_at, due_at, last_at, skipped, created_at, updated_at
from jobs where enabled and due_at is not null and due_at <= :now
order by due_at, id limit :limit;

-- name: wake_at
select min(at) from (
    select min(due_at) as at from jobs where enabled and due_at is not null and due_at > :now
    union all
    select min(due_at) from firings where state = 'waiting' and due_at > :now
);

-- name: advance_jobs
update jobs set next_at = step.value ->> 'next_at', due_at = step.value ->> 'due_at', last_at = step.value ->> 'last_at',
    skipped = skipped + (step.value ->> 'skipped')
from json_each(:steps) as step
where jobs.id = step.value ->> 'job_id' and jobs.version = step.value ->> 'version'
    and jobs.next_at = step.value ->> 'was_at' and jobs.enabled
returning jobs.id;

-- name: count_firings
select job_id, sum(state <> 'waiting'), sum(state = 'waiting' and attempt = 1)
from firings where job_id in (select value from json_each(:ids))
group by job_id;

-- name: insert_firings
insert into firings (job_id, instant, attempt, execution_id, due_at, state, holder, fence, lease_until, overlap, manual,
    triggered_by, retry_of, root_id, items, cancel)
select f.value ->> 'job_id', f.value ->> 'instant', f.value ->> 'attempt', f.value ->> 'execution_id', f.value ->> 'due_at',
    f.value ->> 'state', f.value ->> 'holder', f.value ->> 'fence', f.value ->> 'lease_until', f.value ->> 'overlap',
    f.value ->> 'manual', f.value ->> 'triggered_by', f.value ->> 'retry_of', f.value ->> 'root_id', f.value -> 'items', 0
from json_each(:firings) as f
where true
on conflict do nothing
returning job_id, instant, attempt;

-- name: count_skipped
update jobs set skipped = skipped + dropped.value
from json_each(:dropped) as dropped
where jobs.id = dropped.key;

-- name: next_instant
with recursive free (instant) as (
    select :instant
    union all
    select instant + 1 from free
    where exists (select 1 from firings where job_id = :job_id and firings.instant = free.instant)
)
select max(instant) from free;

-- name: claim_firings
update firings set state = 'claimed', holder = :holder, fence = fence + 1, lease_until = :lease_until
where (job_id, instant, attempt) in (
    select job_id, instant, attempt from (
        select f.job_id, f.instant, f.attempt, f.due_at
        from firings as f
        where f.state = 'claimed' and f.lease_until < :now
        union all
        select f.job_id, f.instant, f.attempt, f.due_at
        from firings as f join jobs as j on j.id = f.job_id
        where f.state = 'waiting' and f.due_at <= :now and (j.enabled or f.manual)
            and (f.overlap = 'allow' or not exists (
                select 1 from firings as o
                where o.job_id = f.job_id and (o.state <> 'waiting' or (
                    (j.enabled or o.manual)
                    and (o.due_at, o.instant, o.attempt) < (f.due_at, f.instant, f.attempt)
                ))
            ))
        order by 4, 1, 2, 3 limit :limit
    )
)
returning job_id, instant, attempt, execution_id, due_at, state, holder, fence, lease_until, overlap, manual, triggered_by,
    retry_of, root_id, items, cancel;

-- name: begin_firings
update firings set state = 'started'
from json_each(:firings) as f
where firings.job_id = f.value ->> 'job_id' and firings.instant = f.value ->> 'instant'
    and firings.attempt = f.value ->> 'attempt' and firings.state = 'claimed'
    and firings.holder = f.value ->> 'holder' and firings.fence = f.value ->> 'fence'
returning firings.job_id, firings.instant, firings.attempt, firings.cancel;

-- name: renew_firings
update firings set lease_until = :lease_until where holder = :holder and holder <> '' and state <> 'waiting';

-- name: cancelled_firings
select job_id, instant, attempt, execution_id, due_at, state, holder, fence, lease_until, overlap, manual, triggered_by,
    retry_of, root_id, items, cancel
from firings where holder = :holder and holder <> '' and cancel and state <> 'waiting';

-- name: settle_firings
delete from firings
where (job_id, instant, attempt, holder, fence) in (
    select f.value ->> 'job_id', f.value ->> 'instant', f.value ->> 'attempt', f.value ->> 'holder', f.value ->> 'fence'
    from json_each(:firings) as f
)
returning job_id, instant, attempt, cancel;

-- name: firings_of
select job_id, instant, attempt, execution_id, due_at, state, holder, fence, lease_until, overlap, manual, triggered_by,
    retry_of, root_id, items, cancel
from firings where job_id = :job_id
order by due_at, instant, attempt limit :limit;

-- name: all_firings
select job_id, instant, attempt, execution_id, due_at, state, holder, fence, lease_until, overlap, manual, triggered_by,
    retry_of, root_id, items, cancel
from firings order by due_at, job_id, instant, attempt limit :limit;

-- name: expired_firings
select job_id, instant, attempt, execution_id, due_at, state, holder, fence, lease_until, overlap, manual, triggered_by,
    retry_of, root_id, items, cancel
from firings where state = 'started' and lease_until < :expired_at and (:job_id is null or job_id = :job_id)
order by due_at, job_id, instant, attempt limit :limit;

-- name: flag_firings
update firings set cancel = 1 where job_id = :job_id and state <> 'waiting';
