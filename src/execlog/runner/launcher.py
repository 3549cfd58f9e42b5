"""Where work runs. A `Launcher` is an executor of concurrent.futures that can also give up on work that is stuck."""

from __future__ import annotations

import queue
import threading
import time
from collections.abc import Callable
from concurrent.futures import Executor, Future
from typing import Any, NamedTuple, ParamSpec, Protocol, TypeVar

P = ParamSpec("P")
T = TypeVar("T")
IDLE_SECONDS = 30.0
"""After so long without work a thread or process ends."""


class Work(Future[Any]):
    """A future that knows when its work really began: `started_at` on the monotonic clock, None while it waits."""

    started_at: float | None = None

    def begin(self) -> bool:
        """Whether the work is to be run now: not if it was cancelled while it waited."""
        if not self.set_running_or_notify_cancel():
            return False
        self.started_at = time.monotonic()
        return True


class WorkerDiedError(Exception):
    """The process that ran the work ended before the work did."""


class Launcher(Protocol):
    """Where work runs: threads, processes, and whatever else is an executor.

    `share` is how much work of one execution may be there at once: where its items hang, there is room for others.
    """

    @property
    def share(self) -> int:
        """Half of the room, at least 1."""
        ...

    def submit(self, fn: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> Work:
        """The work, begun as soon as there is room for it."""
        ...

    def abandon(self, work: Work) -> None:
        """Give up on the work: what runs it is killed where that is possible, and takes up no room in any case."""
        ...

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:  # noqa: FBT001, FBT002 - as in Executor
        """Take no more work; `wait` for what runs."""
        ...


class Task(NamedTuple):
    """Work and what it is to call."""

    work: Work
    call: Callable[..., Any]
    args: tuple[Any, ...]
    kwargs: dict[str, Any]


class ThreadLauncher(Executor):
    """Runs work in at most `limit` threads of this process, started as they are needed.

    Python cannot kill a thread: an abandoned one goes on by itself, no longer counts, and keeps nobody from exiting.
    """

    def __init__(self, limit: int = 512, *, name: str = "execlog-work") -> None:
        self._limit = limit
        self.share = max(limit // 2, 1)
        self._name = name
        self._tasks: queue.SimpleQueue[Task | None] = queue.SimpleQueue()
        self._lock = threading.Lock()
        self._idle = 0
        self._waiting = 0
        self._running: set[Work] = set()
        self._threads: set[threading.Thread] = set()
        self._closed = False

    def submit(self, fn: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> Work:
        """The work, begun as soon as a thread is free."""
        work = Work()
        with self._lock:
            if self._closed:
                raise RuntimeError("the launcher is shut down")
            self._waiting += 1
            self._tasks.put(Task(work, fn, args, kwargs))
            self._grow()
        return work

    def abandon(self, work: Work) -> None:
        """Give up on the work; its thread no longer counts."""
        if work.cancel():
            return
        with self._lock:
            if work in self._running:
                self._running.discard(work)
                self._grow()

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:  # noqa: FBT001, FBT002 - as in Executor
        """Take no more work; `wait` for what runs and was not abandoned."""
        with self._lock:
            self._closed = True
            threads = list(self._threads)
            while cancel_futures:
                try:
                    task = self._tasks.get_nowait()
                except queue.Empty:
                    break
                if task is not None:
                    self._waiting -= 1
                    task.work.cancel()
            for _ in threads:
                self._tasks.put(None)
        for thread in threads:
            while wait and thread.is_alive() and thread in self._threads and not self._is_lost(thread):
                thread.join(0.05)

    @property
    def lost(self) -> int:
        """How many threads run work that was abandoned."""
        with self._lock:
            return len(self._threads) - self._counted()

    def _counted(self) -> int:
        return self._idle + len(self._running)

    def _is_lost(self, thread: threading.Thread) -> bool:
        with self._lock:
            work = getattr(thread, "work", None)
            return work is not None and work not in self._running

    def _grow(self) -> None:
        if self._waiting > self._idle and self._counted() < self._limit:
            thread = threading.Thread(target=self._serve, name=self._name, daemon=True)
            self._threads.add(thread)
            self._idle += 1
            thread.start()

    def _serve(self) -> None:
        thread = threading.current_thread()
        try:
            while self._serve_one(thread):
                pass
        finally:
            with self._lock:
                self._threads.discard(thread)

    def _serve_one(self, thread: threading.Thread) -> bool:
        """Whether this thread goes on: not when it is idle for long, told to end, or was given up on."""
        try:
            task = self._tasks.get(timeout=IDLE_SECONDS)
        except queue.Empty:
            task = None
        with self._lock:
            self._idle -= 1
            if task is None:
                return False
            self._waiting -= 1
            self._running.add(task.work)
            thread.work = task.work  # type: ignore[attr-defined] - for `_is_lost`
        perform(task)
        with self._lock:
            kept = task.work in self._running
            self._running.discard(task.work)
            thread.work = None  # type: ignore[attr-defined] - as above
            self._idle += kept
        return kept


def perform(task: Task) -> None:
    """Run a task here and now, and give its work the result."""
    if not task.work.begin():
        return
    try:
        result = task.call(*task.args, **task.kwargs)
    except BaseException as error:  # noqa: BLE001 - whatever it raises is the work's outcome, SystemExit included
        task.work.set_exception(error)
    else:
        task.work.set_result(result)
