"""Looking after what dead schedulers left: what had started is never run again, but it is not left open either."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence

from execlog.core.filter import Filter
from execlog.core.model import TERMINAL, Error, Event, Execution, Status
from execlog.ledger import Ledger
from execlog.runner.firing import Claimed, follow_up, queued_event, unsuccessful
from execlog.runner.job import Job
from execlog.store.jobs import Entry, Firing, FiringKey, JobStore

_SECOND = 1_000_000
_LEASES_UNTIL_LOST = 3
"""After so many leases without a word, a firing whose execution nobody ever heard of counts as lost."""


class Salvage:
    """Ends the firings of schedulers that are gone, once the history says what became of their executions.

    That a lease ran out is no proof of death (a stopped or slow process misses it too), so the history decides: it
    calls an execution crashed only when its process is known to be gone. The retry that a crash is owed is planned
    here.
    """

    def __init__(
        self, ledger: Ledger, jobs: JobStore, holder: str, lease: int, job_of: Callable[[Entry], Job | None]
    ) -> None:
        self._ledger = ledger
        self._jobs = jobs
        self._holder = holder
        self._lease = lease
        self._job_of = job_of
        self._look_at = 0.0
        self._expired_at: dict[FiringKey, float] = {}

    def look(self, now: int) -> int:
        """How many firings were ended; it looks every two seconds, or twice a lease. Raises StoreError."""
        if time.monotonic() < self._look_at:
            return 0
        self._look_at = time.monotonic() + min(self._lease / _SECOND / 2, 2.0)
        others = [it for it in self._jobs.firings() if it.state == "started" and it.holder != self._holder]
        if not others:
            self._expired_at.clear()
            return 0
        self._ledger.drain_dead()
        seen = time.monotonic()
        expired = [it for it in others if it.lease_until < now]
        self._expired_at = {it.key: self._expired_at.get(it.key, seen) for it in expired}
        crashed = self._crashed([it for it in others if it.lease_until >= now])
        return sum(self._end(firing, now) for firing in expired + crashed)

    def _crashed(self, firings: Sequence[Firing]) -> list[Firing]:
        """Those whose process is known to be dead: no need to wait for their leases."""
        if not firings:
            return []
        ids = tuple(firing.execution_id for firing in firings)
        wanted = Filter(kind="job", namespace="", ids=ids, statuses=(Status.CRASHED,))
        dead = {execution.id for execution in self._ledger.store.find(wanted, limit=len(ids)).entries}
        return [firing for firing in firings if firing.execution_id in dead]

    def _end(self, firing: Firing, now: int) -> bool:
        execution = self._ledger.store.get(firing.execution_id, kind="job", namespace="")
        if execution is None or execution.status is Status.QUEUED:
            # By the clock that does not jump: when the wall clock does, every lease looks long over.
            if time.monotonic() - self._expired_at[firing.key] < self._lease / _SECOND * _LEASES_UNTIL_LOST:
                return False
            self._say_lost(firing)
            return self._settle(firing, Status.CRASHED, None, now)
        if execution.status not in TERMINAL:
            return False
        return self._settle(firing, execution.status, execution, now)

    def _settle(self, firing: Firing, status: Status, execution: Execution | None, now: int) -> bool:
        entry = self._jobs.get(firing.job_id)
        job = None if entry is None else self._job_of(entry)
        retry = None
        if job is not None:
            again = () if execution is None else unsuccessful(execution, firing.items or job.stocks)
            retry = follow_up(Claimed(firing, job), status, again, now, self._ledger.new_id)
        settled = self._jobs.settle([firing], follow=[] if retry is None else [retry])
        if settled.retries and job is not None:
            self._ledger.append(queued_event(settled.retries[0], job, self._ledger.recorder.stamp()))
        return settled.ended > 0

    def _say_lost(self, firing: Firing) -> None:
        at = self._ledger.recorder.stamp()
        message = "its scheduler was gone before it could say anything about it"
        self._ledger.append(
            Event(
                id=firing.execution_id,
                kind="job",
                at=at,
                status=Status.CRASHED,
                subject=firing.job_id,
                actor=firing.triggered_by,
                queued_at=min(firing.instant, at),
                ended_at=at,
                error=Error(type="Crashed", message=message),
            )
        )
