"""Where queries run: a lane per connection, with a bounded number of threads and of sessions that are kept open."""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable
from queue import SimpleQueue

from execlog.kinds.queries.connectors.base import Connector, Session

Task = Callable[[], bool]
"""Returns whether its thread goes on: not when it was given up meanwhile."""

_IDLE_SECONDS = 300.0
_GIVEN_UP = 2


class FullError(Exception):
    """As many queries as may wait for a connection are waiting, or as many go on that were given up."""


class Lane:
    """Runs at most `size` tasks at once, in order; at most `waiting` more wait.

    One that was given up, and goes on all the same, keeps a thread, and what it computes with: where there are twice
    `size` of them, no further task is taken until one ends. The threads are daemons: a driver that never returns does
    not keep the process from ending.
    """

    def __init__(self, name: str, *, size: int, waiting: int) -> None:
        self._name, self._size, self._waiting = name, size, waiting
        self._tasks: SimpleQueue[Task | None] = SimpleQueue()
        self._lock = threading.Lock()
        self._admitted = 0
        self._given_up = 0
        self._threads = 0

    def enter(self) -> bool:
        """Whether there is a place at once for one more task, which `put` must follow. Raises FullError."""
        with self._lock:
            if self._given_up >= _GIVEN_UP * self._size:
                raise FullError(f"{self._given_up} queries on {self._name!r} were stopped and go on all the same")
            if self._admitted >= self._size + self._waiting:
                raise FullError(f"{self._size} queries run on {self._name!r} and {self._waiting} wait")
            self._admitted += 1
            if self._threads < min(self._size, self._admitted):
                self._start()
            return self._admitted <= self._size

    def put(self, task: Task) -> None:
        """Run the task when its turn has come."""
        self._tasks.put(task)

    def leave(self) -> None:
        """Give up a place: its task was abandoned and may never return. Another thread takes over."""
        with self._lock:
            self._admitted -= 1
            self._given_up += 1
            self._start()

    def close(self) -> None:
        """End the threads once their tasks have."""
        with self._lock:
            for _ in range(self._threads):
                self._tasks.put(None)

    def _start(self) -> None:
        self._threads += 1
        threading.Thread(target=self._work, name=f"execlog-query-{self._name}", daemon=True).start()

    def _work(self) -> None:
        while (task := self._tasks.get()) is not None:
            keep = task()
            with self._lock:
                if not keep:
                    self._threads -= 1
                    self._given_up -= 1
                    return
                self._admitted -= 1
        with self._lock:
            self._threads -= 1


class Sessions:
    """Sessions of one connector: opened when none is free, kept for the next query, closed when they lay idle."""

    def __init__(self, connector: Connector, *, keep: int) -> None:
        self._connector, self._keep = connector, keep
        self._idle: deque[tuple[float, Session]] = deque()
        self._lock = threading.Lock()
        self._closed = False

    def take(self) -> tuple[Session, bool]:
        """A session, and whether it has been used before (its server may be gone without a word)."""
        while True:
            with self._lock:
                at, kept = self._idle.pop() if self._idle else (0.0, None)
            if kept is None:
                return self._connector.open(), False
            if time.monotonic() - at <= _IDLE_SECONDS and kept.is_quiet():
                return kept, True
            kept.close()

    def give_back(self, session: Session) -> None:
        """Keep the session for another query."""
        now = time.monotonic()
        with self._lock:
            old = [self._idle.popleft()[1] for at, _ in list(self._idle) if now - at > _IDLE_SECONDS]
            if self._closed or len(self._idle) >= self._keep:
                old.append(session)
            else:
                self._idle.append((now, session))
        for stale in old:
            stale.close()

    def close(self) -> None:
        """Close those that are idle; one in use is closed when it comes back."""
        with self._lock:
            self._closed = True
            idle, self._idle = [session for _, session in self._idle], deque()
        for session in idle:
            session.close()
