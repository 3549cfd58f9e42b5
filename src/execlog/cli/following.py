"""Executions as they change."""

from __future__ import annotations

import time
from collections import OrderedDict
from collections.abc import Callable, Iterable, Iterator

import msgspec

from execlog.core.filter import MAX_LIMIT, Filter
from execlog.core.model import Execution, Key, Status
from execlog.store.base import Store

_BATCH = 500
_REMEMBERED = 10_000
"""Executions whose last status is kept, so that a change of something else is no news."""


class News:
    """Tells which executions have another status than when they were last seen."""

    def __init__(self) -> None:
        self._seen: OrderedDict[Key, Status] = OrderedDict()

    def of(self, executions: Iterable[Execution]) -> list[Execution]:
        """Those of the executions whose status is new."""
        fresh = [one for one in executions if self._seen.get(one.key) is not one.status]
        for one in fresh:
            self._seen[one.key] = one.status
            self._seen.move_to_end(one.key)
        while len(self._seen) > _REMEMBERED:
            self._seen.popitem(last=False)
        return fresh


def newest_change(store: Store) -> int:
    """Where to begin following: after everything that has happened."""
    newest = store.changes(-1, limit=1)
    return newest[-1].number if newest else 0


def follow(
    store: Store, asked: Filter, place: int, every: float, sleep: Callable[[float], object] = time.sleep
) -> Iterator[list[Execution]]:
    """Batches of the executions asked for that changed after `place`, without end, looking each `every` seconds."""
    while True:
        changes = store.changes(place, limit=_BATCH)
        if not changes:
            sleep(every)
            continue
        place = changes[-1].number
        yield _changed(store, asked, [change.key for change in changes if not change.deleted])


def _changed(store: Store, asked: Filter, keys: list[Key]) -> list[Execution]:
    """Those of these executions that are asked for, in the order of their last change."""
    if not keys:
        return []
    order = {key: number for number, key in enumerate(keys)}
    narrowed = msgspec.structs.replace(asked, ids=tuple({key.id for key in keys}))
    found = [one for one in store.find(narrowed, limit=MAX_LIMIT).entries if one.key in order]
    return sorted(found, key=lambda one: order[one.key])
