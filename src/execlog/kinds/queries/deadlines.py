"""Calling something when its time has come: one thread for any number of deadlines."""

from __future__ import annotations

import heapq
import itertools
import logging
import threading
import time
from collections.abc import Callable

_log = logging.getLogger("execlog")


class Deadline:
    """Something that will be called at a moment, unless it is dropped before."""

    __slots__ = ("call",)

    def __init__(self, call: Callable[[], None]) -> None:
        self.call: Callable[[], None] | None = call

    def drop(self) -> None:
        """Do not call it any more."""
        self.call = None


class Deadlines:
    """Calls what was set, each in a thread of its own: one that blocks does not hold up the others."""

    def __init__(self) -> None:
        self._waiting: list[tuple[float, int, Deadline]] = []
        self._numbers = itertools.count()
        self._changed = threading.Condition()
        self._thread: threading.Thread | None = None
        self._closed = False

    def set(self, seconds: float, call: Callable[[], None]) -> Deadline:
        """The deadline that calls in so many seconds."""
        deadline = Deadline(call)
        at = time.monotonic() + seconds
        with self._changed:
            first = self._waiting[0][0] if self._waiting else None
            heapq.heappush(self._waiting, (at, next(self._numbers), deadline))
            if self._thread is None and not self._closed:
                self._thread = threading.Thread(target=self._watch, name="execlog-deadlines", daemon=True)
                self._thread.start()
            elif first is None or at < first:
                self._changed.notify()
        return deadline

    def close(self) -> None:
        """End the thread; nothing is called any more."""
        with self._changed:
            self._closed = True
            self._changed.notify()

    def _watch(self) -> None:
        while True:
            with self._changed:
                deadline = self._next()
            if deadline is None:
                return
            if deadline.call is not None:
                threading.Thread(target=_call, args=(deadline,), name="execlog-deadline", daemon=True).start()

    def _next(self) -> Deadline | None:
        """The first deadline that has come; dropped ones are passed over as they come up. None: it is closed."""
        while not self._closed:
            while self._waiting and self._waiting[0][2].call is None:
                heapq.heappop(self._waiting)
            if not self._waiting:
                self._changed.wait()
                continue
            left = self._waiting[0][0] - time.monotonic()
            if left <= 0:
                return heapq.heappop(self._waiting)[2]
            self._changed.wait(left)
        return None


def _call(deadline: Deadline) -> None:
    call = deadline.call
    if call is None:
        return
    try:
        call()
    except Exception:  # noqa: BLE001 - a driver that fails to stop a query must not end the watch over the others
        _log.exception("stopping a query that took too long failed")
