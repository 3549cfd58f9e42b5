"""Runs executions of this process: one thread drives all of them, launchers do the work."""

from __future__ import annotations

import logging
import queue
import threading
import time
from collections.abc import Callable, Mapping
from concurrent.futures import Future
from contextlib import suppress
from heapq import heappop, heappush
from itertools import count
from pathlib import Path
from typing import Any

from execlog.core.model import Error, Event, Status
from execlog.recorder.fault import error_of
from execlog.runner.actions import Perform, perform_call, perform_command
from execlog.runner.attempt import Attempt
from execlog.runner.job import Call, Command, LauncherName
from execlog.runner.launcher import Launcher, ThreadLauncher, Work
from execlog.runner.order import Order, Result, Sink

log = logging.getLogger("execlog")
OnResult = Callable[[Order, Result], None]


def _processes() -> Launcher:
    from execlog.runner.processes import ProcessLauncher

    return ProcessLauncher()


_MAKERS: Mapping[LauncherName, Callable[[], Launcher]] = {"threads": ThreadLauncher, "processes": _processes}


class Runner:
    """Starts, times out and cancels executions, and says to a `Sink` what becomes of them. Thread-safe.

    performs    what runs an action, by the action's type; calls and commands are always there
    launchers   where items run, by name; the two built-in ones are made when they are first needed
    """

    def __init__(
        self,
        sink: Sink,
        *,
        performs: Mapping[type[Any], Perform] | None = None,
        launchers: Mapping[LauncherName, Launcher] | None = None,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._sink = sink
        self._performs: dict[type[Any], Perform] = {Call: perform_call, Command: perform_command, **(performs or {})}
        self._launchers: dict[LauncherName, Launcher] = dict(launchers or {})
        self._monotonic = monotonic
        self._folder: str | None = None
        with suppress(OSError):  # it may be gone
            self._folder = str(Path.cwd())
        self._mail: queue.SimpleQueue[Callable[[], None]] = queue.SimpleQueue()
        self._attempts: dict[str, Attempt] = {}
        self._done: dict[str, OnResult] = {}
        self._looks: list[tuple[float, int, Attempt]] = []
        self._order = count()
        self._lock = threading.Lock()
        self._thread: threading.Thread | None = None
        self._closed = False
        self._leaving = False

    def start(self, order: Order, on_result: OnResult) -> None:
        """Begin an execution; `on_result` is called from the runner's thread when it has ended, and must not block."""
        self._post(lambda: self._start(order, on_result))

    def run(self, order: Order) -> Result:
        """What became of the execution, once it has ended."""
        future: Future[Result] = Future()
        self.start(order, lambda _order, result: future.set_result(result))
        return future.result()

    def cancel(self, execution_id: str, reason: str) -> None:
        """Ask an execution to end as cancelled; nothing happens when it does not run here (any more)."""
        self._post(lambda: self._cancel(execution_id, reason))

    @property
    def running(self) -> tuple[str, ...]:
        """The ids of the executions in flight."""
        return tuple(self._attempts)

    def close(self, *, timeout: float = 10.0, reason: str = "the process that ran it was told to stop") -> None:
        """Cancel what runs, wait for it at most so long, and release the launchers. Closing twice is fine."""
        with self._lock:
            thread, self._thread = self._thread, None
            already, self._closed = self._closed, True
        if already:
            return
        if thread is not None:
            self._mail.put(lambda: self._leave(reason))
            thread.join(timeout)
        for launcher in self._launchers.values():
            launcher.shutdown(wait=False, cancel_futures=True)

    def _post(self, message: Callable[[], None]) -> None:
        with self._lock:
            if self._closed:
                raise RuntimeError("the runner is closed")
            if self._thread is None:
                self._thread = threading.Thread(target=self._serve, name="execlog-runner", daemon=True)
                self._thread.start()
        self._mail.put(message)

    def _serve(self) -> None:
        while self._attempts or not self._leaving:
            message: Callable[[], None] | None = None
            with suppress(queue.Empty):
                message = self._mail.get(timeout=self._patience())
            try:
                if message is not None:
                    message()
                if self._looks and self._looks[0][0] <= self._monotonic():
                    self._look()
            except Exception:
                log.exception("the runner goes on after an unexpected error")

    def _leave(self, reason: str) -> None:
        """Cancel everything; the thread ends as soon as the last has told how it ended."""
        self._leaving = True
        for execution_id in list(self._attempts):
            self._cancel(execution_id, reason)

    def _patience(self) -> float | None:
        """Seconds until a time-out is due; None when nothing runs against the clock."""
        return max(self._looks[0][0] - self._monotonic(), 0.0) if self._looks else None

    def _start(self, order: Order, on_result: OnResult) -> None:
        job = order.job
        attempt: Attempt | None = None
        try:
            perform = self._performs[type(job.run)]
            attempt = Attempt(
                order, perform, self._launcher(job.launcher), self._sink, self._monotonic, folder=self._folder
            )
            attempt.start(lambda work: self._mail.put(lambda: self._take(attempt, work)))
        except Exception as error:
            log.exception("execution %s of job %s cannot start", order.execution_id, job.id)
            if attempt is not None:
                attempt.force(Status.FAILED, error_of(error))
            on_result(order, self._say_stillborn(order, error))
            return
        self._attempts[order.execution_id] = attempt
        self._done[order.execution_id] = on_result
        self._check(attempt)

    def _take(self, attempt: Attempt, work: Work) -> None:
        self._step(attempt, lambda: attempt.take(work))

    def _cancel(self, execution_id: str, reason: str) -> None:
        attempt = self._attempts.get(execution_id)
        if attempt is not None:
            self._step(attempt, lambda: attempt.cancel(reason))

    def _step(self, attempt: Attempt, step: Callable[[], object]) -> None:
        """Let an attempt go on; one that cannot is ended as failed, since nothing would ever end it otherwise."""
        try:
            step()
        except Exception as error:
            log.exception("execution %s of job %s cannot go on", attempt.order.execution_id, attempt.job.id)
            attempt.force(Status.FAILED, error_of(error))
        self._check(attempt)

    def _look(self) -> None:
        now = self._monotonic()
        due: dict[Attempt, None] = {}
        while self._looks and self._looks[0][0] <= now:
            due[heappop(self._looks)[2]] = None
        for attempt in due:
            attempt.looking_at = None
            self._check(attempt)

    def _check(self, attempt: Attempt) -> None:
        """Let the attempt look at its clocks, plan its next look, and hand over its result when it has ended."""
        if attempt.result is None and attempt.is_timed:
            at = attempt.look(self._monotonic())
            if at is not None and (attempt.looking_at is None or at < attempt.looking_at):
                attempt.looking_at = at
                heappush(self._looks, (at, next(self._order), attempt))
        if attempt.result is None or self._attempts.pop(attempt.order.execution_id, None) is None:
            return
        on_result = self._done.pop(attempt.order.execution_id)
        try:
            on_result(attempt.order, attempt.result)
        except Exception:
            log.exception("what follows execution %s failed", attempt.order.execution_id)

    def _launcher(self, name: LauncherName) -> Launcher:
        if name not in self._launchers:
            self._launchers[name] = _MAKERS[name]()
        return self._launchers[name]

    def _say_stillborn(self, order: Order, error: Exception) -> Result:
        """The result of an execution that could not even start, once that has been said."""
        at = self._sink.stamp()
        fault = Error(type=type(error).__name__, message=f"it cannot be started: {error}")
        self._sink.append(
            Event(
                id=order.execution_id,
                kind=order.kind,
                at=at,
                status=Status.FAILED,
                name=order.job.name,
                subject=order.job.id,
                actor=order.triggered_by,
                queued_at=order.queued_at,
                started_at=at,
                ended_at=at,
                error=fault,
            )
        )
        return Result(
            execution_id=order.execution_id,
            job_id=order.job.id,
            status=Status.FAILED,
            items=(),
            error=fault,
            output=None,
            started_at=at,
            ended_at=at,
            duration=0.0,
        )
