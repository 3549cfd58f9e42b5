"""What a process that is gone left open: its executions become `crashed`."""

from __future__ import annotations

from collections.abc import Iterator

from msgspec.structs import replace

from execlog.core.filter import Filter
from execlog.core.model import OPEN, Error, Event, Execution, Item, Status
from execlog.store.base import WHOLE, Store

_PAGE = 200
_ITEMS = 1_000
"""Most items said in one event: a store cuts longer lists off."""


def mark_crashed(store: Store, origin: str, process: str, *, now: int, seen_at: int) -> int:
    """How many open executions of a process that is gone became `crashed`, their open items too.

    They ended when the process was last seen (`seen_at`, 0 where that is not known: then now), or last said something
    about them, if that was later. A real outcome that turns up later wins (`core.fold`).
    """
    error = Error("Crashed", f"the process that ran it is gone ({process})")
    marked = 0
    for page in _open_pages(store, origin):
        store.apply([event for execution in page for event in _crash_of(execution, error, now, seen_at or now)])
        marked += len(page)
    return marked


def open_origins(store: Store, tail: str) -> set[str]:
    """The origins that end so and have open executions. For when no file says any more what the origin is."""
    origins = {one.origin or "" for page in _open_pages(store, None) for one in page}
    return {origin for origin in origins if origin.endswith(f":{tail}")}


def _open_pages(store: Store, origin: str | None) -> Iterator[tuple[Execution, ...]]:
    question = Filter(origin=origin, statuses=tuple(OPEN))
    cursor = None
    while True:
        page = store.find(question, limit=_PAGE, cursor=cursor, parts=WHOLE)
        if page.entries:
            yield page.entries
        cursor = page.next_cursor
        if cursor is None:
            return


def _crash_of(execution: Execution, error: Error, now: int, seen_at: int) -> Iterator[Event]:
    started = execution.started_at
    at = max(now, execution.at + 1)
    heard_at = max(execution.at, *(item.at for item in execution.items), seen_at)
    ended_at = max(min(heard_at, now), started or execution.created_at)
    items = [_crashed(item, error, at, ended_at) for item in execution.items if item.status in OPEN]
    crash = Event(
        id=execution.id,
        kind=execution.kind,
        namespace=execution.namespace,
        at=at,
        status=Status.CRASHED,
        ended_at=ended_at,
        duration=None if started is None else max(ended_at - started, 0) / 1e6,
        error=error,
        output=execution.output,
        items=tuple(items[:_ITEMS]),
    )
    yield crash
    for first in range(_ITEMS, len(items), _ITEMS):
        yield Event(
            id=crash.id, kind=crash.kind, namespace=crash.namespace, at=at, items=tuple(items[first : first + _ITEMS])
        )


def _crashed(item: Item, error: Error, at: int, ended_at: int) -> Item:
    return replace(item, status=Status.CRASHED, at=at, ended_at=ended_at, error=error)
