"""The only place where an event has meaning.

`fold` is a join: folding the same events in any order, in any grouping and any number of times gives the same
execution. Each field is a last-writer-wins register (Shapiro et al., "A comprehensive study of Convergent and
Commutative Replicated Data Types", 2011, §3.2.1) on the event's `at`; the outcome is one register on (rank of status,
at). Ties are decided by the greater encoding, so that they too have one answer.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import msgspec

from execlog.core.model import RANK, TERMINAL, Counts, Event, Execution, Item, LogLine, Status

FIELDS = (
    "name", "subject", "actor", "engine", "queued_at", "started_at", "rows", "total", "declared_succeeded",
    "declared_failed", "usage", "input", "params", "metadata", "tags", "parent_id", "root_id", "retry_of", "origin",
    "context",
)  # fmt: skip
"""What is decided one by one."""

OUTCOME = ("status", "ended_at", "duration", "error", "output")
"""What is decided together, by the status."""

STATUS = "status"
UNSAID = -(2**63)
"""Before every time there is: the status an execution begins with is nobody's word yet."""
_encode = msgspec.msgpack.Encoder(order="deterministic").encode


def begin(event: Event) -> Execution:
    """The execution as one event alone tells it."""
    fields: dict[str, Any] = {name: getattr(event, name) for name in FIELDS}
    if event.status is not None:
        fields.update((name, getattr(event, name)) for name in OUTCOME)
    else:
        fields["stamps"] = {STATUS: UNSAID}
    counts = Counts()
    items = tuple(sorted(_newest(event.items).values(), key=_item_order))
    for item in items:
        counts = count(counts, None, item)
    return Execution(
        id=event.id,
        kind=event.kind,
        namespace=event.namespace,
        at=event.at,
        created_at=created(event.queued_at, event.started_at, event.at),
        counts=counts,
        items=items,
        logs=tuple(sorted(set(event.logs), key=_log_order)),
        **fields,
    )


def fold(execution: Execution | None, event: Event) -> Execution:
    """The execution with what the event says taken in, items and log lines too."""
    return fold_all(execution, (event,))


def fold_all(execution: Execution | None, events: Sequence[Event]) -> Execution:
    """The execution with what the events say taken in, in as many steps as they have items, however many it has.

    An execution that is not there yet is begun with the first event; there is at least one then.
    """
    if execution is None:
        execution, events = begin(events[0]), events[1:]
    head, counts, logs = execution, execution.counts, set(execution.logs)
    items = {item.key: item for item in execution.items}
    for event in events:
        head = fold_head(head, event)
        for item in event.items:
            old = items.get(item.key)
            new = fold_item(old, item)
            counts = count(counts, old, new)
            items[item.key] = new
        logs.update(event.logs)
    return msgspec.structs.replace(
        head,
        items=tuple(sorted(items.values(), key=_item_order)),
        counts=counts,
        logs=tuple(sorted(logs, key=_log_order)),
    )


def fold_head(execution: Execution, event: Event) -> Execution:
    """The execution with the event's own fields taken in; its items, counts and logs are left as they are.

    A store that keeps items in a table of their own uses this with `fold_item` and `count`.
    """
    stamps = _stamps(execution)
    changed: dict[str, Any] = {}
    for name in FIELDS:
        said = getattr(event, name)
        if said is not None and _later(getattr(execution, name), stamps.get(name), said, event.at):
            changed[name] = said
            stamps[name] = event.at
    if event.status is not None and _outranks(execution, stamps.get(STATUS), event):
        changed.update((name, getattr(event, name)) for name in OUTCOME)
        stamps[STATUS] = event.at
    at = max(execution.at, event.at)
    changed["at"] = at
    changed["created_at"] = created(
        changed.get("queued_at", execution.queued_at),
        changed.get("started_at", execution.started_at),
        min(execution.created_at, event.at),
    )
    changed["stamps"] = {name: stamp for name, stamp in stamps.items() if stamp != at} or None
    return msgspec.structs.replace(execution, **changed)


def fold_item(old: Item | None, new: Item) -> Item:
    """The one of the two that holds: the greater (rank of status, at), or the greater encoding."""
    if old is None:
        return new
    mine, theirs = (RANK[new.status], new.at), (RANK[old.status], old.at)
    if mine != theirs:
        return new if mine > theirs else old
    return new if _encode(new) > _encode(old) else old


def count(counts: Counts, old: Item | None, new: Item | None) -> Counts:
    """The counts after an item changed from `old` to `new`; exact, so they never need a recount."""
    values = {"total": counts.total, "succeeded": counts.succeeded, "failed": counts.failed, "open": counts.open}
    for item, step in ((old, -1), (new, 1)):
        if item is None:
            continue
        values["total"] += step
        values[_class(item.status)] += step
    return Counts(**values)


def created(queued_at: int | None, started_at: int | None, said_at: int) -> int:
    """The moment an execution is ordered by: the earlier of wanted and begun, else when it was first spoken of."""
    times = [at for at in (queued_at, started_at) if at is not None]
    return min(times) if times else said_at


def outcome(counts: Counts) -> Status:
    """What a finished execution's items make of it: all failed → failed, some → partial, none → succeeded."""
    if not counts.failed:
        return Status.SUCCEEDED
    return Status.FAILED if counts.failed >= counts.total else Status.PARTIAL


def _class(status: Status) -> str:
    if status is Status.SUCCEEDED:
        return "succeeded"
    return "failed" if status in TERMINAL else "open"


def _stamps(execution: Execution) -> dict[str, int]:
    stamps = dict.fromkeys((name for name in FIELDS if getattr(execution, name) is not None), execution.at)
    stamps.update(execution.stamps or {})
    stamps.setdefault(STATUS, execution.at)
    return stamps


def _later(old: object, old_at: int | None, new: object, new_at: int) -> bool:
    if old is None or old_at is None:
        return True
    if old_at != new_at:
        return new_at > old_at
    return _encode(new) > _encode(old)  # not `!=`: 1, 1.0 and True are equal, but not the same


def _outranks(execution: Execution, decided_at: int | None, event: Event) -> bool:
    if decided_at is None or decided_at == UNSAID:
        return True
    mine = (RANK[event.status or Status.QUEUED], event.at)
    theirs = (RANK[execution.status], decided_at)
    if mine != theirs:
        return mine > theirs
    return _encode([getattr(event, name) for name in OUTCOME]) > _encode([getattr(execution, name) for name in OUTCOME])


def _newest(items: tuple[Item, ...]) -> dict[str, Item]:
    newest: dict[str, Item] = {}
    for item in items:
        newest[item.key] = fold_item(newest.get(item.key), item)
    return newest


def _item_order(item: Item) -> tuple[int, str]:
    return item.position, item.key


def _log_order(line: LogLine) -> tuple[int, int, str, str, bool, str]:
    return line.at, line.number, line.level, line.message, line.item is not None, line.item or ""
