-- What each field of a `Filter` means as a condition on `executions` (store/matching.py says the same in Python).
-- `postgres/query.py` joins conditions by `and`.

-- name: kind
executions.kind = %(kind)s;
-- name: namespace
executions.namespace = %(namespace)s;
-- name: some_namespace
executions.namespace <> '';
-- name: subject
executions.subject = %(subject)s;
-- name: places
(executions.kind, executions.namespace) in (
    select * from unnest(%(place_kinds)b::text [], %(place_namespaces)b::text [])
);
-- name: actor
executions.actor = %(actor)s;
-- name: engine
executions.engine = %(engine)s;
-- name: name
executions.name = %(name)s;
-- name: parent_id
executions.parent_id = %(parent_id)s;
-- name: root_id
executions.root_id = %(root_id)s;
-- name: retry_of
executions.retry_of = %(retry_of)s;
-- name: origin
executions.origin = %(origin)s;
-- name: fingerprint
executions.fingerprint = %(fingerprint)s;
-- name: statuses
executions.status = any(%(statuses)b::text []);
-- name: unsuccessful
executions.status in ('partial', 'failed', 'timed_out', 'cancelled', 'crashed');
-- name: open
executions.status in ('queued', 'running');
-- name: terminal
executions.status in ('succeeded', 'partial', 'failed', 'timed_out', 'cancelled', 'crashed');
-- name: ids
(executions.created_at, executions.number) in (
    select k.created_at, k.number from execution_keys as k where k.id = any(%(ids)b::text [])
);
-- name: id_prefix
(executions.created_at, executions.number) in (
    select k.created_at, k.number
    from execution_keys as k
    where k.id >= %(id_prefix)s and k.id < %(id_prefix)s || chr(1114111)
);
-- name: since
executions.created_at >= %(since)s;
-- name: until
executions.created_at < %(until)s;
-- name: min_duration
executions.seconds >= %(min_duration)s;
-- name: max_duration
executions.seconds <= %(max_duration)s;
-- name: min_cost_nano
coalesce(executions.cost_nano, case when executions.tokens_input is null then 0 end) >= %(min_cost_nano)s;
-- name: max_cost_nano
coalesce(executions.cost_nano, case when executions.tokens_input is null then 0 end) <= %(max_cost_nano)s;
-- name: min_tokens
coalesce(executions.tokens_input + executions.tokens_output, 0) >= %(min_tokens)s;
-- name: max_tokens
coalesce(executions.tokens_input + executions.tokens_output, 0) <= %(max_tokens)s;
-- name: tags
not exists (
    select 1
    from json_each_text(%(tags)s::json) as wanted
    where executions.tags ->> wanted.key is distinct from wanted.value
);
-- name: item
exists (select 1 from items where items.execution = executions.number and items.key = %(item)s);
-- name: item_in_status
exists (
    select 1
    from items
    where items.execution = executions.number and items.key = %(item)s and items.status = %(item_status)s
);
-- name: unit
unit.key = %(item)s;
-- name: unit_in_status
unit.key = %(item)s and unit.status = %(item_status)s;
-- name: item_status
exists (select 1 from items where items.execution = executions.number and items.status = %(item_status)s);
-- name: text
executions.searched like %(text)s;
-- name: since_unit
unit.created_at >= %(since)s;
-- name: until_unit
unit.created_at < %(until)s;
-- name: after_newest
executions.created_at <= %(after_at)s
and (executions.created_at, executions.id, executions.kind, executions.namespace)
    < (%(after_at)s::bigint, %(after_id)s::text, %(after_kind)s::text, %(after_namespace)s::text);
-- name: after_oldest
executions.created_at >= %(after_at)s
and (executions.created_at, executions.id, executions.kind, executions.namespace)
    > (%(after_at)s::bigint, %(after_id)s::text, %(after_kind)s::text, %(after_namespace)s::text);
-- name: after_slowest
(
    coalesce(executions.seconds, '-infinity'), executions.created_at, executions.id, executions.kind,
    executions.namespace
) < (
    %(after_value)s::double precision, %(after_at)s::bigint, %(after_id)s::text, %(after_kind)s::text,
    %(after_namespace)s::text
);
-- name: after_costliest
(
    coalesce(executions.cost_nano::double precision, '-infinity'), executions.created_at, executions.id,
    executions.kind, executions.namespace
) < (
    %(after_value)s::double precision, %(after_at)s::bigint, %(after_id)s::text, %(after_kind)s::text,
    %(after_namespace)s::text
);

-- name: from_windows
-- Executions in any of these windows of time.
unnest(%(sinces)b::bigint [], %(untils)b::bigint []) as windows (since, until)
cross join lateral (
    select executions.*
    from {source}
    where executions.created_at >= windows.since and executions.created_at < windows.until and {where}
    offset 0
) as executions;
-- name: from_slow
-- Executions that took so long: in the windows, and open ones, which no cell counts. They are few: of the planner, which
-- takes them for many, all executions might be read to find these.
(
    select executions.created_at, executions.number
    from {windows}
    where executions.seconds >= %(least)s::double precision
    union
    select executions.created_at, executions.number
    from {source}
    where {open} and executions.seconds >= %(least)s::double precision and {where}
) as slow
cross join lateral (
    select executions.*
    from executions
    where executions.created_at = slow.created_at and executions.number = slow.number
    offset 0
) as executions;
-- name: from_executions
executions;
-- name: from_items
items as unit
inner join executions on executions.number = unit.execution and executions.created_at = unit.created_at;

-- name: order_newest
executions.created_at desc, executions.id desc, executions.kind desc, executions.namespace desc;
-- name: order_oldest
executions.created_at, executions.id, executions.kind, executions.namespace;
-- name: order_slowest
coalesce(executions.seconds, '-infinity') desc, executions.created_at desc, executions.id desc, executions.kind desc, executions.namespace desc;
-- name: order_costliest
coalesce(executions.cost_nano::double precision, '-infinity') desc, executions.created_at desc, executions.id desc, executions.kind desc, executions.namespace desc;
