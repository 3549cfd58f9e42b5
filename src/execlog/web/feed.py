"""Live updates: one reader of the store's changes, any number of clients.

The reader keeps the last changes, encoded once, in a ring; a client remembers only the number it was sent last. One
that is slow, or comes back, reads what the ring no longer has from the store. So clients cost little, and a slow one
nothing.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections import deque
from collections.abc import AsyncGenerator

from execlog.core.errors import StoreError
from execlog.kind import Call, Reply, Stream
from execlog.ledger import Ledger
from execlog.web.news import FeedQuestion, News, Wanted, gap, newest, read
from execlog.web.problem import ProblemError
from execlog.web.stream import EVENT_STREAM
from execlog.web.workers import Workers

POLL_SECONDS = 0.5
"""Another process's writes are seen this late at most; this process's own at once."""
PACE_SECONDS = 0.05
RING = 4_000
_QUIET = 500
_AWAY = b"event: away\ndata: {}\n\n"
_RETRY_MS = 2_000
_log = logging.getLogger("execlog.web")


class Feeds:
    """`GET /api/feed`: a hub for each event loop that serves it (usually one)."""

    def __init__(self, ledger: Ledger, workers: Workers, *, most_clients: int) -> None:
        self._ledger = ledger
        self._workers = workers
        self._most = most_clients
        self._hubs: dict[asyncio.AbstractEventLoop, Hub] = {}
        self._closed = False

    @property
    def clients(self) -> int:
        """How many streams are open."""
        return sum(hub.clients for hub in self._hubs.values())

    async def open(self, call: Call) -> Reply:
        """A stream of events. Raises ProblemError 503 where there are too many, 422 for an id that is no number."""
        question: FeedQuestion = call.params
        after = _after(call.headers.get("last-event-id"), question.last_event_id)
        if self._closed or self.clients >= self._most:
            raise ProblemError(503, f"{self._most} live clients are connected already", headers={"Retry-After": "10"})
        return Reply(self._hub().admit(Wanted(question, call.principal.actor), after), media_type=EVENT_STREAM)

    def close(self) -> None:
        """End every stream; to be called on the event loop that serves them."""
        self._closed = True
        for hub in self._hubs.values():
            hub.close()

    def _hub(self) -> Hub:
        loop = asyncio.get_running_loop()
        self._hubs = {known: hub for known, hub in self._hubs.items() if not known.is_closed()}
        return self._hubs.setdefault(loop, Hub(self._ledger, self._workers))


class Hub:
    """The reader of one event loop, and its clients; it reads only while there are some."""

    def __init__(self, ledger: Ledger, workers: Workers) -> None:
        self.clients = 0
        self._closed = False
        self._ledger = ledger
        self._workers = workers
        self._ring: deque[News] = deque()
        self._floor = self._head = 0
        self._away = False
        self._starting = asyncio.Lock()
        self._wake = asyncio.Event()
        self._news = asyncio.Event()
        self._reader: asyncio.Task[None] | None = None

    def admit(self, wanted: Wanted, after: int | None) -> Stream:
        """The events of one more client, from after this change number (None: from now), until the hub closes."""
        self.clients += 1
        return Stream(self._follow(wanted, after), self._leave)

    def close(self) -> None:
        """End every client's stream."""
        self._closed = True
        self._stop()
        self._news.set()

    async def _follow(self, wanted: Wanted, after: int | None) -> AsyncGenerator[bytes]:
        away = False
        while not await self._start():
            if self._closed:
                return
            if not away:
                yield _AWAY
            away = True
            await asyncio.sleep(POLL_SECONDS)
        sent = told = self._head if after is None else min(after, self._head)
        yield b"retry: %d\nid: %d\n\n" % (_RETRY_MS, sent)
        away = False
        while not self._closed:
            news = self._news
            if self._away and not away:
                yield _AWAY
            away = self._away
            entries = await self._after(sent)
            if not entries:
                await news.wait()
                continue
            sent = entries[-1].number
            data = b"".join(entry.data for entry in entries if wanted.takes(entry))
            if data or sent - told > _QUIET:
                # An event without data only moves the place where this client would go on.
                told = sent
                yield data or b"id: %d\n\n" % sent

    def _leave(self) -> None:
        self.clients -= 1
        if not self.clients:
            self._stop()

    async def _start(self) -> bool:
        """Whether somebody reads; not where the store is away, or the hub closed."""
        async with self._starting:
            if self._reader is None and not self._closed:
                try:
                    self._floor = self._head = await self._workers.run(lambda: newest(self._ledger.store))
                except (StoreError, ProblemError) as error:
                    _log.warning("live updates wait for the store: %s", error)
                    return False
                self._ring.clear()
                self._away = False
                self._reader = asyncio.create_task(self._read())
            return self._reader is not None

    def _stop(self) -> None:
        if self._reader is not None:
            self._reader.cancel()
            self._reader = None

    async def _read(self) -> None:
        """Read what happens into the ring, woken by this process's own writes, polling for those of others."""
        loop = asyncio.get_running_loop()

        def heard(_number: int) -> None:
            with contextlib.suppress(RuntimeError):  # the loop may close before the drain's thread hears of it
                loop.call_soon_threadsafe(self._wake.set)

        stop = self._ledger.feed.listen(heard)
        try:
            while True:
                if not await self._take():
                    with contextlib.suppress(TimeoutError):
                        await asyncio.wait_for(self._wake.wait(), POLL_SECONDS)
                    self._wake.clear()
                await asyncio.sleep(PACE_SECONDS)
        finally:
            stop()

    async def _take(self) -> bool:
        """Whether there was anything new; it is in the ring then, and the clients are woken."""
        try:
            entries = await self._workers.run(lambda: read(self._ledger.store, self._head))
        except (StoreError, ProblemError) as error:
            _log.warning("live updates wait for the store: %s", error)
            self._tell(away=True)
            return False
        if not entries:
            self._tell(away=False)
            return False
        self._ring.extend(entries)
        while len(self._ring) > RING:
            self._floor = self._ring.popleft().number
        self._head = entries[-1].number
        self._away = False
        self._rouse()
        return True

    def _tell(self, *, away: bool) -> None:
        """Let the clients know that the store went away; that it is back they see by what it says."""
        changed, self._away = away != self._away, away
        if changed:
            self._rouse()

    def _rouse(self) -> None:
        news, self._news = self._news, asyncio.Event()
        news.set()

    async def _after(self, sent: int) -> list[News]:
        """What there is after a change number: from the ring, or from the store for a client that is further behind."""
        if sent >= self._floor:
            found: list[News] = []
            for entry in reversed(self._ring):
                if entry.number <= sent:
                    break
                found.append(entry)
            return found[::-1]
        try:
            entries = await self._workers.run(lambda: read(self._ledger.store, sent))
        except StoreError:
            entries = []
        return entries or [gap(sent, self._floor)]


def _after(header: str | None, query: int | None) -> int | None:
    if header is None or not header.strip():
        return query
    if not header.strip().isdigit() or len(header) > 19:  # noqa: PLR2004 - digits of 2**63
        raise ProblemError(
            422, f"Last-Event-ID is a number this server sent, not {header[:40]!r}", field="Last-Event-ID"
        )
    return int(header)
