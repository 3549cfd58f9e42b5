"""What is different between two executions: what they were called with and ran in, and what became of their items."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, cast

from msgspec import Struct

from execlog.core.model import Execution, Status
from execlog.history.view import ExecutionView, view

MOST_DIFFERENCES = 100
MOST_ITEMS = 200
_PARTS = ("params", "context", "metadata", "tags")
_EVERY_TIME = frozenset({"context.pid", "context.journal", "context.thread"})
"""Facts that differ from run to run, and explain nothing."""


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
    """What differs in params, context, metadata and tags, in that order; what always differs is left out."""
    found: list[Difference] = []
    for part in _PARTS:
        found += _walk(part, getattr(before, part) or {}, getattr(after, part) or {})
    return [one for one in found if one.path not in _EVERY_TIME]


def _walk(path: str, before: Any, after: Any) -> Iterator[Difference]:
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
