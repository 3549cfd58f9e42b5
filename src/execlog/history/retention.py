"""Keeping a history from growing without end: ended executions past their age are removed, a day's worth at a time."""

from __future__ import annotations

import logging
import threading

from msgspec.structs import replace

from execlog.core.errors import ExeclogError
from execlog.core.filter import Filter
from execlog.core.model import TERMINAL
from execlog.ledger import Ledger
from execlog.store.base import Store

DAY = 86_400_000_000
EVERY_SECONDS = 3_600.0
_ENDED = tuple(TERMINAL)
_log = logging.getLogger("execlog.retention")


def remove_before(
    store: Store, before: int, *, among: Filter | None = None, stopping: threading.Event | None = None
) -> int:
    """How many ended executions created before this moment (UTC µs), of those asked for, were removed.

    A day's worth is removed in one step, oldest first, so that writers wait for one of these at most; what is left when
    `stopping` is set goes the next time. Open executions stay, however old.
    """
    removed = 0
    asked = replace(among or Filter(), statuses=_ENDED, until=before, sort="oldest")
    while stopping is None or not stopping.is_set():
        oldest = store.find(asked, limit=1).entries
        if not oldest:
            break
        until = min(oldest[0].created_at - oldest[0].created_at % DAY + DAY, before)
        removed += store.delete(replace(asked, until=until, sort="newest"), keep_marks=False)
    return removed


class Retention:
    """A thread that keeps a ledger to its `retention_days`; it does nothing where that is 0."""

    def __init__(self, ledger: Ledger, days: int) -> None:
        self._ledger = ledger
        self._days = days
        self._stopping = threading.Event()
        self._thread: threading.Thread | None = None

    def start(self) -> None:
        """Begin: now, and then every hour."""
        if self._days > 0:
            self._thread = threading.Thread(target=self._keep, name="execlog-retention", daemon=True)
            self._thread.start()

    def stop(self, timeout: float = 1.0) -> None:
        """End it after the step it is at, waited for at most `timeout` seconds."""
        self._stopping.set()
        if self._thread is not None:
            self._thread.join(timeout)

    def _keep(self) -> None:
        while not self._stopping.is_set():
            try:
                before = self._ledger.clock.now() - self._days * DAY
                removed = remove_before(self._ledger.store, before, stopping=self._stopping)
            except ExeclogError as error:
                _log.warning(
                    "what is older than %d days could not be removed, and will be later: %s", self._days, error
                )
            else:
                if removed:
                    _log.info("%d executions older than %d days were removed", removed, self._days)
            self._stopping.wait(EVERY_SECONDS)
