"""One execution in flight: its items side by side up to a limit, their time-outs, and what is said about it.

An `Attempt` is driven by the one thread of its `Runner`; nothing here blocks.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from concurrent.futures import CancelledError
from typing import Any

from msgspec import Struct

from execlog.core import codec
from execlog.core.fold import count, outcome
from execlog.core.model import Counts, Error, Event, Item, LogLine, Status
from execlog.recorder.context import surroundings
from execlog.recorder.fault import error_of
from execlog.recorder.recorder import Recorder
from execlog.recorder.run import Run
from execlog.runner.actions import ItemResult, Perform, Task, run_apart, run_task, timed_out
from execlog.runner.commands import KILL_GRACE
from execlog.runner.job import Command
from execlog.runner.launcher import Launcher, Work, WorkerDiedError
from execlog.runner.order import Order, Result, Sink
from execlog.runner.stop import Stop

_SAY_AFTER = 0.25
"""Seconds for which news of items is gathered before it is said: a shorter execution is said in two events."""

_NOTHING: tuple[Any, ...] = (None, {}, [])
_MARGIN = KILL_GRACE + 1.0
"""Seconds an action that keeps its own time-out (a command) gets beyond it, to kill, read and report."""


class Flight(Struct, eq=False):
    """An item that was submitted."""

    item: str | None
    work: Work
    stop: Stop
    position: int


class Attempt:
    """One execution from its start to its end; see the module."""

    def __init__(
        self,
        order: Order,
        perform: Perform,
        launcher: Launcher,
        sink: Sink,
        monotonic: Callable[[], float],
        *,
        folder: str | None,
    ) -> None:
        self.order = order
        self.job = order.job
        self._perform = perform
        self._launcher = launcher
        self._most = min(self.job.concurrency, launcher.share)
        self._sink = sink
        self._monotonic = monotonic
        self._folder = folder
        stocks = order.stocks
        self._single = not self.job.stocks and order.items is None
        self._pending: deque[tuple[int, str | None]] = deque([(0, None)] if self._single else enumerate(stocks))
        self._flights: dict[Work, Flight] = {}
        self._items: dict[int, Item] = {}
        self._unsaid: list[Item] = []
        self._lines: list[LogLine] = []
        self._said_at = 0.0
        self._error: Error | None = None
        self._output: Any = None
        self._forced: Status | None = None
        self._cancelled: Error | None = None
        self._cancel_by: float | None = None
        self._limited = self.job.timeout is not None or self.job.seconds_per_item is not None
        self.looking_at: float | None = None
        self._run: Run | None = None
        self.result: Result | None = None
        self.began = 0.0
        self._worked_at: float | None = None
        self.started_at = 0

    @property
    def running(self) -> int:
        """How many items run or wait for a worker."""
        return len(self._flights)

    @property
    def is_timed(self) -> bool:
        """Whether something runs against the clock: a limit, or news that is still to be told."""
        return self._limited or self._cancel_by is not None or bool(self._unsaid)

    def start(self, on_done: Callable[[Any], None]) -> None:
        """Say that it runs, and submit the first items; `on_done` is called from any thread when one is done."""
        self._on_done = on_done
        self.began = self._said_at = self._monotonic()
        at = self.started_at = self._sink.stamp()
        order, job, recorder = self.order, self.job, _recorder_of(self._sink)
        event = Event(
            id=order.execution_id,
            kind=order.kind,
            at=at,
            status=Status.RUNNING,
            name=job.name,
            subject=job.id,
            actor=order.triggered_by,
            queued_at=order.queued_at,
            started_at=at,
            total=None if self._single else len(order.stocks),
            params={name: value for name, value in codec.builtins(job.run).items() if value not in _NOTHING},
            metadata=order.metadata or None,
            tags=job.tags or None,
            root_id=order.root_id,
            retry_of=order.retry_of,
            origin=self._sink.origin,
            context=surroundings() if recorder is None or recorder.settings.capture_context else None,
        )
        self._sink.append(event)
        if recorder is not None and job.launcher == "threads":
            self._run = Run(recorder, event)
        if order.items is not None and not order.stocks:
            message = "the job has none of the stocks any more that this was to run over"
            self.force(Status.CANCELLED, Error(type="Cancelled", message=message))
        self.advance()

    def advance(self) -> None:
        """Submit items as far as the limit allows; end when there is nothing left."""
        while self._pending and len(self._flights) < self._most and self._forced is None:
            self._submit(*self._pending.popleft())
        if self._forced is None and (self._unsaid or self._lines) and self._monotonic() - self._said_at >= _SAY_AFTER:
            self._say()
        if not self._flights and not self._pending and self.result is None:
            self._finish()

    def take(self, work: Work) -> None:
        """Note what became of an item."""
        flight = self._flights.pop(work, None)
        if flight is not None:
            self._working_since(self._monotonic(), work)
            self._note(flight, _result_of(work))
        self.advance()

    def look(self, now: float) -> float | None:
        """End what has had its time; and when to look again (monotonic), None when nothing runs against the clock."""
        if self._cancel_by is not None and now >= self._cancel_by and self._cancelled is not None:
            self.force(Status.CANCELLED, self._cancelled)
        limit = None if self.job.timeout is None else self._working_since(now) + self.job.timeout + self._margin
        if limit is not None and now >= limit:
            self.force(Status.TIMED_OUT, timed_out(self.job.timeout or 0.0, " (the whole job)"))
        deadlines = [limit, self._cancel_by]
        if self._unsaid:
            deadlines.append(self._said_at + _SAY_AFTER)
        for flight in list(self._flights.values()):
            deadline = self._deadline(flight, now)
            if deadline is not None and now >= deadline:
                self._give_up(flight, Status.TIMED_OUT, timed_out(self.job.seconds_per_item or 0.0))
            deadlines.append(deadline)
        self.advance()
        return (
            None
            if self.result is not None
            else min((at for at in deadlines if at is not None and at > now), default=None)
        )

    def force(self, status: Status, error: Error) -> None:
        """End the execution now with this status: what runs is asked to stop and given up, what waits is not begun."""
        if self.result is not None:
            return
        self._forced, self._error = status, error
        for flight in list(self._flights.values()):
            self._give_up(flight, status, error)
        self._drop_pending(status, error)
        self._finish()

    def cancel(self, reason: str) -> None:
        """Ask what runs to stop, and end as cancelled: at once, or as soon as commands told how they ended."""
        error = Error(type="Cancelled", message=reason)
        if self.result is not None or self._cancelled is not None:
            return
        if not isinstance(self.job.run, Command) or not self._flights:
            self.force(Status.CANCELLED, error)
            return
        self._cancelled, self._cancel_by = error, self._monotonic() + _MARGIN
        self._drop_pending(Status.CANCELLED, error)
        for flight in self._flights.values():
            flight.stop.set(reason)

    @property
    def _margin(self) -> float:
        return _MARGIN if isinstance(self.job.run, Command) else 0.0

    def _submit(self, position: int, item: str | None) -> None:
        job = self.job
        stop = Stop()
        task = Task(
            action=job.run,
            item=item,
            job_id=job.id,
            execution_id=self.order.execution_id,
            timeout=self._own_timeout(),
            folder=self._folder,
        )
        if job.launcher == "processes":
            work = self._launcher.submit(run_apart, self._perform, task)
        else:
            work = self._launcher.submit(run_task, self._perform, task, stop, self._run)
        self._flights[work] = Flight(item, work, stop, position)
        work.add_done_callback(self._on_done)

    def _own_timeout(self) -> float | None:
        """The time-out a command keeps itself, so that it can still report the tail of its output."""
        if not isinstance(self.job.run, Command):
            return None
        now, whole = self._monotonic(), self.job.timeout
        left = None if whole is None else max(self._working_since(now) + whole - now, 0.0)
        return min((seconds for seconds in (left, self.job.item_timeout) if seconds is not None), default=None)

    def _working_since(self, now: float, *ended: Work) -> float:
        """When its first item began, `now` where none has: what waits for a worker does not use up the job's time."""
        if self._worked_at is None:
            works = (*ended, *self._flights)
            self._worked_at = min((it.started_at for it in works if it.started_at is not None), default=None)
        return now if self._worked_at is None else self._worked_at

    def _deadline(self, flight: Flight, now: float) -> float | None:
        """When the item has had its time; that begins when a worker takes it, and leaves out what it says it waited."""
        seconds = self.job.seconds_per_item
        if seconds is None:
            return None
        began = flight.work.started_at
        return (now if began is None else began + flight.stop.waited) + seconds + self._margin

    def _drop_pending(self, status: Status, error: Error) -> None:
        at = self._sink.stamp()
        for position, item in self._pending:
            if item is not None:
                self._record(Item(key=item, at=at, status=status, position=position, error=error))
        self._pending.clear()

    def _give_up(self, flight: Flight, status: Status, error: Error) -> None:
        self._flights.pop(flight.work, None)
        flight.stop.set(error.message)
        self._launcher.abandon(flight.work)
        self._note(flight, ItemResult(status=status, error=error))

    def _note(self, flight: Flight, result: ItemResult) -> None:
        at = self._sink.stamp()
        self._lines += [
            LogLine(at, place, level, text, flight.item) for place, (level, text) in enumerate(result.lines)
        ]
        if flight.item is None:
            self._output, self._error = result.output, result.error
            self._forced = self._forced or (None if result.status is Status.SUCCEEDED else result.status)
            return
        began = flight.work.started_at
        duration = None if began is None else max(self._monotonic() - began, 0.0)
        self._record(
            Item(
                key=flight.item,
                at=at,
                status=result.status,
                position=flight.position,
                attempt=self.order.attempt,
                started_at=None if duration is None else at - round(duration * 1e6),
                ended_at=at,
                duration=duration,
                rows=result.rows,
                error=result.error,
                output=result.output,
                data=result.data,
            )
        )

    def _record(self, item: Item) -> None:
        self._items[item.position] = item
        self._unsaid.append(item)

    def _say(self) -> None:
        """Tell of the items that ended since it was last told."""
        items, self._unsaid = tuple(self._unsaid), []
        lines, self._lines = tuple(self._lines), []
        self._said_at = self._monotonic()
        at = self._sink.stamp()
        self._sink.append(Event(id=self.order.execution_id, kind=self.order.kind, at=at, items=items, logs=lines))

    def _finish(self) -> None:
        items = tuple(self._items[position] for position in sorted(self._items))
        status, error = self._verdict(items)
        rows = [item.rows for item in items if item.rows is not None]
        if self._run is not None and self._run.row_count is not None:
            rows.append(self._run.row_count)
        at = self._sink.stamp()
        duration = self._monotonic() - self.began
        self.result = Result(
            execution_id=self.order.execution_id,
            job_id=self.job.id,
            status=status,
            items=items,
            error=error,
            output=self._output,
            started_at=self.started_at,
            ended_at=at,
            duration=duration,
        )
        self._sink.append(
            Event(
                id=self.order.execution_id,
                kind=self.order.kind,
                at=at,
                status=status,
                ended_at=at,
                duration=duration,
                rows=sum(rows) if rows else None,
                error=error,
                output=self._output,
                items=tuple(self._unsaid),
                logs=tuple(self._lines),
            )
        )

    def _verdict(self, items: tuple[Item, ...]) -> tuple[Status, Error | None]:
        if self._forced is not None:
            return self._forced, self._error
        if self._cancelled is not None and any(item.status is not Status.SUCCEEDED for item in items):
            return Status.CANCELLED, self._cancelled
        counts = Counts()
        for item in items:
            counts = count(counts, None, item)
        status = outcome(counts)
        if status is not Status.FAILED:
            return status, None
        failed = {item.status for item in items}
        if failed in ({Status.TIMED_OUT}, {Status.CANCELLED}):
            status = failed.pop()
        return status, next((item.error for item in items if item.error is not None), None)


def _recorder_of(sink: Sink) -> Recorder | None:
    """The recorder behind a sink, through which the code that runs can speak; None where there is none."""
    return sink if isinstance(sink, Recorder) else getattr(sink, "recorder", None)


def _result_of(work: Work) -> ItemResult:
    """What became of the item that this work ran."""
    try:
        return work.result(timeout=0)
    except CancelledError:
        return ItemResult(status=Status.CANCELLED, error=Error(type="Cancelled", message="it was never begun"))
    except WorkerDiedError as error:
        return ItemResult(status=Status.CRASHED, error=Error(type="WorkerDied", message=str(error)))
    except Exception as error:  # noqa: BLE001 - the launcher could not run it: that is this item's failure
        return ItemResult(status=Status.FAILED, error=error_of(error))
