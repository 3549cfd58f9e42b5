"""`ExecutionHistoryRegistry`: the history of jobs, over any ledger or store."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from typing import cast

from execlog.core.clock import Clock, SystemClock
from execlog.core.filter import Filter
from execlog.core.model import Event, Execution, Status
from execlog.kinds.jobs.record import KIND, JobExecutionRecord, event_of, record_of, statuses_for
from execlog.ledger import Ledger
from execlog.store.base import Part, Store

PARTS: frozenset[Part] = frozenset({"items", "detail"})
_FLUSH_SECONDS = 10.0


class ExecutionHistoryRegistry:
    """Saves and finds executions of jobs; lists are newest first and show what has ended, unless a status is asked for.

    Over a ledger a save is in the journal when it returns (it survives a kill of the process, and the store may be
    down); a read of this registry waits until the store has its own saves. Over a store a save is a transaction.
    Thread-safe.
    """

    def __init__(self, history: Ledger | Store, *, clock: Clock | None = None) -> None:
        self.ledger = history if isinstance(history, Ledger) else None
        self._store = history if not isinstance(history, Ledger) else None
        self._clock = clock or SystemClock()
        self._lock = threading.Lock()
        self._last_at = 0
        self._unread = False

    def save_execution(self, record: JobExecutionRecord) -> bool:
        """Whether the record was taken in. Saving an execution again updates it; one that ended is not running again.

        Raises InvalidError for an id or status that cannot be, and, over a bare store, StoreError.
        """
        return self.append([event_of(record, self.stamp())])

    def get_execution(self, execution_id: str) -> JobExecutionRecord | None:
        """The record of this id, running ones too; None when there is none."""
        found = self.find(execution_id)
        return None if found is None else record_of(found)

    def get_job_history(self, job_id: str, limit: int = 50, status: str | None = None) -> list[JobExecutionRecord]:
        """The newest records of a job, at most `limit` (1 to 1000), with this status where one is given.

        Running and queued ones only where their status is asked for. Raises InvalidError for an unknown status or a
        limit out of range.
        """
        page = self._reader().find(_of(job_id, statuses_for(status)), limit=limit, parts=PARTS)
        return [record_of(execution) for execution in page.entries]

    def get_latest_execution(self, job_id: str) -> JobExecutionRecord | None:
        """The newest record of a job that has ended; None when there is none."""
        found = self.get_job_history(job_id, limit=1)
        return found[0] if found else None

    def delete_execution(self, execution_id: str) -> bool:
        """Whether there was such an execution. One deleted while it runs stays deleted."""
        return self._reader().delete(Filter(kind=KIND, namespace="", ids=(execution_id,))) > 0

    def delete_job_history(self, job_id: str) -> int:
        """How many executions of the job were removed: all that have ended; what runs is still to come."""
        return self._reader().delete(_of(job_id, statuses_for(None)))

    def get_execution_count(self, job_id: str) -> int:
        """How many executions of the job have ended and are kept."""
        return self._reader().count(_of(job_id, statuses_for(None)))

    def find(self, execution_id: str) -> Execution | None:
        """The whole execution behind a record; None when there is none."""
        found = self._reader().get(execution_id, kind=KIND, namespace="")
        # A scheduler beside us may have told the ledger of it only: what it runs is known before it is stored.
        if found is None and self.ledger is not None and self.ledger.flush(timeout=_FLUSH_SECONDS):
            return self.ledger.store.get(execution_id, kind=KIND, namespace="")
        return found

    def knows(self, job_id: str) -> bool:
        """Whether there is any execution of the job, running and queued ones included."""
        return bool(self._reader().find(_of(job_id), limit=1).entries)

    def running(self, job_id: str) -> list[Execution]:
        """The job's open executions, newest first."""
        return list(self._reader().find(_of(job_id, (Status.RUNNING, Status.QUEUED)), limit=1000).entries)

    @property
    def origin(self) -> str | None:
        """The process as executions name it, None where nobody would notice its death."""
        return None if self.ledger is None else self.ledger.recorder.origin

    def append(self, events: Sequence[Event]) -> bool:
        """Whether the events were taken in: all of them, by a ledger's journal or in a store's transaction."""
        if self._store is not None:
            self._store.apply(events)
            return True
        self._unread = True
        return self.ledger is not None and False not in [self.ledger.append(event) for event in events]

    def _reader(self) -> Store:
        """The store, once it has what this registry saved before."""
        if self._store is not None or self.ledger is None:
            return cast("Store", self._store)
        if self._unread:
            self._unread = False
            self._unread = not self.ledger.flush(timeout=_FLUSH_SECONDS)
        return self.ledger.store

    def stamp(self) -> int:
        """Now in UTC µs, later than the stamp before, so that the later of two saves holds."""
        if self.ledger is not None:
            return self.ledger.recorder.stamp()
        with self._lock:
            self._last_at = max(self._clock.now(), self._last_at + 1)
            return self._last_at


def _of(job_id: str, statuses: tuple[Status, ...] = ()) -> Filter:
    """A job's executions; with their namespace, so that Redis reads the job's own index, which others write too."""
    return Filter(kind=KIND, namespace="", subject=job_id, statuses=statuses)
