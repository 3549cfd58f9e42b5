"""Whether the server does its work: `/healthz`."""

from __future__ import annotations

import threading
from concurrent.futures import Future
from typing import Literal

from msgspec import Struct

from execlog.core.errors import StoreError
from execlog.kind import Call, Reply
from execlog.ledger import Ledger
from execlog.recorder.home import Losses, Standing
from execlog.recorder.journal import is_short_of_space
from execlog.web.feed import Feeds
from execlog.web.release import release

PATIENCE = 0.7
"""Seconds that a store has to answer: Kubernetes gives a probe one second."""

STALLED = 30.0
"""Seconds for which the store may refuse records: it may be restarted, or locked by somebody for a while."""


class HealthView(Struct, frozen=True, kw_only=True):
    """What is well: "ok", or "down" where the store does not answer, while recording goes on into the journal.

    "shedding" is where the journal cannot grow either, or its disk is nearly full: records are dropped. "stalled" is
    where the store answers, but has not taken a record for half a minute, since it is read-only, or full, or has a
    newer schema: the server's log says why.

    pending         records of this process the store does not have yet
    dropped         records that processes of this home could not take in, ever: their journals were full
    journals        processes of this home that record, or are gone and left something that the store does not have
    journal_bytes   what their journals take on disk
    """

    status: Literal["ok", "stalled", "shedding", "down"]
    version: str
    store: Literal["reachable", "unreachable"]
    pending: int
    dropped: int
    journals: int
    journal_bytes: int
    live_clients: int


class Health:
    """The handler that says whether the server does its work."""

    def __init__(self, ledger: Ledger, feeds: Feeds) -> None:
        self._ledger = ledger
        self._feeds = feeds
        self._lock = threading.Lock()
        self._asking: Future[bool] | None = None

    def check(self, call: Call) -> Reply:
        """The state of the store and of the journals: 200, or 503 where one of them takes nothing."""
        del call
        reachable = self._store_answers()
        standing = standing_of(self._ledger)
        status = "ok"
        if not reachable:
            status = "down"
        elif is_shedding(self._ledger):
            status = "shedding"
        elif self._ledger.failing_for > STALLED:
            status = "stalled"
        seen = HealthView(
            status=status,
            version=release(),
            store="reachable" if reachable else "unreachable",
            pending=self._ledger.stats().pending,
            dropped=sum(standing.losses.shed),
            journals=standing.journals,
            journal_bytes=standing.size,
            live_clients=self._feeds.clients,
        )
        return Reply(seen, status=200 if status == "ok" else 503)

    def _store_answers(self) -> bool:
        """Whether it does, soon: whoever probes gives up long before a connection does. One question at a time."""
        with self._lock:
            if self._asking is None or self._asking.done():
                self._asking = Future()
                threading.Thread(target=self._ask, args=(self._asking,), name="execlog-health", daemon=True).start()
            asking = self._asking
        try:
            return asking.result(timeout=PATIENCE)
        except TimeoutError:
            return False

    def _ask(self, answer: Future[bool]) -> None:
        try:
            self._ledger.store.changes(-1, limit=1)
        except StoreError:
            answer.set_result(False)
        except BaseException as error:
            answer.set_exception(error)
            raise
        else:
            answer.set_result(True)


def is_shedding(ledger: Ledger) -> bool:
    """Whether this process drops records, or would: its journal cannot grow."""
    if ledger.recorder.journal is not None:
        return ledger.recorder.journal.is_shedding
    home = ledger.settings.home
    return home.is_dir() and is_short_of_space(home, ledger.settings.journal_min_free)


def standing_of(ledger: Ledger) -> Standing:
    """How the journals of the home stand; as if there were none where they cannot be looked at."""
    try:
        return ledger.standing()
    except OSError:
        return Standing(0, 0, 0, Losses())
