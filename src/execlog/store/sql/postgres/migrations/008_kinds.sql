-- The kinds are read from the subjects, so those that have none count among them.
insert into subjects (kind, subject, namespace)
with recursive kinds (kind) as (
    select min(kind) from executions
    union all
    select (select min(executions.kind) from executions where executions.kind > kinds.kind)
    from kinds
    where kinds.kind is not null
)
select kind, '', '' from kinds where kind is not null
on conflict do nothing;
