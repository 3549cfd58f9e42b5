-- What each field of a `Filter` means as a condition on `executions` (store/matching.py says the same in Python), and the
-- index that serves it. `sqlite/query.py` joins conditions by `and`.

-- name: kind
executions.kind = :kind;
-- name: namespace
executions.namespace = :namespace;
-- name: some_namespace
executions.namespace <> '';
-- name: subject
executions.subject = :subject;
-- name: places
(executions.kind, executions.namespace) in (select value ->> 0, value ->> 1 from json_each(:places));
-- name: actor
executions.actor = :actor;
-- name: engine
executions.engine = :engine;
-- name: name
executions.name = :name;
-- name: parent_id
executions.parent_id = :parent_id;
-- name: root_id
executions.root_id = :root_id;
-- name: retry_of
executions.retry_of = :retry_of;
-- name: origin
executions.origin = :origin;
-- name: fingerprint
executions.fingerprint = :fingerprint;
-- name: statuses
executions.status in (select value from json_each(:statuses));
-- name: unsuccessful
executions.status in ('partial', 'failed', 'timed_out', 'cancelled', 'crashed');
-- name: open
executions.status in ('queued', 'running');
-- name: terminal
executions.status in ('succeeded', 'partial', 'failed', 'timed_out', 'cancelled', 'crashed');
-- name: ids
executions.id in (select value from json_each(:ids));
-- name: id_prefix
executions.id >= :id_prefix and executions.id < :id_prefix || char(1114111);
-- name: since
executions.created_at >= :since;
-- name: until
executions.created_at < :until;
-- name: min_duration
executions.seconds >= :min_duration;
-- name: max_duration
executions.seconds <= :max_duration;
-- name: min_cost_nano
coalesce(executions.cost_nano, case when executions.tokens_input is null then 0 end) >= :min_cost_nano;
-- name: max_cost_nano
coalesce(executions.cost_nano, case when executions.tokens_input is null then 0 end) <= :max_cost_nano;
-- name: min_tokens
coalesce(executions.tokens_input + executions.tokens_output, 0) >= :min_tokens;
-- name: max_tokens
coalesce(executions.tokens_input + executions.tokens_output, 0) <= :max_tokens;
-- name: tags
not exists (
    select 1
    from json_each(:tags) as wanted
    where not exists (
        select 1
        from json_each(executions.tags) as tag
        where tag.key = wanted.key and tag.value = wanted.value
    )
);
-- name: item
exists (select 1 from items where items.execution = executions.number and items.key = :item);
-- name: item_in_status
exists (
    select 1
    from items
    where items.execution = executions.number and items.key = :item and items.status = :item_status
);
-- name: unit
unit.key = :item;
-- name: unit_in_status
unit.key = :item and unit.status = :item_status;
-- name: item_status
exists (select 1 from items where items.execution = executions.number and items.status = :item_status);
-- name: match
texts match :text;
-- name: text
executions.text_key in (select rowid from texts where texts match :text);
-- name: short_text
executions.text_key is not null and has_text(
    executions.kind, executions.error_type, executions.error_message, executions.detail,
    case when executions.items_failed > 0 then (
        select json_group_array(json(error))
        from (
            select detail -> '$.error' as error
            from items
            where execution = executions.number
                and status in ('partial', 'failed', 'timed_out', 'cancelled', 'crashed')
                and detail ->> '$.error' is not null
            order by position, key
            limit 100
        )
    ) end,
    :text
);
-- name: since_unit
unit.created_at >= :since;
-- name: until_unit
unit.created_at < :until;
-- name: after_newest_unit
unit.created_at <= :after_at;
-- name: after_oldest_unit
unit.created_at >= :after_at;
-- name: after_newest
executions.created_at <= :after_at
and (executions.created_at, executions.id, executions.kind, executions.namespace)
    < (:after_at, :after_id, :after_kind, :after_namespace);
-- name: after_oldest
executions.created_at >= :after_at
and (executions.created_at, executions.id, executions.kind, executions.namespace)
    > (:after_at, :after_id, :after_kind, :after_namespace);
-- name: after_slowest
(coalesce(executions.seconds, -9e999), executions.created_at, executions.id, executions.kind, executions.namespace)
    < (:after_value, :after_at, :after_id, :after_kind, :after_namespace);
-- name: after_costliest
(coalesce(executions.cost_nano, -9e999), executions.created_at, executions.id, executions.kind, executions.namespace)
    < (:after_value, :after_at, :after_id, :after_kind, :after_namespace);

-- name: summed
executions.number <= (select number from summed);
-- name: tail
executions.number > (select number from summed);
-- name: from_tail
executions not indexed;
-- name: from_slow
-- Executions that took so long: in the windows, beyond the cells, and open ones, which no cell counts.
(
    select executions.number
    from json_each(:windows) as slow
    cross join {source}
    where executions.created_at >= slow.value ->> 0 and executions.created_at < slow.value ->> 1
        and executions.seconds >= :least and {where}
    union
    select executions.number
    from executions not indexed
    where {tail} and executions.seconds >= :least and {where}
    union
    select executions.number
    from executions indexed by executions_open
    where {open} and executions.seconds >= :least and {where}
) as slow
cross join executions on executions.number = slow.number;
-- name: from_executions
executions indexed by {index};
-- name: from_items
items as unit indexed by items_key
cross join executions on executions.number = unit.execution and executions.created_at = unit.created_at;
-- name: from_texts
texts
cross join executions indexed by executions_text on executions.text_key = texts.rowid;

-- name: order_newest
executions.created_at desc, executions.id desc, executions.kind desc, executions.namespace desc;
-- name: order_newest_unit
unit.created_at desc, executions.id desc, executions.kind desc, executions.namespace desc;
-- name: order_oldest_unit
unit.created_at, executions.id, executions.kind, executions.namespace;
-- name: order_oldest
executions.created_at, executions.id, executions.kind, executions.namespace;
-- name: order_slowest
coalesce(executions.seconds, -9e999) desc, executions.created_at desc, executions.id desc, executions.kind desc,
executions.namespace desc;
-- name: order_costliest
coalesce(executions.cost_nano, -9e999) desc, executions.created_at desc, executions.id desc, executions.kind desc,
executions.namespace desc;
