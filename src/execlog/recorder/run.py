"""`Run`: one execution while it happens, and its items."""

from __future__ import annotations

import threading
import time
from collections import Counter
from collections.abc import Callable, Generator, Iterable, Iterator, Mapping, Sequence
from collections.abc import Set as AbstractSet
from contextlib import contextmanager, suppress
from contextvars import ContextVar, Token
from types import TracebackType
from typing import Any, Generic, Self, TypeVar

import msgspec

from execlog.core.fold import count, outcome
from execlog.core.model import OPEN, Counts, Error, Event, Item, Key, LogLine, Status, Usage
from execlog.recorder.fault import ends_well
from execlog.recorder.recorder import Recorder
from execlog.recorder.told import Told

T = TypeVar("T")
Fault = BaseException | Error | str
_current: ContextVar[Run | None] = ContextVar("execlog_run", default=None)


def _leave(token: Token[Run | None]) -> None:
    # A coroutine or generator may be ended in another context than it began in: then there is nothing to put back.
    with suppress(ValueError):
        _current.reset(token)


def current_run() -> Run | None:
    """The innermost run this code is in, None outside of any."""
    return _current.get()


@contextmanager
def inside(run: Run | None) -> Generator[None]:
    """Let code find this run as the current one, though somebody else begins and ends it; None: no run at all."""
    token = _current.set(run)
    try:
        yield
    finally:
        _leave(token)


