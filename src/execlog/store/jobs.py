"""The port of a store that keeps jobs: their definitions, and the claims of due ones.

A (job, instant, attempt) is run at most once by construction. `advance` moves a job's `next_at` and makes its
firings in one atomic step that only one scheduler can win; a firing is `claimed` under a lease by one holder with a
fencing number that every new claim raises; `begin` is a compare-and-set from claimed to started with that number,
durable before the work runs. A claim whose lease ran out may be claimed again; what had started is never started again.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal, NamedTuple, Protocol, runtime_checkable

from msgspec import Struct

from execlog.core.errors import ConflictError, InvalidError
from execlog.core.filter import Page

State = Literal["waiting", "claimed", "started"]
Overlap = Literal["skip", "queue", "allow"]
_DIGITS = 20
MAX_WAITING = 100
"""Most firings of one job that wait in line; further ones are dropped and counted."""


class Entry(Struct, frozen=True, kw_only=True):
    """A job as a store keeps it. The definition is plain JSON, read by whoever runs it.

    version   raised by every `put`; the number to compare and set with
    next_at   the first instant not dealt with, UTC µs; None: nothing to come. `due_at` is when it may start (jitter)
    last_at   the last instant dealt with: no later change of the job brings it back
    skipped   how many instants were dropped so far (misfires, overlaps)
    """

    id: str
    definition: dict[str, Any]
    version: int = 0
    enabled: bool = True
    next_at: int | None = None
    due_at: int | None = None
    last_at: int | None = None
    skipped: int = 0
    created_at: int = 0
    updated_at: int = 0


class FiringKey(NamedTuple):
    """The identity of a firing."""

    job_id: str
    instant: int
    attempt: int


class Firing(Struct, frozen=True, kw_only=True):
    """One run that is due: of a job's instant, of a hand that asked for it, or a retry (attempt 2 and up).

    overlap   what becomes of it while another run of the job is going
    manual    asked for by hand: it runs although the job is paused
    items     only these; None: all of the job's
    cancel    somebody asked that it ends
    """

    job_id: str
    instant: int
    attempt: int = 1
    execution_id: str
    due_at: int
    state: State = "waiting"
    holder: str = ""
    fence: int = 0
    lease_until: int = 0
    overlap: Overlap = "allow"
    manual: bool = False
    triggered_by: str = "schedule"
    retry_of: str | None = None
    root_id: str | None = None
    items: tuple[str, ...] | None = None
    cancel: bool = False

    @property
    def key(self) -> FiringKey:
        """Its identity."""
        return FiringKey(self.job_id, self.instant, self.attempt)


class Advance(Struct, frozen=True, kw_only=True):
    """A step of a job's schedule: from the `next_at` and version it was planned with to the next, with its firings."""

    job_id: str
    version: int
    was_at: int
    next_at: int | None
    due_at: int | None
    last_at: int
    skipped: int = 0
    firings: tuple[Firing, ...] = ()


class Due(NamedTuple):
    """The jobs that are due, and when to look again: the earliest thing that is not due yet."""

    entries: list[Entry]
    wake_at: int | None


class Settled(NamedTuple):
    """How many firings ended, and the retries that were made of them."""

    ended: int
    retries: list[Firing]


