"""One execution's progress as server-sent events, from the store's changes: whichever process runs it."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import AsyncGenerator, Generator
from typing import Any

from msgspec import Struct

from execlog.core.errors import NotFoundError, StoreError
from execlog.core.model import TERMINAL, Execution, Item, Key, LogLine
from execlog.history.view import to_json
from execlog.kind import Stream
from execlog.kinds.workflows.mapping import log_of, step_of, summary_of
from execlog.ledger import Ledger

POLL_SECONDS = 0.5
"""Another process's writes are seen this late at most; this process's own at once."""
_PAGE = 1_000
_RETRY_MS = 2_000
_log = logging.getLogger("execlog")


class Sent(Struct):
    """What one client was told: each step as it stood, the last log line, and the summary."""

    items: dict[str, Item]
    logs: tuple[int, int] = (0, -1)
    summary: bytes = b""

    def news(self, execution: Execution) -> bytes:
        """The events that tell what is new: `log`s, `step`s, `execution`, `end` once it is over; b"" for nothing."""
        ended = execution.status in TERMINAL
        events = [_event(b"log", log_of(line)) for line in self._lines(execution)]
        for item in execution.items:
            if self.items.get(item.key) != item:
                self.items[item.key] = item
                events.append(_event(b"step", _lean(item, ended=ended)))
        summary = to_json(summary_of(execution))
        if summary != self.summary:
            self.summary = summary
            events.append(b"event: execution\ndata: %s\n\n" % summary)
        if ended:
            events.append(b"event: end\ndata: %s\n\n" % summary)
        return b"".join(events)

    def _lines(self, execution: Execution) -> list[LogLine]:
        new = [line for line in execution.logs if (line.at, line.number) > self.logs]
        if new:
            self.logs = (new[-1].at, new[-1].number)
        return new


class Progress:
    """Streams of executions' progress over one ledger; at most `most_clients` at once."""

    def __init__(self, ledger: Ledger, *, most_clients: int) -> None:
        self._ledger = ledger
        self._most = most_clients
        self._watches: dict[asyncio.AbstractEventLoop, Watch] = {}
        self._closed = False
        self.clients = 0

    async def open(self, key: Key, actor: str | None = None) -> Stream:
        """The events of one execution, from how it stands now until it is over or deleted.

        Raises NotFoundError where there is none (of `actor`'s), StoreError where too many clients listen.
        """
        if self._closed or self.clients >= self._most:
            raise StoreError(f"{self._most} live clients are connected already", retry=True)
        stream = Stream(self._follow(key), self._leave)
        self.clients += 1
        try:
            await self._check(key, actor)
        except BaseException:
            await stream.aclose()
            raise
        return stream

    def close(self) -> None:
        """End every stream; to be called on the event loop that serves them."""
        self._closed = True
        for watch in self._watches.values():
            watch.wake_up()

    async def _check(self, key: Key, actor: str | None) -> None:
        first = await self._load(key)
        if first is None or (actor is not None and first.actor != actor):
            raise NotFoundError(f"project {key.namespace!r} has no execution {key.id!r}")

    def _leave(self) -> None:
        self.clients -= 1

    async def _follow(self, key: Key) -> AsyncGenerator[bytes]:
        sent = Sent({})
        with self._watch().following(key) as changed:
            yield b"retry: %d\n\n" % _RETRY_MS
            while not self._closed:
                changed.clear()
                execution = await self._load(key)
                if execution is None:
                    yield b"event: deleted\ndata: %s\n\n" % to_json({"id": key.id, "projectId": key.namespace})
                    return
                if news := sent.news(execution):
                    yield news
                if execution.status in TERMINAL:
                    return
                await changed.wait()

    async def _load(self, key: Key) -> Execution | None:
        return await asyncio.to_thread(self._ledger.store.get, key.id, kind=key.kind, namespace=key.namespace)

    def _watch(self) -> Watch:
        loop = asyncio.get_running_loop()
        self._watches = {known: watch for known, watch in self._watches.items() if not known.is_closed()}
        return self._watches.setdefault(loop, Watch(self._ledger))


class Watch:
    """Wakes those who follow an execution when the store says that it changed; it reads only while somebody does."""

    def __init__(self, ledger: Ledger) -> None:
        self._ledger = ledger
        self._events: dict[Key, set[asyncio.Event]] = {}
        self._wake = asyncio.Event()
        self._reader: asyncio.Task[None] | None = None

    @contextlib.contextmanager
    def following(self, key: Key) -> Generator[asyncio.Event]:
        """An event that is set whenever the execution changed."""
        event = asyncio.Event()
        self._events.setdefault(key, set()).add(event)
        if self._reader is None:
            self._reader = asyncio.create_task(self._read())
        try:
            yield event
        finally:
            self._events[key].discard(event)
            if not self._events[key]:
                del self._events[key]
            if not self._events:
                self._stop()

    def wake_up(self, keys: set[Key] | None = None) -> None:
        """Wake those who follow one of these executions; without any, all."""
        for key in list(self._events if keys is None else keys & self._events.keys()):
            for event in self._events[key]:
                event.set()

    def _stop(self) -> None:
        if self._reader is not None:
            self._reader.cancel()
            self._reader = None

    async def _read(self) -> None:
        loop = asyncio.get_running_loop()

        def heard(_number: int) -> None:
            with contextlib.suppress(RuntimeError):  # the loop may close before the drain's thread hears of it
                loop.call_soon_threadsafe(self._wake.set)

        stop = self._ledger.feed.listen(heard)
        last: int | None = None
        try:
            while True:
                last = await self._look(last)
                with contextlib.suppress(TimeoutError):
                    await asyncio.wait_for(self._wake.wait(), POLL_SECONDS)
                self._wake.clear()
        finally:
            stop()

    async def _look(self, last: int | None) -> int | None:
        """The store's last change, once those who follow what changed are woken."""
        store = self._ledger.store
        if not store.capabilities.changes:
            self.wake_up()
            return None
        try:
            changes = await asyncio.to_thread(store.changes, -1 if last is None else last, limit=_PAGE)
        except StoreError as error:
            _log.warning("live progress waits for the store: %s", error)
            return last
        # Nobody can say what happened before the first look, or between two far apart.
        whole = last is not None and len(changes) < _PAGE
        self.wake_up({change.key for change in changes} if whole else None)
        return changes[-1].number if changes else last or 0


def _lean(item: Item, *, ended: bool) -> Any:
    """A step without what went in and came out: progress is small, the execution has the rest."""
    from msgspec.structs import replace

    return replace(step_of(item, ended=ended), input=None, output=None)


def _event(name: bytes, record: Any) -> bytes:
    return b"event: %s\ndata: %s\n\n" % (name, to_json(record))