class Run:
    """One execution while it happens: a context manager, in `with` and in `async with`.

    Leaving it records the outcome: an exception makes it failed (a TimeoutError timed_out, a cancellation cancelled)
    and goes on to the caller; otherwise, and after `sys.exit()` or `sys.exit(0)`, its items decide (none failed:
    succeeded, some: partial, all: failed). Everything said is in the journal when the method returns.
    Methods may be called from several threads; what is said after the end is recorded too, except for rows, which
    belong to the outcome.
    """

    def __init__(self, recorder: Recorder, event: Event) -> None:
        self._recorder, self._event = recorder, event
        self.told = Told(recorder.note_odd)
        self.metadata: dict[str, Any] = dict(event.metadata or {})
        self.output: Any = None
        self._counts = Counts()
        self._items: dict[str, Item] = {}
        self._usage: dict[str, Usage] = {}
        self._rows: int | None = None
        self._lines = 0
        self._ended = False
        self._loops = 0  # loops over items that did not run to their end
        self._total: int | None = None
        self._verdict: tuple[Status, Error | None] | None = None
        self._began = 0.0
        self._token: Token[Run | None] | None = None
        self._open_item: ItemRun[Any] | None = None
        # Re-entrant: a signal handler may say something about the run it interrupts. What is said is stamped under it,
        # since the latest stamp decides.
        self._lock = threading.RLock()

    @property
    def id(self) -> str:
        """The execution's id."""
        return self._event.id

    @property
    def key(self) -> Key:
        """The execution's identity."""
        return self._event.key

    @property
    def counts(self) -> Counts:
        """How its items stand."""
        return self._counts

    @property
    def status(self) -> Status:
        """What it would end as if it ended now."""
        return self._verdict[0] if self._verdict else outcome(self._counts)

    @property
    def row_count(self) -> int | None:
        """The rows added so far, None where nobody added any."""
        return self._rows

    def begin(self) -> Self:
        """Record that it runs; `with` does that."""
        self._began = time.monotonic()
        at = self._recorder.stamp()
        self._event = msgspec.structs.replace(
            self._event,
            at=at,
            status=Status.RUNNING,
            started_at=self._event.started_at or at,
            origin=self._recorder.origin,
            ended_at=None,  # what was given as an outcome is none yet
            duration=None,
            error=None,
        )
        self._recorder.append(self._event)
        return self

    def end(self, fault: BaseException | None = None) -> None:
        """Record the outcome; `with` does that. Calling it again changes nothing."""
        if self._ended:
            return
        self._ended = True
        if fault is not None and not ends_well(fault):
            if self._open_item is not None:
                self._open_item.fail(fault)
            self._verdict = self._verdict or self.told.fault(fault)
        elif self._open_item is not None:
            self._open_item.succeed()
        status, error = self._verdict or (outcome(self._counts), None)
        # After loops that ran to their end there are as many as there were, though some came twice.
        total = self._total if self._loops or fault is not None else len(self._items)
        at = self._recorder.stamp()
        started = self._event.started_at or at
        duration = time.monotonic() - self._began
        self._event = msgspec.structs.replace(
            self._event,
            at=at,
            status=status,
            error=error,
            ended_at=max(started + round(duration * 1e6), started),
            duration=duration,
            rows=self._rows,
            usage=self._usage or None,
            output=self.output,
            metadata=self.told.data(self.metadata) or None,
            total=self._event.total if self._total is None else total,
        )
        self._recorder.append(self._event)

    def __enter__(self) -> Self:
        self.begin()
        self._token = _current.set(self)
        return self

    def __exit__(
        self, _type: type[BaseException] | None, fault: BaseException | None, _trace: TracebackType | None
    ) -> None:
        if self._token is not None:
            _leave(self._token)
        self.end(fault)

    async def __aenter__(self) -> Self:
        return self.__enter__()

    async def __aexit__(
        self, kind: type[BaseException] | None, fault: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.__exit__(kind, fault, trace)

    def items(self, values: Iterable[T], key: Callable[[T], str] = str) -> Iterator[ItemRun[T]]:
        """An `ItemRun` for each value: `for item in run.items(stocks): with item: fetch(item.value)`.

        An exception inside `with item` fails that item and the loop goes on. An item that was never entered succeeded
        when the loop moved on. A second value of the same key in one loop gets it as `key#2`.
        """
        for name, value in self._keyed(values, key):
            item = ItemRun(self, name, value, None, swallow=True)
            self._open_item = item
            yield item
            item.succeed()
            self._open_item = None

    def items_of(self, values: Iterable[T], key: Callable[[T], str] = str) -> Iterator[ItemRun[T]]:
        """An `ItemRun` for each value, to be entered elsewhere, e.g. in other threads; exceptions are swallowed."""
        first = len(self._items)
        for position, (name, value) in enumerate(self._keyed(values, key), first):
            yield ItemRun(self, name, value, position, swallow=True)

    def _keyed(self, values: Iterable[T], key: Callable[[T], str]) -> Iterator[tuple[str, T]]:
        """Each value with a key that no other of them has; how many there are is said first, where that is known."""
        self._expect(values)
        given: Counter[str] = Counter()
        for value in values:
            name = text = self.told.key(key, value)
            while name in given:
                given[text] += 1
                name = f"{text}#{given[text]}"
            given[name] = 1
            yield name, value
        with self._lock:
            self._loops -= 1

    def _expect(self, values: Iterable[Any]) -> None:
        with self._lock:
            self._loops += 1
            # Only what is one by name: the length of a query or an array may cost anything, or be of something else.
            if self._event.total is None and isinstance(values, Sequence | AbstractSet | Mapping):
                self._total = len(self._items) + self.told.length(values)
                self._say(total=self._total)

    def item(self, key: str, *, swallow: bool = False, attempt: int = 1) -> ItemRun[str]:
        """One item by its key, as a context manager; its exception goes on to the caller unless `swallow`."""
        return ItemRun(self, self.told.text(key), key, None, swallow=swallow, attempt=self.told.number(attempt))

    def fail_item(self, key: str, error: Fault, **fields: Any) -> None:
        """Record that an item failed; `fields` are those of `Item` (rows, duration, data …)."""
        status, said = self.told.fault(error)
        self.say_item(self.told.item({"key": key, "status": status.value} | fields | {"error": said}))

    def succeed_item(self, key: str, **fields: Any) -> None:
        """Record that an item succeeded; `fields` are those of `Item`."""
        self.say_item(self.told.item({"key": key, "status": Status.SUCCEEDED.value} | fields))

    def say_item(self, item: Item, position: int | None = None) -> None:
        """Record how an item stands, whole; it keeps the position it was first said with."""
        with self._lock:
            old = self._items.get(item.key)
            if position is None:
                position = old.position if old is not None else len(self._items)
            item = msgspec.structs.replace(item, at=self._recorder.stamp(), position=position)
            self._counts = count(self._counts, old, item)
            # Only what the counts need is kept: a run of a million items must not hold a million outputs.
            self._items[item.key] = Item(key=item.key, status=item.status, position=position)
            self._say(items=(item,), at=item.at)

    def usage(
        self,
        model: str,
        *,
        input: int | None = 0,
        output: int | None = 0,
        cached: int | None = 0,
        reasoning: int | None = 0,
        cost: float | str | None = None,
        prices: str | None = None,
    ) -> None:
        """Add what a model call used: tokens, and its cost in US dollars where that is known (exact to 10⁻⁹).

        Without any cost, the drain computes it where the extra `prices` is installed and its table knows the model.
        """
        told = self.told
        used = Usage(
            input=told.tokens(input),
            output=told.tokens(output),
            cached=told.tokens(cached),
            reasoning=told.tokens(reasoning),
            cost_nano=told.dollars(cost),
            prices=None if prices is None else told.text(prices),
        )
        self._add_usage(told.text(model), used)

    def _add_usage(self, model: str, usage: Usage) -> None:
        with self._lock:
            before = self._usage.get(model, Usage(calls=0))
            paid = usage.cost_nano
            self._usage[model] = Usage(
                before.input + usage.input,
                before.output + usage.output,
                before.cached + usage.cached,
                before.reasoning + usage.reasoning,
                before.calls + 1,
                before.cost_nano if paid is None else (before.cost_nano or 0) + paid,
                usage.prices or before.prices or usage.prices,
            )
            self._say(usage=dict(self._usage))

    def rows(self, number: int = 1) -> None:
        """Add to the number of rows it processed; recorded with the outcome."""
        with self._lock:
            self._rows = (self._rows or 0) + self.told.number(number)

    def log(self, message: str, level: str | int = "info", *, item: str | None = None) -> None:
        """Record a line of text with it; `level` is the name or the number of one of `logging`'s, or any other name."""
        with self._lock:
            self._lines += 1
            at = self._recorder.stamp()
            text, place = self.told.text, None if item is None else self.told.text(item)
            self._say(logs=(LogLine(at, self._lines, self.told.level(level), text(message), place),), at=at)

    def note(self, **metadata: Any) -> None:
        """Add to its metadata, at once visible to readers."""
        with self._lock:
            self.metadata = self.told.data(self.metadata)
            self.metadata.update(metadata)
            self._say(metadata=dict(self.metadata))

    def fail(self, error: Fault) -> None:
        """Decide that it failed, whatever its items say."""
        self._verdict = self.told.fault(error)

    def cancel(self, reason: str = "cancelled") -> None:
        """Decide that it was cancelled."""
        self._verdict = (Status.CANCELLED, Error("Cancelled", self.told.text(reason)))

    def decide(self, status: Status, error: Fault | None = None) -> None:
        """Decide its outcome, whatever its items say."""
        status, odd = self.told.outcome(status)
        self._verdict = (status, odd if error is None else self.told.fault(error)[1])

    def _say(self, *, at: int | None = None, **fields: Any) -> None:
        key = self._event
        at = self._recorder.stamp() if at is None else at
        self._recorder.append(Event(id=key.id, kind=key.kind, namespace=key.namespace, at=at, **fields))


class ItemRun(Generic[T]):
    """One item while it happens: a context manager that records its outcome and its duration."""

    def __init__(self, run: Run, key: str, value: T, position: int | None, *, swallow: bool, attempt: int = 1) -> None:
        self.run, self.key, self.value = run, key, value
        self.data: dict[str, Any] = {}
        self.output: Any = None
        self.status = Status.QUEUED
        self.fault: Exception | None = None
        self._position, self._swallow = position, swallow
        self._rows: int | None = None
        self._began = 0.0
        self._started_at: int | None = None
        self._attempt = attempt

    def __enter__(self) -> Self:
        self._began = time.monotonic()
        self.status = Status.RUNNING
        self._started_at = time.time_ns() // 1000
        self._say(Status.RUNNING, None)
        return self

    def __exit__(
        self, _type: type[BaseException] | None, fault: BaseException | None, _trace: TracebackType | None
    ) -> bool:
        if fault is None or ends_well(fault):
            self.succeed()
            return False
        self.fail(fault)
        self.fault = fault if isinstance(fault, Exception) else None
        return self._swallow and self.fault is not None

    async def __aenter__(self) -> Self:
        return self.__enter__()

    async def __aexit__(
        self, kind: type[BaseException] | None, fault: BaseException | None, trace: TracebackType | None
    ) -> bool:
        return self.__exit__(kind, fault, trace)

    def rows(self, number: int = 1) -> None:
        """Add to the number of rows this item processed, and to its run's."""
        self._rows = (self._rows or 0) + self.run.told.number(number)
        self.run.rows(number)

    def succeed(self) -> None:
        """Record that it succeeded; nothing happens when its outcome is known already."""
        if self.status in OPEN:
            self._say(Status.SUCCEEDED, None)

    def fail(self, error: Fault) -> None:
        """Record that it failed, or timed out, or was cancelled; nothing happens when its outcome is known already."""
        if self.status in OPEN:
            self._say(*self.run.told.fault(error))

    def _say(self, status: Status, error: Error | None) -> None:
        self.status = status
        ended = status not in OPEN
        entered = self._started_at is not None
        duration = time.monotonic() - self._began if ended and entered else None
        self.run.say_item(
            Item(
                key=self.key,
                status=status,
                attempt=self._attempt,
                started_at=self._started_at,
                ended_at=(self._started_at or 0) + round((duration or 0) * 1e6) if ended and entered else None,
                duration=duration,
                rows=self._rows,
                error=error,
                output=self.output,
                data=self.run.told.data(self.data) or None,
            ),
            self._position,
        )