class JobStore(Protocol):
    """Where jobs and their firings are kept. Every method is atomic and durable when it returns; raises StoreError."""

    def put(self, entry: Entry, *, expected: int | None) -> Entry:
        """The entry as kept, its version raised. `expected` None makes a new one.

        Raises ConflictError when the id is taken, when the version is another one by now, or when the job's schedule
        moved on (`last_at`) since it was read, so that a stale `next_at` never brings an instant back; NotFoundError
        when it is gone. `skipped` stays as it is.
        """
        ...

    def get(self, job_id: str) -> Entry | None:
        """The job, or None."""
        ...

    def list(self, *, limit: int = 50, cursor: str | None = None) -> Page[Entry]:
        """A page of jobs, the newest made first."""
        ...

    def remove(self, job_id: str) -> list[Firing] | None:
        """The job's firings, cancelled as by `cancel`, in the step that removes it; None where there is no such job."""
        ...

    def due(self, now: int, *, limit: int) -> Due:
        """Enabled jobs due by `now`, the most overdue first; the earliest later due time of a job or waiting firing."""
        ...

    def advance(self, advances: Sequence[Advance]) -> list[Firing]:
        """The firings made by those steps whose job was still as planned, in the state they got.

        A firing that overlaps is dropped (and counted) or left waiting, as its `overlap` says; see `admit`.
        """
        ...

    def enqueue(self, firing: Firing) -> Firing:
        """The firing, waiting; its instant moved up by microseconds when that one is taken.

        Raises ConflictError when it overlaps and its policy is to skip, or its line is full, NotFoundError when the job
        is gone.
        """
        ...

    def claim(self, holder: str, *, now: int, lease_until: int, limit: int) -> list[Firing]:
        """Firings `holder` claims now: waiting ones that are due and may run, claimed ones whose lease ran out."""
        ...

    def begin(self, firings: Sequence[Firing]) -> list[Firing]:
        """Those of the firings that are still this holder's with this fence: started now, once and for all."""
        ...

    def renew(self, holder: str, *, lease_until: int) -> list[Firing]:
        """The holder's firings that somebody asked to cancel; all of its leases are moved to `lease_until`."""
        ...

    def settle(self, firings: Sequence[Firing], *, follow: Sequence[Firing] = ()) -> Settled:
        """How many firings ended, those whose holder and fence are still these, and which retries were made.

        A retry in `follow` is made only if the firing with its (job, instant) and the attempt before ended here,
        nobody asked to cancel that one, and its job is still there.
        """
        ...

    def cancel(self, job_id: str) -> list[Firing]:
        """The job's firings, as they were: waiting ones are gone now, the others are flagged for their holders."""
        ...

    def firings(self, *, job_id: str | None = None, expired_at: int | None = None, limit: int = 1000) -> list[Firing]:
        """Firings by due time: of a job, and/or started ones whose lease ran out before `expired_at`."""
        ...

    def close(self) -> None:
        """Release connections. Closing twice is fine."""
        ...


@runtime_checkable
class KeepsJobs(Protocol):
    """A store of executions that keeps jobs too."""

    def open_jobs(self) -> JobStore:
        """Its jobs; to be closed by the caller, before the store is."""
        ...


def admit(firing: Firing, *, running: int, waiting: int) -> State | None:
    """What becomes of a new firing beside `running` (claimed, started) and `waiting` (no retries) ones of its job.

    None: dropped. A waiting one may be claimed as soon as its policy allows.
    """
    if firing.overlap == "allow":
        return firing.state
    if not running and not waiting:
        return firing.state
    if firing.overlap == "skip" or waiting >= MAX_WAITING:
        return None
    return "waiting"


def encode_job_cursor(entry: Entry) -> str:
    """A cursor for the jobs after this one."""
    return f"{entry.created_at}.{entry.id}"


def decode_job_cursor(cursor: str) -> tuple[int, str]:
    """The (created_at, id) a cursor stands for. Raises InvalidError."""
    at, dot, job_id = cursor.partition(".")
    if not dot or not at.lstrip("-").isascii() or not at.lstrip("-").isdigit() or len(at) > _DIGITS:
        raise InvalidError("this cursor is not one of ours: use next_cursor as it was given", field="cursor")
    return int(at), job_id


def refused(firing: Firing) -> ConflictError:
    """The error of a run that its overlap policy does not let in."""
    if firing.overlap == "queue":
        return ConflictError(f"{MAX_WAITING} runs of job {firing.job_id!r} wait in line already: that is the most")
    return ConflictError(f"job {firing.job_id!r} is running; cancel that first, or let its overlap be queue or allow")


def taken(job_id: str) -> ConflictError:
    """The error of a new job under an id that is in use."""
    return ConflictError(f"there is a job {job_id!r} already")


def changed(job_id: str, expected: int, version: int) -> ConflictError:
    """The error of a change made on an older version."""
    moved = f"is at version {version} by now, not {expected}" if version != expected else "ran meanwhile"
    return ConflictError(f"job {job_id!r} {moved}: read it again")
