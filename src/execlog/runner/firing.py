"""From a due job to its firings, from a firing to what is run, from a result to its retry: pure functions."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import msgspec

from execlog.core.clock import iso
from execlog.core.codec import convert
from execlog.core.errors import InvalidError
from execlog.core.model import Event, Execution, Status
from execlog.runner.job import Job, Retries
from execlog.runner.order import Order
from execlog.runner.triggers import due_at, plan
from execlog.store.jobs import Advance, Entry, Firing

RETRIED = frozenset({Status.FAILED, Status.PARTIAL, Status.TIMED_OUT, Status.CRASHED})
_SECOND = 1_000_000
NewId = Callable[[], str]


class Claimed(NamedTuple):
    """A firing that this scheduler holds, and its job as it was when it was claimed."""

    firing: Firing
    job: Job


def decode_job(entry: Entry) -> Job:
    """The job in a store's entry. Raises InvalidError."""
    return convert(entry.definition, Job)


def encode_job(job: Job) -> dict[str, object]:
    """The job as a store keeps it: plain JSON. Raises InvalidError for a value that JSON does not have."""
    try:
        plain = msgspec.to_builtins(job)
        msgspec.json.encode(plain)
    except (TypeError, ValueError, RecursionError, OverflowError) as error:
        raise InvalidError(f"a job must be plain JSON: {error}") from error
    return plain


def step_of(entry: Entry, job: Job | None, now: int, holder: str, lease: int, new_id: NewId) -> Advance:
    """The step of a due job's schedule, its firings claimed by `holder`. An unreadable job goes off the schedule."""
    was_at = entry.next_at or 0
    if job is None:
        return Advance(job_id=entry.id, version=entry.version, was_at=was_at, next_at=None, due_at=None, last_at=was_at)
    planned = plan(job, was_at, now)
    # A backlog that is to run as a whole cannot be dropped because its own first run is still going.
    overlap = "queue" if planned.late and job.overlap == "skip" else job.overlap
    firings = tuple(
        Firing(
            job_id=entry.id,
            instant=instant,
            execution_id=new_id(),
            due_at=due_at(job, instant),
            state="claimed",
            holder=holder,
            fence=1,
            lease_until=now + lease,
            overlap=overlap,
        )
        for instant in planned.instants
    )
    return Advance(
        job_id=entry.id,
        version=entry.version,
        was_at=was_at,
        next_at=planned.next_at,
        due_at=None if planned.next_at is None else due_at(job, planned.next_at),
        last_at=planned.last_at,
        skipped=planned.skipped,
        firings=firings,
    )


def order_of(claimed: Claimed, kind: str) -> Order:
    """What is to be run for a claimed firing."""
    firing, job = claimed
    metadata = {} if firing.manual else {"scheduled_for": iso(firing.instant)}
    return Order(
        execution_id=firing.execution_id,
        job=job,
        kind=kind,
        items=firing.items,
        queued_at=wanted_at(firing),
        triggered_by=firing.triggered_by,
        attempt=firing.attempt,
        retry_of=firing.retry_of,
        root_id=firing.root_id,
        metadata=metadata,
    )


def queued_event(firing: Firing, job: Job, at: int, kind: str = "job") -> Event:
    """The event that says that a firing waits. It names no process: nobody's death makes what waits crash."""
    return Event(
        id=firing.execution_id,
        kind=kind,
        at=at,
        status=Status.QUEUED,
        name=job.name,
        subject=job.id,
        actor=firing.triggered_by,
        queued_at=wanted_at(firing),
        retry_of=firing.retry_of,
        root_id=firing.root_id,
    )


def wanted_at(firing: Firing) -> int:
    """When the run was wanted: its instant; for a retry, when it is due again."""
    return firing.instant if firing.attempt == 1 else firing.due_at


def unsuccessful(execution: Execution, stocks: tuple[str, ...]) -> tuple[str, ...]:
    """Those of these stocks that did not succeed in an execution; where not all of its items are told, all others.

    An execution that crashed knows the items that ended; what had not begun, or was not told any more, is none.
    """
    succeeded = {item.key for item in execution.items if item.status is Status.SUCCEEDED}
    told = {item.key for item in execution.items}
    whole = execution.total is not None and len(told) >= execution.total
    return tuple(stock for stock in stocks if stock not in succeeded and (not whole or stock in told))


def follow_up(claimed: Claimed, status: Status, left: tuple[str, ...], now: int, new_id: NewId) -> Firing | None:
    """The retry that follows an execution that ended so, over what is `left` of its items; None where none is due."""
    firing, job = claimed
    if status not in RETRIED or firing.attempt > job.retries.limit:
        return None
    items = left if job.retries.failed_only and left and job.stocks else firing.items
    return Firing(
        job_id=firing.job_id,
        instant=firing.instant,
        attempt=firing.attempt + 1,
        execution_id=new_id(),
        due_at=now + round(backoff(job.retries, firing.attempt) * _SECOND),
        overlap=job.overlap,
        manual=firing.manual,
        triggered_by="retry",
        retry_of=firing.execution_id,
        root_id=firing.root_id or firing.execution_id,
        items=items,
    )


def backoff(retries: Retries, attempt: int) -> float:
    """Seconds to wait after attempt number `attempt` (1 is the first)."""
    return min(retries.backoff * retries.factor ** (attempt - 1), retries.max_backoff)
