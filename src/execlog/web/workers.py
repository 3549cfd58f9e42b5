"""The bounded pool of threads in which handlers block on the store, so that the event loop never does."""

from __future__ import annotations

import asyncio
import contextlib
import threading
from collections.abc import Callable
from functools import partial
from queue import SimpleQueue
from typing import TypeVar

from execlog.web.problem import RETRY_AFTER, ProblemError

T = TypeVar("T")
SIZE = 8
MAX_WAITING = 1_000
Call = tuple[Callable[[], object], asyncio.AbstractEventLoop, "asyncio.Future[object]"]


class Workers:
    """Threads that answer one event loop or several; started as they are needed.

    They are daemons: a store that hangs cannot keep a server that stops, as an executor's threads would. They end with
    it: nobody closes it for an app that is mounted in another, whose `lifespan` is not called.
    """

    def __init__(self, size: int = SIZE) -> None:
        self.stopping = False
        self._size = size
        self._threads = 0
        self._waiting = 0
        self._calls: SimpleQueue[Call | None] = SimpleQueue()

    async def run(self, work: Callable[[], T]) -> T:
        """What the work returns or raises. Raises ProblemError 503 when too much is waiting already."""
        if self._waiting >= MAX_WAITING:
            raise ProblemError(503, "too many requests are waiting here", headers=RETRY_AFTER)
        self._waiting += 1
        if self._threads < min(self._waiting, self._size):
            self._threads += 1
            name = f"execlog-web-{self._threads}"
            threading.Thread(target=_work, args=(self._calls,), name=name, daemon=True).start()
        loop = asyncio.get_running_loop()
        future: asyncio.Future[object] = loop.create_future()
        self._calls.put((work, loop, future))
        try:
            return await future  # pyright: ignore[reportReturnType] - what `work` returned
        finally:
            self._waiting -= 1

    def close(self) -> None:
        """End the threads, each after what it is doing."""
        for _ in range(self._threads):
            self._calls.put(None)
        self._threads = 0

    __del__ = close


def _work(calls: SimpleQueue[Call | None]) -> None:
    while (call := calls.get()) is not None:
        work, loop, future = call
        try:
            settle = partial(_succeed, future, work())
        except BaseException as error:  # noqa: BLE001 - whatever it is belongs to the caller, not to this thread
            settle = partial(_fail, future, error)
        with contextlib.suppress(RuntimeError):  # the loop is closed: nobody waits for the answer any more
            loop.call_soon_threadsafe(settle)
        del work, loop, future, call, settle


def _succeed(future: asyncio.Future[object], result: object) -> None:
    if not future.done():
        future.set_result(result)


def _fail(future: asyncio.Future[object], error: BaseException) -> None:
    if not future.done():
        future.set_exception(error)
