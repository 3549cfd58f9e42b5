"""The thread that keeps the journals of a home flowing into the store."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from pathlib import Path

from execlog.core.errors import ExeclogError, StoreError
from execlog.core.settings import Settings
from execlog.recorder.drain import JournalDrain
from execlog.recorder.home import Home
from execlog.recorder.journal import Journal, read_cursor
from execlog.store.base import Store

log = logging.getLogger("execlog")
_VISIT_SERVING, _VISIT_ALONE = 0.25, 2.0
_BACKOFF_MOST = 5.0
_BACKLOG_FACTOR = 4
_POLL = 0.01


class Pump:
    """Drains this process's journal, adopts those of dead processes, and with `serving` drains everybody's.

    While another process serves the home, it leaves the draining to that one.
    """

    def __init__(
        self,
        settings: Settings,
        home: Home,
        open_store: Callable[[], Store],
        publish: Callable[[Store], None],
        *,
        own: Callable[[], Path],
    ) -> None:
        """`own` is the folder this process's journal has, or will have: it must not be taken for somebody else's."""
        self.settings, self.home = settings, home
        self._own = own
        self.last_error: str | None = None
        self._open_store, self._publish = open_store, publish
        self._wake, self._moved = threading.Event(), threading.Condition()
        self._thread: threading.Thread | None = None
        self._stopping = False
        self._journal: Journal | None = None
        self._drain: JournalDrain | None = None
        self._next_visit = self._next_touch = 0.0
        self._failures = 0

    def start(self, journal: Journal | None = None) -> None:
        """Begin to drain; with a journal, that one is this process's own."""
        if journal is not None:
            self._drain, self._journal = JournalDrain(journal.folder), journal
        if self._thread is None:
            self._stopping = False
            self._thread = threading.Thread(target=self._run, name="execlog-drain", daemon=True)
            self._thread.start()

    def flush(self, timeout: float) -> bool:
        """Whether the store got everything that was accepted before the call, within `timeout` seconds."""
        journal = self._journal
        if journal is None:
            return True
        target, deadline = journal.position, time.monotonic() + timeout
        while not self._reached(target):
            left = deadline - time.monotonic()
            if left <= 0:
                return False
            self._wake.set()
            with self._moved:
                self._moved.wait(min(left, _POLL if self._drained_elsewhere() else 0.1))
        return True

    def stop(self, timeout: float) -> None:
        """End the thread once it has finished the batch it is at, and give back the locks."""
        self._stopping = True
        self._wake.set()
        if self._thread is not None and self._thread is not threading.current_thread():
            self._thread.join(timeout)
        self._thread = None
        if self._drain is not None:
            self._drain.release()
        self.home.release()

    def stored(self) -> int:
        """How many records of this process's journal the store has."""
        if self._drain is None:
            return 0
        return (read_cursor(self._drain.folder) if self._drained_elsewhere() else self._drain.cursor).stored

    def damaged(self) -> int:
        """How many bytes of this process's journal were damaged."""
        return self._drain.cursor.damaged if self._drain is not None else 0

    def _reached(self, target: tuple[int, int]) -> bool:
        drain = self._drain
        if drain is None:
            return True
        cursor = read_cursor(drain.folder) if self._drained_elsewhere() else drain.cursor
        return (cursor.number, cursor.offset) >= target

    def _drained_elsewhere(self) -> bool:
        return self.settings.drain != "thread" or self.home.served_by_another()

    def _run(self) -> None:
        while not self._stopping:
            if not self._turn():
                self._wake.wait(self._pause())
                self._wake.clear()
        if self._journal is not None:
            self._journal.touch()

    def _turn(self) -> bool:
        """Whether there may be more to do at once."""
        try:
            busy = self._drain_own()
            self._care()
            busy = self._visit_others() or busy
        except StoreError as error:
            self._failed(error, str(error))
            return False
        except (ExeclogError, OSError, ValueError) as error:
            self._failed(error, f"{type(error).__name__}: {error}")
            return False
        except Exception as error:  # the drain must outlive a bug, and the records wait in the journal meanwhile
            log.exception("execlog: the drain failed and will try again")
            self._failed(error, f"{type(error).__name__}: {error}")
            return False
        self._failures = 0
        self.last_error = None
        return busy

    def _drain_own(self) -> bool:
        drain = self._drain
        if drain is None:
            return False
        if self._drained_elsewhere():
            drain.release()
            return False
        if not drain.claim():
            return False
        store = self._open_store()
        batch = self.settings.drain_batch
        taken = drain.step(store, batch)
        while taken and not self._stopping:
            self._moved_on(store)
            more = drain.step(store, batch * _BACKLOG_FACTOR if taken >= batch else batch)
            if not more:
                break
            taken = more
            self._care()
        return False

    def _visit_others(self) -> bool:
        now = time.monotonic()
        serving = self.home.serving
        if not serving and (now < self._next_visit or self._drained_elsewhere()):
            return False
        own = self._own()
        if now >= self._next_visit:
            self._next_visit = now + (_VISIT_SERVING if serving else _VISIT_ALONE)
        if not serving and not any(folder != own for folder in self.home.journals()):
            return False
        store = self._open_store()
        taken = self.home.visit(store, self.settings.drain_batch * _BACKLOG_FACTOR, own=own, everyone=serving)
        if taken:
            self._moved_on(store)
        return taken > 0

    def _moved_on(self, store: Store) -> None:
        self._publish(store)
        with self._moved:
            self._moved.notify_all()

    def _care(self) -> None:
        journal = self._journal
        if journal is None:
            return
        journal.make_spare()
        if (now := time.monotonic()) >= self._next_touch:
            self._next_touch = now + 1.0
            journal.touch()
            journal.reassess()

    def _failed(self, error: BaseException, text: str) -> None:
        self._failures += 1
        if text != self.last_error:
            log.warning("execlog: the store cannot take records, they wait in the journal: %s", text)
        self.last_error = text
        try:
            self._care()
            if (
                self._journal is not None
            ):  # the store may be down for long: what was accepted should survive a power cut too
                self._journal.sync()
        except OSError as broken:
            log.warning("execlog: the journal's disk fails: %s (after %s)", broken, type(error).__name__)

    def _pause(self) -> float:
        if self._failures:
            return min(0.1 * 2 ** min(self._failures, 10), _BACKOFF_MOST)
        return self.settings.drain_interval
