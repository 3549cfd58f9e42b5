"""What this process said about executions that go on: an item is said whole, callers say it piece by piece."""

from __future__ import annotations

from collections import OrderedDict
from threading import Lock

import msgspec
from msgspec import Struct

from execlog.core.model import Item, Status

_EXECUTIONS, _ITEMS = 256, 20_000
_KEPT = ("started_at", "rows")


class _Log(Struct):
    started_at: int | None
    items: OrderedDict[str, Item]
    said: int = 0


class Opened:
    """The newest executions that were begun here, and their newest items. Thread-safe."""

    def __init__(self) -> None:
        self._lock = Lock()
        self._logs: OrderedDict[str, _Log] = OrderedDict()

    def begin(self, id_: str, started_at: int | None) -> None:
        """An execution is known from now on."""
        with self._lock:
            self._logs[id_] = _Log(started_at, OrderedDict())
            if len(self._logs) > _EXECUTIONS:
                self._logs.popitem(last=False)

    def __contains__(self, id_: str) -> bool:
        return id_ in self._logs

    def started_at(self, id_: str) -> int | None:
        """When an execution began, UTC µs; None where it is not known here."""
        log = self._logs.get(id_)
        return log.started_at if log else None

    def take(self, id_: str, item: Item) -> Item:
        """The item with what was said of it before and not now; its place is where it was first said."""
        with self._lock:
            log = self._logs.get(id_)
            if log is None:
                return item
            old = log.items.get(item.key)
            if old is None:
                item = msgspec.structs.replace(item, position=log.said)
                log.said += 1
            else:
                kept = {name: getattr(old, name) for name in _KEPT if getattr(item, name) is None}
                data = (old.data or {}) | (item.data or {})
                item = msgspec.structs.replace(item, position=old.position, data=data, **kept)
            if item.started_at is None and item.status is Status.RUNNING:
                item = msgspec.structs.replace(item, started_at=item.at)
            log.items[item.key] = item
            if len(log.items) > _ITEMS:
                log.items.popitem(last=False)
            return item
