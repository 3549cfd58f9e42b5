"""The thread that keeps the journals of a home flowing into the store."""

from __future__ import annotations

import logging
import threading
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path

from execlog.core.errors import ExeclogError, StoreError
from execlog.core.settings import Settings
from execlog.recorder.drain import JournalDrain
from execlog.recorder.home import Home
from execlog.recorder.journal import Journal
from execlog.recorder.presence import Presence, is_shared_between_hosts
from execlog.recorder.sidecar import Cursor, read_cursor
from execlog.store.base import Store

log = logging.getLogger("execlog")
_VISIT_SERVING, _VISIT_ALONE = 0.25, 2.0
_BACKOFF_LEAST, _BACKOFF_MOST = 0.1, 5.0
_BACKLOG_FACTOR = 8
_POLL = 0.01
_CARE_SECONDS = 1.0
_SWEEP_SECONDS = 600.0
_LEASE_SECONDS = 1.0


class Pump:
    """Drains this process's journal, adopts those of dead processes, and with `serving` drains everybody's.

    While another process serves the home, it leaves the draining to that one. `call_drainer` starts a process that
    does, for the setting drain = "process".
    """

    def __init__(
        self,
        settings: Settings,
        home: Home,
        open_store: Callable[[], Store],
        publish: Callable[[int], None],
        *,
        own: Callable[[], Path],
        serves: bool = False,
        call_drainer: Callable[[], None] = lambda: None,
    ) -> None:
        """`own` is the folder this process's journal has, or will have: it must not be taken for somebody else's.

        With `serves` it takes over the home as soon as nobody serves it, such as from a server that is stopped.
        """
        self.settings, self.home = settings, home
        self._own, self._serves = own, serves
        self.last_error: str | None = None
        self.drained_at: float | None = None
        self.failing_since: float | None = None
        self._open_store, self._publish, self._call_drainer = open_store, publish, call_drainer
        self._wake, self._halt, self._moved = threading.Event(), threading.Event(), threading.Condition()
        self._starting = threading.RLock()
        self._thread: threading.Thread | None = None
        self._stopping = False
        self._journal: Journal | None = None
        self._drain: JournalDrain | None = None
        self._next_visit = self._next_care = self._next_sweep = self._next_call = self._next_lease = 0.0
        self._failures = 0
        self.home.presence = Presence(wanted=is_shared_between_hosts(settings.store_url))

    def start(self, journal: Journal | None = None) -> None:
        """Begin to drain; with a journal, that one is this process's own."""
        with self._starting:
            if journal is not None:
                self._drain, self._journal = JournalDrain(journal.folder), journal
            if self._thread is None:
                self._stopping = False
                self._halt.clear()
                self._thread = threading.Thread(target=self._run, name="execlog-drain", daemon=True)
                self._thread.start()

    def flush(self, timeout: float, target: tuple[int, int] | None = None) -> bool:
        """Whether the store got everything accepted before the call (or up to `target`), within `timeout` seconds."""
        journal = self._journal
        if journal is None:
            return True
        target, deadline = target or journal.position, time.monotonic() + timeout
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
        self._halt.set()
        self._wake.set()
        thread = self._thread
        if thread is not None and thread is not threading.current_thread():
            thread.join(timeout)
            if thread.is_alive():
                return  # the store hangs; the thread is a daemon, and the locks go with the process
        self._thread = None
        if self._drain is not None:
            self._drain.release()
        self.home.release()

    def sign_off(self, store: Callable[[], Store]) -> None:
        """Tell a store that hosts share that this process is done. Raises StoreError."""
        if self._journal is not None and self.home.presence.wanted:
            self.home.presence.leave(store(), self._journal.owner.origin)

    @property
    def cursor(self) -> Cursor:
        """How far the store has this process's journal."""
        drain = self._drain
        if drain is None:
            return Cursor()
        return read_cursor(drain.folder) if self._drained_elsewhere() else drain.cursor

    @property
    def mended(self) -> Counter[str]:
        """What was left out of this process's records on their way, where it is this process that drains them."""
        return self._drain.mended if self._drain is not None else Counter()

    def drains(self, journal: Journal | None) -> bool:
        """Whether this journal is the one it has to do with: what is begun when all is closed is adopted later."""
        return journal is None or journal is self._journal

    def will_drain(self) -> bool:
        """Whether somebody is there to empty this process's journal."""
        return self.settings.drain == "thread" or self.home.served_by_another()

    def _reached(self, target: tuple[int, int]) -> bool:
        cursor = self.cursor
        return self._drain is None or (cursor.number, cursor.offset) >= target

    def _drained_elsewhere(self) -> bool:
        return self.settings.drain != "thread" or self.home.served_by_another()

    def _run(self) -> None:
        while not self._stopping:
            if not self._turn():
                self._rest()
        if self._journal is not None:
            self._journal.touch()

    def _turn(self) -> bool:
        """Whether there may be more to do at once."""
        try:
            more = self._drain_own()
            self._care()
            busy = self._visit_others() or more
        except StoreError as error:
            self._failed(str(error))
            return False
        except (ExeclogError, OSError, ValueError) as error:
            self._failed(f"{type(error).__name__}: {error}")
            return False
        except Exception as error:  # noqa: BLE001 - the drain must outlive a bug; the records wait in the journal
            self._failed(f"{type(error).__name__}: {error}", error)
            return False
        if self._failures:
            log.warning("execlog: the store takes records again")
        self._failures = 0
        self.last_error = self.failing_since = None
        self.drained_at = time.time()
        return busy

    def _drain_own(self) -> bool:
        """Whether it left off in the middle, to look after others: who records without end must not keep us from it."""
        drain = self._drain
        if drain is None:
            return False
        if self._drained_elsewhere():
            drain.release()
            self._see_to_drainer()
            return False
        if not drain.claim():
            return False
        store, batch = self._open_store(), self.settings.drain_batch
        if drain.owner is not None:
            self.home.presence.attend(store, drain.owner.origin)
        taken = drain.step(store, batch)
        while taken and not self._stopping:
            self._moved_on(drain.last_change)
            self._care()
            if time.monotonic() >= self._next_visit:
                return True
            # A backlog goes faster in larger batches; what trickles in need not wait for one.
            taken = drain.step(store, batch * _BACKLOG_FACTOR if taken >= batch else batch)
        return False

    def _visit_others(self) -> bool:
        now = time.monotonic()
        due = now >= self._next_visit
        serving = self.home.serving or (self._serves and due and self.home.serve())
        if due:
            self._next_visit = now + (_VISIT_SERVING if serving else _VISIT_ALONE)
        if not serving and (not due or self._drained_elsewhere()):
            return False
        own = self._own()
        if now >= self._next_sweep:
            self._next_sweep = now + _SWEEP_SECONDS
            self.home.sweep()
        shared = self.home.presence.wanted
        if not serving and not shared and not any(folder != own for folder in self.home.journals()):
            return False
        store = self._open_store()
        self.home.judge(store)
        if serving and now >= self._next_lease:
            self._next_lease = now + _LEASE_SECONDS
            self.home.end_leases(store)
        taken = self.home.visit(store, self.settings.drain_batch * _BACKLOG_FACTOR, own=own, everyone=serving)
        if taken:
            self._moved_on(self.home.last_change)
        return taken > 0

    def _see_to_drainer(self) -> None:
        now = time.monotonic()
        if self.settings.drain == "process" and now >= self._next_call and not self.home.served_by_another():
            self._next_call = now + 2.0
            self._call_drainer()

    def _moved_on(self, change: int) -> None:
        if change:
            self._publish(change)
        with self._moved:
            self._moved.notify_all()

    def _care(self) -> None:
        journal = self._journal
        if journal is None:
            return
        journal.make_spare()
        if (now := time.monotonic()) >= self._next_care:
            self._next_care = now + _CARE_SECONDS
            journal.touch()
            journal.reassess()

    def _failed(self, text: str, bug: Exception | None = None) -> None:
        self._failures += 1
        self.failing_since = self.failing_since or time.monotonic()
        self.home.presence.lost_touch()
        if text != self.last_error:
            log.warning("execlog: the store cannot take records, they wait in the journal: %s", text, exc_info=bug)
        self.last_error = text
        try:
            self._care()
            if self._journal is not None:
                # The store may be down for long: what was accepted should survive a power cut too.
                self._journal.sync()
        except OSError as broken:
            log.warning("execlog: the journal's disk fails: %s", broken)

    def _rest(self) -> None:
        if self._failures and not self._stopping:
            # Whoever waits in `flush` may cut a long wait short, but not have the store asked without a pause.
            self._halt.wait(_BACKOFF_LEAST)
            self._wake.wait(min(_BACKOFF_LEAST * 2 ** min(self._failures - 1, 10), _BACKOFF_MOST) - _BACKOFF_LEAST)
        else:
            self._wake.wait(self.settings.drain_interval)
        self._wake.clear()
