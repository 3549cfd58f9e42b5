-- Jobs and the claims of due ones. Instants are UTC µs; see execlog/store/jobs.py for what each step promises.
-- Several transactions write at once: whoever gives a job firings, or claims its waiting ones, holds the job's row. Rows
-- are locked in the order of their keys, so that nobody waits in a circle.

-- name: job
select id, definition, version, enabled, next_at, due_at, last_at, skipped, created_at, updated_at
from jobs where id = %(id)s;

-- name: insert_job
insert into jobs (id, version, definition, enabled, next_at, due_at, last_at, skipped, created_at, updated_at)
values (
    %(id)s, 1, %(definition)s, %(enabled)s, %(next_at)s, %(due_at)s, %(last_at)s, %(skipped)s, %(created_at)s,
    %(updated_at)s
)
on conflict do nothing
returning version;

-- name: update_job
update jobs set version = version + 1, definition = %(definition)s, enabled = %(enabled)s, next_at = %(next_at)s,
    due_at = %(due_at)s, updated_at = %(updated_at)s
where id = %(id)s and version = %(expected)s and last_at is not distinct from %(last_at)s::bigint
returning version;

-- name: version_of
select version, skipped from jobs where id = %(id)s;

-- name: hold_jobs
select id from jobs where id = any(%(ids)s::text []) order by id for update;

-- name: list_jobs
select id, definition, version, enabled, next_at, due_at, last_at, skipped, created_at, updated_at
from jobs where (created_at, id) < (%(created_at)s, %(before)s)
order by created_at desc, id desc limit %(limit)s;

-- name: delete_job
delete from jobs where id = %(id)s returning id;

-- name: delete_waiting
delete from firings where job_id = %(id)s and state = 'waiting' returning job_id;

-- name: due_jobs
select id, definition, version, enabled, next_at, due_at, last_at, skipped, created_at, updated_at
from jobs where enabled and due_at is not null and due_at <= %(now)s
order by due_at, id limit %(limit)s;

-- name: wake_at
select min(at) from (
    select min(due_at) as at from jobs where enabled and due_at is not null and due_at > %(now)s
    union all
    select min(due_at) from firings where state = 'waiting' and due_at > %(now)s
) as later;

-- name: advance_jobs
update jobs set next_at = step.next_at, due_at = step.due_at, last_at = step.last_at, skipped = jobs.skipped + step.skipped
from json_to_recordset(%(steps)s::json) as step (
    job_id text, version bigint, was_at bigint, next_at bigint, due_at bigint, last_at bigint, skipped bigint
)
where jobs.id = step.job_id and jobs.version = step.version and jobs.next_at = step.was_at and jobs.enabled
returning jobs.id;

-- name: count_firings
select job_id, count(*) filter (where state <> 'waiting'), count(*) filter (where state = 'waiting' and attempt = 1)
from firings where job_id in (select json_array_elements_text(%(ids)s::json))
group by job_id;

-- name: insert_firings
insert into firings (job_id, instant, attempt, execution_id, due_at, state, holder, fence, lease_until, overlap, manual,
    triggered_by, retry_of, root_id, items, cancel)
select f.job_id, f.instant, f.attempt, f.execution_id, f.due_at, f.state, f.holder, f.fence, f.lease_until, f.overlap,
    f.manual, f.triggered_by, f.retry_of, f.root_id, f.items::text, false
from json_to_recordset(%(firings)s::json) as f (
    job_id text, instant bigint, attempt bigint, execution_id text, due_at bigint, state text, holder text, fence bigint,
    lease_until bigint, overlap text, manual boolean, triggered_by text, retry_of text, root_id text, items json
)
on conflict do nothing
returning job_id, instant, attempt;

-- name: count_skipped
update jobs set skipped = skipped + dropped.value::bigint
from json_each_text(%(dropped)s::json) as dropped
where jobs.id = dropped.key
returning jobs.id;

-- name: next_instant
with recursive free (instant) as (
    select %(instant)s::bigint
    union all
    select instant + 1 from free
    where exists (select 1 from firings where job_id = %(job_id)s and firings.instant = free.instant)
)
select max(instant) from free;

-- name: hold_claimable
-- The jobs with waiting firings that may be claimed, where nobody else holds them: what they hold will be done by them.
select j.id
from (
    select job_id, min(due_at) as due_at from firings where state = 'waiting' and due_at <= %(now)s group by job_id
) as due
inner join jobs as j on j.id = due.job_id
where exists (
    select 1 from firings as f
    where f.job_id = j.id and f.state = 'waiting' and f.due_at <= %(now)s and (j.enabled or f.manual)
        and (f.overlap = 'allow' or not exists (
            select 1 from firings as o
            where o.job_id = f.job_id and (o.state <> 'waiting' or (
                (j.enabled or o.manual)
                and (o.due_at, o.instant, o.attempt) < (f.due_at, f.instant, f.attempt)
            ))
        ))
)
order by due.due_at, j.id
limit %(limit)s
for update of j skip locked;

