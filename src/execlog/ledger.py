"""The Ledger: recorder, store and live feed, opened from one URL; the object everything above is handed."""

from __future__ import annotations

import atexit
import hashlib
import logging
import os
import sys
import threading
import time
import weakref
from collections import Counter
from collections.abc import Awaitable, Callable, Iterable
from pathlib import Path
from typing import Any, Self, TypeVar
from urllib.parse import urlsplit, urlunsplit

from msgspec.structs import replace

from execlog.core.clock import Clock, SystemClock
from execlog.core.errors import SettingsError, StoreError
from execlog.core.model import Event
from execlog.core.settings import Settings, load
from execlog.recorder.context import surroundings
from execlog.recorder.home import Home, Losses, Standing
from execlog.recorder.journal import Journal
from execlog.recorder.pump import Pump
from execlog.recorder.recorder import Recorder, RecorderStats
from execlog.recorder.run import Run, current_run
from execlog.recorder.sidecar import Cursor
from execlog.recorder.track import Result, aeach, each
from execlog.store.base import Announcing, Store
from execlog.store.feed import Feed
from execlog.store.opening import open_store
from execlog.store.ownership import make_private
from execlog.store.places import path_of

PARENT = "EXECLOG_EXECUTION_ID"
"""The execution a command or worker runs for, in its environment: what it runs itself is that one's child."""

T = TypeVar("T")
R = TypeVar("R")
log = logging.getLogger("execlog")
_open_ledgers: weakref.WeakSet[Ledger] = weakref.WeakSet()
_waited: list[Ledger] = []
_carried_over: list[Store] = []  # stores of a parent process: closing them here would disturb it, collecting them too


