"""Asking work to end: a flag that work can look at, wait on, and hang a callback on."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Generator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from contextvars import ContextVar


class Stop:
    """Set once, with a reason. Work that looks at it ends early; work that does not is given up by its launcher."""

    def __init__(self) -> None:
        self._event = threading.Event()
        self._lock = threading.Lock()
        self._callbacks: list[Callable[[], None]] = []
        self._waited = 0.0
        self._waits_since: float | None = None
        self.reason = ""

    @property
    def waited(self) -> float:
        """Seconds the work spent in `uncounted`, those of a wait that goes on included."""
        with self._lock:
            since = self._waits_since
            return self._waited + (0.0 if since is None else time.monotonic() - since)

    @contextmanager
    def uncounted(self) -> Generator[None]:
        """Let the time inside not count against the work's limit."""
        with self._lock:
            self._waits_since = time.monotonic()
        try:
            yield
        finally:
            waited = self.waited
            with self._lock:
                self._waited, self._waits_since = waited, None

    def set(self, reason: str) -> None:
        """Ask the work to end; the first reason stays."""
        with self._lock:
            if self._event.is_set():
                return
            self.reason = reason
            self._event.set()
            callbacks, self._callbacks = self._callbacks, []
        for callback in callbacks:
            callback()

    def is_set(self) -> bool:
        """Whether the work is asked to end."""
        return self._event.is_set()

    def wait(self, seconds: float) -> bool:
        """Whether the work was asked to end within so many seconds: a sleep that a cancellation cuts short."""
        return self._event.wait(seconds)

    def on_set(self, callback: Callable[[], None]) -> Callable[[], None]:
        """Call this when it is set: at once if it is already. What comes back takes the wish back."""
        wanted = [callback]

        def call() -> None:
            for one in wanted:
                one()

        def forget() -> None:
            wanted.clear()
            with self._lock:
                self._callbacks = [one for one in self._callbacks if one is not call]

        with self._lock:
            is_set = self._event.is_set()
            if not is_set:
                self._callbacks.append(call)
        if is_set:
            call()
        return forget


current: ContextVar[Stop | None] = ContextVar("execlog_stop", default=None)
"""The flag of the item that this thread runs."""


def is_cancelled() -> bool:
    """Whether the job that runs this code was asked to end: for a long function to look at from time to time."""
    stop = current.get()
    return stop is not None and stop.is_set()


def uncounted() -> AbstractContextManager[None]:
    """A context whose time does not count against the item's limit: for waiting that others ask of it."""
    stop = current.get()
    return nullcontext() if stop is None else stop.uncounted()


def pause(seconds: float) -> bool:
    """Whether the job was asked to end during a sleep of so many seconds, which that cuts short."""
    stop = current.get() or Stop()
    return stop.wait(seconds)
