"""What is different between two executions: what they were called with and ran in, and what became of their items."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, cast

from msgspec import Struct

from execlog.core.model import Execution, Status
from execlog.history.view import ExecutionView, view

MOST_DIFFERENCES = 100
MOST_ITEMS = 200
_PARTS = ("params", "input", "tags", "context", "engine", "models", "prices", "actor", "metadata")
_NEVER = (
    *("context.pid", "context.journal", "context.thread", "metadata.scheduled_for"),  # differ from run to run
    *("context.input", "context.workflow"),  # digests of what is compared itself
    *("metadata.response_metadata", "metadata.returned_rows"),  # what came of it
)
_SHOWN, _LEAD = 100, 20


class Difference(Struct, frozen=True):
    """One value that is not the same: where it is, and what it is in each; null where it is not there."""

    path: str
    before: Any
    after: Any


class ItemDifference(Struct, frozen=True):
    """One item that did not come to the same: its status in each; null where it is not there."""

    key: str
    before: Status | None
    after: Status | None


class Comparison(Struct, frozen=True, kw_only=True):
    """Two executions side by side, `before` the one that was created first.

    duration_ratio, rows_ratio   after divided by before; null where one is not known or zero
    """

    before: ExecutionView
    after: ExecutionView
    differences: tuple[Difference, ...]
    items: tuple[ItemDifference, ...]
    duration_ratio: float | None
    rows_ratio: float | None
    truncated: bool


def compare(one: Execution, other: Execution) -> Comparison:
    """The comparison of two whole executions, in the order they were created in."""
    before, after = sorted((one, other), key=lambda execution: (execution.created_at, execution.id))
    changed = differences(before, after)
    items = list(_items(before, after))
    return Comparison(
        before=view(before),
        after=view(after),
        differences=tuple(changed[:MOST_DIFFERENCES]),
        items=tuple(items[:MOST_ITEMS]),
        duration_ratio=_ratio(before.seconds, after.seconds),
        rows_ratio=_ratio(before.rows, after.rows),
        truncated=len(changed) > MOST_DIFFERENCES or len(items) > MOST_ITEMS,
    )


def differences(before: Execution, after: Execution) -> list[Difference]:
    """What differs in what they were called with and ran in, what is likely to tell first; not what explains nothing.

    `models` are those it called, `prices` the price table that each one's cost was computed with.
    """
    mine, theirs = facts(before), facts(after)
    found = (one for part in _PARTS for one in _walk(part, mine[part], theirs[part]))
    return [one for one in found if not one.path.startswith(_NEVER)]


def facts(execution: Execution) -> dict[str, Any]:
    """What an execution was called with and ran in, by part."""
    used = execution.usage or {}
    return {
        "params": execution.params or {},
        "input": execution.input,
        "tags": execution.tags or {},
        "context": execution.context or {},
        "engine": execution.engine,
        "models": sorted(used) or None,
        "prices": {model: usage.prices for model, usage in used.items() if usage.prices},
        "actor": execution.actor,
        "metadata": execution.metadata or {},
    }


def apart(before: str, after: str) -> tuple[str, str]:
    """Two long texts from a little before where they part, so that what is cut off behind is not what matters."""
    if max(len(before), len(after)) <= _SHOWN:
        return before, after
    same = next((place for place, (one, other) in enumerate(zip(before, after, strict=False)) if one != other), None)
    start = max((min(len(before), len(after)) if same is None else same) - _LEAD, 0)
    return (before, after) if not start else (f"…{before[start:]}", f"…{after[start:]}")


def by_name(value: Any) -> Any:
    """A list of things that have an id each, such as steps, by their ids; anything else as it is."""
    entries = cast("list[Any]", value) if isinstance(value, list) else []
    named: dict[str, Any] = {}
    for entry in entries:
        id_ = cast("dict[str, Any]", entry).get("id") if isinstance(entry, dict) else None
        if isinstance(id_, str):
            named[id_] = entry
    return named if named and len(named) == len(entries) else cast("Any", value)


def _walk(path: str, before: Any, after: Any) -> Iterator[Difference]:
    before, after = by_name(before), by_name(after)
    if isinstance(before, dict) and isinstance(after, dict):
        mine, theirs = cast("dict[str, Any]", before), cast("dict[str, Any]", after)
        for key in sorted(mine.keys() | theirs.keys()):
            yield from _walk(f"{path}.{key}", mine.get(key), theirs.get(key))
    elif before != after:
        yield Difference(path, before, after)


def _items(before: Execution, after: Execution) -> Iterator[ItemDifference]:
    mine = {item.key: item.status for item in before.items}
    theirs = {item.key: item.status for item in after.items}
    for key in (*theirs, *(key for key in mine if key not in theirs)):
        if mine.get(key) != theirs.get(key):
            yield ItemDifference(key, mine.get(key), theirs.get(key))


def _ratio(before: float | None, after: float | None) -> float | None:
    return after / before if before and after is not None else None