class Ledger:
    """A history: what is recorded into it, and what can be asked of it.

    Thread-safe. The journal and the store are opened when they are first needed, and again in a forked child. Use it
    as a context manager or `close` it; at the interpreter's exit that happens by itself.
    """

    def __init__(self, settings: Settings, *, drains_home: bool = False, clock: Clock | None = None) -> None:
        self.settings = settings = replace(settings, store=_absolute(settings.store_url))
        self.clock: Clock = clock or SystemClock()
        self.feed = Feed()
        self.root = settings.home / "journal" / _slug(settings.store_url)
        self.recorder = Recorder(settings, self.root, self._begun)
        self._drains_home = drains_home
        self._lock = threading.RLock()
        self._store: Store | None = None
        self._closing = self._closed = False
        self._pump = self._new_pump()
        _open_ledgers.add(self)
        if drains_home:
            self._pump.home.serve()
            self._pump.start()

    @classmethod
    def open(
        cls,
        url: str | None = None,
        *,
        home: str | Path | None = None,
        settings: Settings | None = None,
        drains_home: bool = False,
        clock: Clock | None = None,
    ) -> Self:
        """The ledger at this store URL (default: `EXECLOG_STORE`, else SQLite in the home).

        `drains_home` makes this process empty the journals of every process of the home and mark what dead ones left
        open, as `execlog serve` does. Raises SettingsError.
        """
        if settings is None:
            settings = load(store=url, home=None if home is None else str(home))
        return cls(settings, drains_home=drains_home, clock=clock)

    @classmethod
    def refusing(cls, reason: Exception) -> Self:
        """A ledger that records nothing, touches no file, and counts what it refuses, because of this."""
        ledger = cls(Settings(home=Path(os.devnull), store="memory://", capture_context=False))
        ledger.recorder.hindrance = reason
        return ledger

    @property
    def store(self) -> Store:
        """The store, opened at first use. Raises StoreError, UnsupportedError or MissingExtraError."""
        with self._lock:
            if self._store is None:
                if self._closed:
                    message = "this ledger is closed"
                    raise StoreError(message, retry=False)
                self._make_home()
                self._store = open_store(self.settings.store_url, self.settings)
                if self._drains_home and isinstance(self._store, Announcing):
                    self._store.listen(self.feed.publish)
            return self._store

    def new_id(self) -> str:
        """A new execution id (UUIDv7)."""
        return self.recorder.new_id()

    def append(self, event: Event) -> bool:
        """Whether the event was taken in; True means that it survives a kill from now on. Never raises."""
        return self.recorder.append(event)

    def append_durable(self, event: Event) -> bool:
        """Whether the event was taken in; True means that it survives a power cut from now on. Never raises."""
        return self.recorder.append_durable(event)

    def record(self, name: str, **fields: Any) -> str:
        """The id of what was recorded: something that already happened. See `Recorder.record`."""
        return self.recorder.record(name, **fields)

    def record_durable(self, name: str, **fields: Any) -> str:
        """As `record`, and it survives a power cut."""
        recorded = self.recorder.record(name, **fields)
        self.recorder.sync()
        return recorded

    def run(self, name: str, *, kind: str = "task", id: str | None = None, **fields: Any) -> Run:
        """An execution that begins when it is entered: `with ledger.run("nightly") as run:`.

        Fields are those of `Event`: subject, namespace, actor, engine, params, input, tags, metadata, total, retry_of,
        root_id … Inside another run, that one becomes its parent; else the execution whose command or worker this
        process is.
        """
        parent = current_run()
        given: dict[str, Any] = {
            "id": id or self.new_id(), "kind": kind, "name": name, "subject": name, "at": self.recorder.stamp(),
            "parent_id": parent.id if parent is not None else os.environ.get(PARENT) or None,
            "context": surroundings() if self.settings.capture_context else None,
        }  # fmt: skip
        given |= {field: it for field, it in fields.items() if it is not None}
        try:
            event = self.recorder.compose(given)
        except Exception as error:  # noqa: BLE001 - an id that cannot be recorded must not stop what is run
            self.recorder.refuse("invalid", error)
            event = self.recorder.compose(given | {"id": self.new_id()})
        return Run(self.recorder, event)

    def each(
        self, function: Callable[[T], R], values: Iterable[T], *, limit: int = 1, key: Callable[[T], str] = str
    ) -> list[Result[T, R]]:
        """What became of `function(value)` for every value, in order: an item each, at most `limit` at once."""
        return each(function, values, self.run, limit=limit, key=key)

    async def aeach(
        self,
        function: Callable[[T], Awaitable[R]],
        values: Iterable[T],
        *,
        limit: int = 10,
        key: Callable[[T], str] = str,
    ) -> list[Result[T, R]]:
        """As `each`, for a coroutine function."""
        return await aeach(function, values, self.run, limit=limit, key=key)

    def flush(self, timeout: float = 10.0) -> bool:
        """Whether the store got everything accepted before the call, within `timeout` seconds."""
        if self.recorder.hindrance is not None:
            return False
        self.recorder.settle()
        return self._pump.drains(self.recorder.journal) and self._pump.flush(timeout)

    def drain_dead(self) -> int:
        """How many records of dead processes went into the store now; what they left open becomes `crashed`."""
        home = self._pump.home
        if not home.is_ours():
            return 0  # there is none, or it is somebody else's, who takes them in
        if home.served_by_another() or all(home.is_alive(folder) for folder in home.journals()):
            return 0
        visitor = Home(self.root, self.clock.now)
        try:
            return visitor.visit(self.store, self.settings.drain_batch, own=self.recorder.folder, everyone=False)
        finally:
            visitor.release()

    def stats(self) -> RecorderStats:
        """What became of the records of this process; `mended` counts what the drain and the store mended as well."""
        recorder, journal = self.recorder, self.recorder.journal
        cursor = self._pump.cursor if self._pump.drains(journal) else Cursor()
        accepted = journal.accepted if journal is not None else 0
        settled = min(cursor.stored + cursor.aside, accepted)
        return RecorderStats(
            accepted=accepted,
            stored=settled - cursor.aside,
            aside=cursor.aside,
            pending=accepted - settled,
            dropped=journal.dropped if journal is not None else {},
            damaged=cursor.damaged,
            journal_bytes=journal.size() if journal is not None else 0,
            mended=_sum(recorder.mended, self._pump.mended, getattr(self._store, "mended", {})),
            refused=dict(recorder.refused),
            last_error=self._pump.last_error,
        )

    def standing(self) -> Standing:
        """How the journals of all processes of the home stand. Raises OSError."""
        return self._pump.home.standing()

    @property
    def drained_at(self) -> float | None:
        """When the store last took what this process had for it, if only nothing: UTC seconds."""
        return self._pump.drained_at

    @property
    def failing_for(self) -> float:
        """Seconds since the store began to refuse what this process has for it; 0.0 where it does not."""
        since = self._pump.failing_since
        return 0.0 if since is None else time.monotonic() - since

    def losses(self) -> Losses:
        """What journals of processes that are gone did not bring into the store."""
        return self._pump.home.losses()

    def close(self, timeout: float | None = None) -> None:
        """Flush for at most `timeout` seconds (default: the setting close_timeout), then stop.

        What is left stays in the journal, and is adopted by the next process here. What other threads record from now
        on goes to a journal of its own, which is adopted too. While executions of this process are open, both are
        adopted only when it is gone: until then nobody may call them crashed.
        """
        with self._lock:
            if self._closing:
                return
            self._closing = True
        deadline = time.monotonic() + (self.settings.close_timeout if timeout is None else timeout)
        drained = self._pump.will_drain()
        if drained:
            self._pump.flush(deadline - time.monotonic())
        still_open, journal = bool(self.recorder.open), self.recorder.detach()
        if journal is not None:
            end = journal.seal()
            drained = drained and self._pump.flush(deadline - time.monotonic(), end)
        self._finish(journal if drained and not still_open else None, max(deadline - time.monotonic(), 0.1))
        if journal is not None and not still_open:
            journal.close(remove=False)
        with self._lock:
            self._closed = True
            if self._store is not None:
                self._store.close()
        _open_ledgers.discard(self)

    def _finish(self, done: Journal | None, timeout: float) -> None:
        """Stop the drain; take away a journal of which nothing is left to be stored or judged."""
        pump = self._pump
        cursor = pump.cursor
        pump.stop(timeout)
        try:
            if done is not None:
                pump.home.retire(done.folder, cursor)
                pump.sign_off(lambda: self.store)
            if self.settings.drain == "thread" and pump.last_error is None:
                self.drain_dead()
        except (OSError, StoreError) as error:
            log.warning("execlog: closing left something to the next process: %s", error)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _new_pump(self) -> Pump:
        home = Home(self.root, self.clock.now)
        return Pump(
            self.settings,
            home,
            lambda: self.store,
            self.feed.publish,
            own=lambda: self.recorder.folder,
            serves=self._drains_home,
            call_drainer=lambda: start_drainer(self.settings),
        )

    def _make_home(self) -> None:
        try:
            make_private(self.settings.home)
        except OSError as error:
            message = f"the home {self.settings.home} cannot be made: {error.filename}: {error.strerror}"
            raise StoreError(message, retry=True) from error

    def _begun(self, journal: Journal) -> None:
        if self._closing:
            return
        try:
            self._pump.start(journal)
        except RuntimeError as error:  # too late for threads, at the interpreter's exit: the journal is adopted later
            log.debug("execlog: the drain cannot start: %s", error)

    def _forked(self) -> None:
        self._lock = threading.RLock()
        if self._store is not None:
            _carried_over.append(self._store)
            self._store = None
        self._drains_home = False
        self.feed = Feed()
        self.recorder.forget()
        self._pump = self._new_pump()