-- name: claim_firings
with expired as (
    select job_id, instant, attempt, due_at
    from firings
    where state = 'claimed' and lease_until < %(now)s
    order by due_at, job_id, instant, attempt limit %(limit)s
    for update skip locked
),
waiting as (
    select f.job_id, f.instant, f.attempt, f.due_at
    from firings as f inner join jobs as j on j.id = f.job_id
    where f.job_id = any(%(held)s::text []) and f.state = 'waiting' and f.due_at <= %(now)s and (j.enabled or f.manual)
        and (f.overlap = 'allow' or not exists (
            select 1 from firings as o
            where o.job_id = f.job_id and (o.state <> 'waiting' or (
                (j.enabled or o.manual)
                and (o.due_at, o.instant, o.attempt) < (f.due_at, f.instant, f.attempt)
            ))
        ))
    order by f.due_at, f.job_id, f.instant, f.attempt limit %(limit)s
    for update of f skip locked
),
chosen as (
    select * from expired
    union all
    select * from waiting
    order by due_at, job_id, instant, attempt limit %(limit)s
)
update firings set state = 'claimed', holder = %(holder)s, fence = fence + 1, lease_until = %(lease_until)s
from chosen
where firings.job_id = chosen.job_id and firings.instant = chosen.instant and firings.attempt = chosen.attempt
returning firings.job_id, firings.instant, firings.attempt, execution_id, firings.due_at, state, holder, fence, lease_until,
    overlap, manual, triggered_by, retry_of, root_id, items, cancel;

-- name: begin_firings
with mine as (
    select k.job_id, k.instant, k.attempt
    from firings as k
    inner join json_to_recordset(%(firings)s::json) as f (
        job_id text, instant bigint, attempt bigint, holder text, fence bigint
    ) on k.job_id = f.job_id and k.instant = f.instant and k.attempt = f.attempt
    where k.state = 'claimed' and k.holder = f.holder and k.fence = f.fence
    order by k.job_id, k.instant, k.attempt
    for update of k
)
update firings set state = 'started'
from mine
where firings.job_id = mine.job_id and firings.instant = mine.instant and firings.attempt = mine.attempt
returning firings.job_id, firings.instant, firings.attempt, firings.cancel;

-- name: renew_firings
with mine as (
    select job_id, instant, attempt from firings
    where holder = %(holder)s and holder <> '' and state <> 'waiting'
    order by job_id, instant, attempt
    for update
)
update firings set lease_until = %(lease_until)s
from mine
where firings.job_id = mine.job_id and firings.instant = mine.instant and firings.attempt = mine.attempt
returning firings.job_id;

-- name: cancelled_firings
select job_id, instant, attempt, execution_id, due_at, state, holder, fence, lease_until, overlap, manual, triggered_by,
    retry_of, root_id, items, cancel
from firings where holder = %(holder)s and holder <> '' and cancel and state <> 'waiting';

-- name: settle_firings
with mine as (
    select k.job_id, k.instant, k.attempt
    from firings as k
    inner join json_to_recordset(%(firings)s::json) as f (
        job_id text, instant bigint, attempt bigint, holder text, fence bigint
    ) on k.job_id = f.job_id and k.instant = f.instant and k.attempt = f.attempt
    where k.holder = f.holder and k.fence = f.fence
    order by k.job_id, k.instant, k.attempt
    for update of k
)
delete from firings
using mine
where firings.job_id = mine.job_id and firings.instant = mine.instant and firings.attempt = mine.attempt
returning firings.job_id, firings.instant, firings.attempt, firings.cancel;

-- name: firings_of
select job_id, instant, attempt, execution_id, due_at, state, holder, fence, lease_until, overlap, manual, triggered_by,
    retry_of, root_id, items, cancel
from firings where job_id = %(job_id)s
order by due_at, instant, attempt limit %(limit)s;

-- name: all_firings
select job_id, instant, attempt, execution_id, due_at, state, holder, fence, lease_until, overlap, manual, triggered_by,
    retry_of, root_id, items, cancel
from firings order by due_at, job_id, instant, attempt limit %(limit)s;

-- name: expired_firings
select job_id, instant, attempt, execution_id, due_at, state, holder, fence, lease_until, overlap, manual, triggered_by,
    retry_of, root_id, items, cancel
from firings
where state = 'started' and lease_until < %(expired_at)s and (%(job_id)s::text is null or job_id = %(job_id)s)
order by due_at, job_id, instant, attempt limit %(limit)s;

-- name: flag_firings
with theirs as (
    select job_id, instant, attempt from firings
    where job_id = %(job_id)s and state <> 'waiting'
    order by job_id, instant, attempt
    for update
)
update firings set cancel = true
from theirs
where firings.job_id = theirs.job_id and firings.instant = theirs.instant and firings.attempt = theirs.attempt
returning firings.job_id;
