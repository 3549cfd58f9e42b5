"""The scheduler: claims due jobs, runs them, and settles what became of them.

Any number of schedulers may work on one job store; see `execlog.store.jobs` for why none runs a (job, instant)
twice. A turn:

    settle results → renew leases, hear of cancellations → look after dead holders → fire due jobs, claim what waits
    → begin (durably) → run

Several executions share each of these steps' transactions. Between turns it sleeps until the next due time, at most
`poll` seconds, so that what other processes put into the store and jumps of the clock are seen soon; `wake` ends the
sleep at once.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Sequence

from execlog.core.clock import Clock
from execlog.core.errors import ExeclogError, StoreError
from execlog.core.model import Error, Event, Status
from execlog.ledger import Ledger
from execlog.runner.firing import Claimed, decode_job, follow_up, order_of, queued_event, step_of
from execlog.runner.job import Job
from execlog.runner.order import Order, Result
from execlog.runner.runner import Runner
from execlog.runner.salvage import Salvage
from execlog.store.jobs import Entry, Firing, JobStore

log = logging.getLogger("execlog")
KIND = "job"
_BATCH = 1_000
_QUICK = 0.02
_QUICK_FACTOR = 5
_WEIGHT = 0.05
_PAUSE_AFTER_ERROR = 1.0
_SECOND = 1_000_000
_STOPPED = "the scheduler was stopped"


class Scheduler:
    """Runs the jobs of a store. `start` it, `stop` it; or call `turn` to do one step by hand.

    room    most executions in flight at once; five times as many while they last milliseconds only, so that one
            transaction serves more of them
    lease   seconds a claim holds without renewal: how long others wait before they take over from a dead scheduler
    poll    longest sleep between turns, seconds
    """

    def __init__(
        self,
        ledger: Ledger,
        jobs: JobStore,
        runner: Runner,
        *,
        room: int = 200,
        lease: float | None = None,
        poll: float = 0.5,
        clock: Clock | None = None,
    ) -> None:
        self.jobs = jobs
        self.runner = runner
        self.holder = ledger.new_id()
        self._ledger = ledger
        self._clock = clock or ledger.clock
        self._room = room
        self._mean_seconds = 1.0
        self._lease = round((ledger.settings.job_lease if lease is None else lease) * _SECOND)
        self._poll = poll
        self._woken = threading.Event()
        self._stopping = threading.Event()
        self._thread: threading.Thread | None = None
        self._decoded: dict[str, tuple[int, Job]] = {}
        self._flying: dict[str, Claimed] = {}
        self._results: list[tuple[Claimed, Result]] = []
        self._lock = threading.Lock()
        self._trouble = ""
        self._look_at = 0.0
        self._renew_at = 0.0
        self._salvage = Salvage(ledger, jobs, self.holder, self._lease, self._job_of)

    @property
    def in_flight(self) -> int:
        """How many executions it runs."""
        return len(self._flying)

    def start(self) -> None:
        """Work in a thread of its own until `stop`."""
        if self._thread is None:
            self._thread = threading.Thread(target=self._serve, name="execlog-scheduler", daemon=True)
            self._thread.start()

    def wake(self) -> None:
        """Look for work now: a job was made or changed, or something is to run at once."""
        self._look_at = 0.0
        self._woken.set()

    def stop(self, *, timeout: float = 2.5, patience: float = 0.0) -> None:
        """Claim no more, let what runs go on for `patience` seconds, then cancel it; settle, and give claims back.

        What it cancels is retried where its job has retries, by another scheduler or the next one of this process.
        Takes about `patience` plus `timeout` seconds at most. Stopping twice is fine.
        """
        self._stopping.set()
        self._woken.set()
        if self._thread is not None:
            self._thread.join(timeout)
            self._thread = None
        deadline = time.monotonic() + patience
        while self._flying_unsettled() and time.monotonic() < deadline:
            self._stopping.wait(0)
            self._woken.wait(0.05)
            self._woken.clear()
        self.runner.close(timeout=timeout, reason=_STOPPED)
        try:
            self._settle()
            self.jobs.renew(self.holder, lease_until=0)
        except StoreError as error:
            log.warning("the scheduler could not sign off, others take over when its leases end: %s", error)

    def turn(self) -> float:
        """Do what is due; and how many seconds may pass until the next turn. Raises StoreError."""
        now = self._clock.now()
        self._settle()
        self._keep_leases(now)
        self._salvage.look(now)
        room = self._room * (_QUICK_FACTOR if self._mean_seconds < _QUICK else 1) - len(self._flying)
        claimed, wake_at = self._fire(now, room) if room > 0 else ([], None)
        if time.monotonic() >= self._look_at and len(claimed) < room:
            claimed += self._claim(now, room - len(claimed))
            self._look_at = time.monotonic() + self._until(wake_at)
        self._begin(claimed)
        return 0.0 if claimed and len(claimed) >= min(room, _BATCH) else self._until(wake_at)

    def _until(self, at: int | None) -> float:
        """Seconds until then, at most `poll`."""
        return self._poll if at is None else min(max((at - self._clock.now()) / _SECOND, 0.0), self._poll)

    def _serve(self) -> None:
        seconds = 0.0
        while not self._stopping.is_set():
            self._woken.wait(seconds)
            self._woken.clear()
            if self._stopping.is_set():
                return
            try:
                seconds = self.turn()
                self._say("")
            except ExeclogError as error:
                self._say(str(error))
                seconds = _PAUSE_AFTER_ERROR
            except Exception:
                log.exception("the scheduler goes on after an unexpected error")
                seconds = _PAUSE_AFTER_ERROR

    def _say(self, trouble: str) -> None:
        """Tell the log of trouble when it begins, changes and ends: a store may be away for long."""
        if trouble != self._trouble:
            log.warning(
                "the scheduler goes on after an error: %s" if trouble else "the scheduler works again%s", trouble
            )
        self._trouble = trouble

    def _fire(self, now: int, room: int) -> tuple[list[Claimed], int | None]:
        """What is claimed of the jobs that are due, and when the next thing is."""
        due = self.jobs.due(now, limit=min(room, _BATCH))
        if not due.entries:
            return [], due.wake_at
        jobs = {entry.id: self._job_of(entry) for entry in due.entries}
        steps = [
            step_of(entry, jobs[entry.id], now, self.holder, self._lease, self._ledger.new_id) for entry in due.entries
        ]
        made = self.jobs.advance(steps)
        claimed: list[Claimed] = []
        for firing in made:
            job = jobs[firing.job_id]
            if job is None:
                continue
            if firing.state == "waiting":
                self._ledger.append(queued_event(firing, job, self._ledger.recorder.stamp()))
                self._look_at = 0.0
            else:
                claimed.append(Claimed(firing, job))
        return claimed, due.wake_at

    def _claim(self, now: int, room: int) -> list[Claimed]:
        """What waited, or was claimed by one who is gone, and is claimed by this scheduler now."""
        claimed: list[Claimed] = []
        orphans: list[Firing] = []
        for firing in self.jobs.claim(self.holder, now=now, lease_until=now + self._lease, limit=min(room, _BATCH)):
            entry = self.jobs.get(firing.job_id)
            job = None if entry is None else self._job_of(entry)
            if job is None:
                orphans.append(firing)
            else:
                claimed.append(Claimed(firing, job))
        for firing in orphans:
            self._say_dropped(firing)
        self.jobs.settle(orphans)
        return claimed

    def _begin(self, claimed: Sequence[Claimed]) -> None:
        """Start what is still this scheduler's, durably, and run it."""
        if not claimed:
            return
        jobs = {it.firing.key: it.job for it in claimed}
        for firing in self.jobs.begin([it.firing for it in claimed]):
            begun = Claimed(firing, jobs[firing.key])
            self._flying[firing.execution_id] = begun
            self.runner.start(order_of(begun, KIND), self._note)
            if firing.cancel:
                self.runner.cancel(firing.execution_id, "cancelled before it began")

    def _note(self, order: Order, result: Result) -> None:
        """Take a result; called from the runner's thread."""
        with self._lock:
            self._results.append((self._flying[order.execution_id], result))
        self._woken.set()

    def _settle(self) -> None:
        """Free the claims of what has ended, and plan the retries, in one transaction."""
        with self._lock:
            ended, self._results = self._results, []
        if not ended:
            return
        for _, result in ended:
            self._mean_seconds += (result.duration - self._mean_seconds) * _WEIGHT
        now = self._clock.now()
        retries = [
            retry
            for it, result in ended
            if (retry := follow_up(it, _owing(result), result.unsuccessful, now, self._ledger.new_id)) is not None
        ]
        try:
            settled = self.jobs.settle([it.firing for it, _ in ended], follow=retries)
        except StoreError:
            with self._lock:
                self._results = ended + self._results
            raise
        jobs = {it.firing.job_id: it.job for it, _ in ended}
        for retry in settled.retries:
            self._ledger.append(queued_event(retry, jobs[retry.job_id], self._ledger.recorder.stamp()))
        if retries or any(it.firing.overlap != "allow" for it, _ in ended):
            self._look_at = 0.0
        for it, _ in ended:
            self._flying.pop(it.firing.execution_id, None)

    def _keep_leases(self, now: int) -> None:
        if not self._flying or time.monotonic() < self._renew_at:
            return
        self._renew_at = time.monotonic() + min(self._lease / _SECOND / 3, 1.0)
        for firing in self.jobs.renew(self.holder, lease_until=now + self._lease):
            known = self.jobs.get(firing.job_id) is not None
            self.runner.cancel(firing.execution_id, "cancelled on request" if known else "the job was deleted")

    def _flying_unsettled(self) -> bool:
        with self._lock:
            return len(self._flying) > len(self._results)

    def _job_of(self, entry: Entry) -> Job | None:
        """The job in an entry; None, said once in the log, for a definition this version cannot read."""
        known = self._decoded.get(entry.id)
        if known is not None and known[0] == entry.version:
            return known[1]
        try:
            job = decode_job(entry)
        except ExeclogError as error:
            log.warning("job %s cannot be read, it is not run: %s", entry.id, error)
            return None
        if len(self._decoded) > 100_000:  # noqa: PLR2004 - a bound for memory, not a measure
            self._decoded.clear()
        self._decoded[entry.id] = (entry.version, job)
        return job

    def _say_dropped(self, firing: Firing) -> None:
        at = self._ledger.recorder.stamp()
        error = Error(type="Cancelled", message="the job was deleted or became unreadable before it ran")
        event = Event(
            id=firing.execution_id,
            kind=KIND,
            at=at,
            status=Status.CANCELLED,
            subject=firing.job_id,
            queued_at=min(firing.due_at, at),
            ended_at=at,
            error=error,
            actor=firing.triggered_by,
        )
        self._ledger.append(event)


def _owing(result: Result) -> Status:
    """The status its retries go by: what a scheduler's stop cuts short is owed one, as what its death does."""
    cut_short = result.status is Status.CANCELLED and result.error is not None and result.error.message == _STOPPED
    return Status.CRASHED if cut_short else result.status