def start_drainer(settings: Settings) -> None:
    """Start a process that empties the journals of this home until no living process writes there any more."""
    environment = os.environ | {
        "EXECLOG_HOME": str(settings.home),
        "EXECLOG_STORE": settings.store_url,
        "EXECLOG_DRAIN": "thread",
    }
    quiet = [(os.POSIX_SPAWN_OPEN, fd, os.devnull, os.O_RDWR, 0) for fd in range(3)]
    command = [sys.executable, "-m", "execlog.ledger"]
    started = os.posix_spawn(sys.executable, command, environment, file_actions=quiet, setsid=True)
    threading.Thread(target=os.waitpid, args=(started, 0), name="execlog-drainer", daemon=True).start()


def drain_home(idle_seconds: float = 2.0) -> None:
    """Empty the journals of the home in force until none has been there for `idle_seconds`."""
    ledger = Ledger.open(drains_home=True)
    home = ledger._pump.home  # noqa: SLF001  # pyright: ignore[reportPrivateUsage] - this is the same house
    quiet_since = time.monotonic()
    while home.serving and time.monotonic() - quiet_since < idle_seconds:
        if home.journals():
            quiet_since = time.monotonic()
        time.sleep(0.2)
    ledger.close()


def _absolute(url: str) -> str:
    """The URL of a store in a file, wherever this process or another moves to; any other URL as it is."""
    try:
        path = path_of(url)
        return url if path is None else f"{urlsplit(url).scheme}:///{os.path.realpath(path).replace('%', '%25')}"
    except OSError as error:  # the working directory is gone
        message = f"store: {url} is no place from here: {error}"
        raise SettingsError(message) from error


def _sum(*counts: dict[str, int]) -> dict[str, int]:
    """The counts added up. Other threads may grow them meanwhile: copying one is a single step, walking it is not."""
    added: Counter[str] = Counter()
    for one in counts:
        added.update(dict(one))
    return dict(added)


def _slug(url: str) -> str:
    """A folder name for the journals of one store; its password may change, its place not."""
    if url.startswith("memory:"):
        return f"memory-{os.getpid()}-{time.monotonic_ns()}"
    parts = urlsplit(url)
    bare = urlunsplit(parts._replace(netloc=parts.netloc.rpartition("@")[2], query="", fragment=""))
    return hashlib.blake2s(bare.encode(), digest_size=4).hexdigest()


def _close_all() -> None:
    for ledger in list(_open_ledgers):
        ledger.close()


def _before_fork() -> None:
    # A fork in the middle of another thread's import would leave the child with half a module for good: so it waits
    # for a store that is being opened, though not for one that hangs.
    _waited.extend(ledger for ledger in list(_open_ledgers) if ledger._lock.acquire(timeout=1.0))  # noqa: SLF001  # pyright: ignore[reportPrivateUsage] - this is the same house


def _after_fork_in_parent() -> None:
    while _waited:
        _waited.pop()._lock.release()  # noqa: SLF001  # pyright: ignore[reportPrivateUsage] - this is the same house


def _after_fork() -> None:
    _waited.clear()
    for ledger in list(_open_ledgers):
        ledger._forked()  # noqa: SLF001  # pyright: ignore[reportPrivateUsage] - this is the same house


atexit.register(_close_all)
os.register_at_fork(before=_before_fork, after_in_parent=_after_fork_in_parent, after_in_child=_after_fork)

if __name__ == "__main__":
    drain_home()
