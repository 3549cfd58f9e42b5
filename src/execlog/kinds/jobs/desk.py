"""Managing jobs: make, read, change, pause, run and cancel them. What runs them is a scheduler, here or elsewhere."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from typing import Any, cast

import msgspec
from msgspec import UNSET, Struct, UnsetType, structs

from execlog.core.clock import Clock, iso
from execlog.core.codec import builtins, convert
from execlog.core.errors import ConflictError, InvalidError, NotFoundError
from execlog.core.filter import Page
from execlog.core.ids import check_id
from execlog.core.model import OPEN, Error, Event, Execution, Status
from execlog.core.redact import Redactor
from execlog.kinds.jobs.changing import patched
from execlog.kinds.jobs.fetcher import config_of
from execlog.kinds.jobs.record import KIND
from execlog.kinds.jobs.registry import ExecutionHistoryRegistry
from execlog.kinds.jobs.sources import SourceConfig
from execlog.ledger import Ledger
from execlog.runner.firing import decode_job, encode_job, queued_event, unsuccessful
from execlog.runner.job import Fetch, Job, Once
from execlog.runner.stop import pause
from execlog.runner.triggers import after, anchored, due_at, with_anchor
from execlog.runner.validation import check_job, check_narrowed
from execlog.store.jobs import Entry, Firing, JobStore

log = logging.getLogger("execlog")

_SETTLE_SECONDS = 2.0
_SETTLE_LOOK = 0.01
_TRIES = 20
"""How often a change is tried anew because the job ran meanwhile."""


_DEFINED = frozenset(Job.__struct_fields__)


class JobView(Job, frozen=True, kw_only=True):
    """A job as the API shows it: its definition, secrets redacted, and where its schedule stands.

    version      raised by every change; send it as If-Match to change only what you have seen
    next_run_at  the next instant of its trigger, None: none
    last_run_at  the last instant dealt with
    skipped      how many instants were dropped, by misfire or overlap
    running      executions under way or waiting for one: their ids
    """

    version: int
    next_run_at: str | None = None
    last_run_at: str | None = None
    skipped: int = 0
    created_at: str
    updated_at: str
    running: tuple[str, ...] = ()


JobAgain: Any = msgspec.defstruct(
    "JobAgain",
    [(field.name, field.type | UnsetType, UNSET) for field in structs.fields(JobView) if field.name not in _DEFINED],
    bases=(Job,),
    frozen=True,
    kw_only=True,
    forbid_unknown_fields=True,
)
"""A job to replace one with; what only a `JobView` has may be sent along as it was read, and is not looked at."""


class RunRequest(Struct, frozen=True, forbid_unknown_fields=True):
    """What to run: the whole job, only these stocks, or an execution again (`failed_only`: what did not succeed)."""

    stocks: tuple[str, ...] | None = None
    retry_of: str | None = None
    failed_only: bool = True


_EVERYTHING = RunRequest()


class Started(Struct, frozen=True, kw_only=True):
    """An execution that was asked for: it is queued, and a scheduler takes it as soon as it can."""

    execution_id: str
    job_id: str
    status: str = "queued"
    stocks: tuple[str, ...] | None = None


class Cancelled(Struct, frozen=True):
    """What was asked to end: executions under way end within seconds, ones that waited never begin."""

    cancelled: tuple[str, ...]


class Desk:
    """The management of a ledger's jobs. Thread-safe.

    wake      called after each change, so that a scheduler of this process looks at once
    sources   the sources a fetch may name
    """

    def __init__(
        self,
        ledger: Ledger,
        registry: ExecutionHistoryRegistry,
        jobs: JobStore,
        *,
        sources: dict[str, SourceConfig],
        wake: Callable[[], None] = lambda: None,
        clock: Clock | None = None,
    ) -> None:
        self._ledger = ledger
        self._registry = registry
        self._jobs = jobs
        self._sources = sources
        self._wake = wake
        self._clock = clock or ledger.clock
        self._redactor = Redactor(ledger.settings.redact)

    def create(self, job: Job) -> JobView:
        """The job as made, with an id where it had none. Raises InvalidError, ConflictError when its id is taken."""
        now = self._clock.now()
        job = self._checked(structs.replace(job, id=job.id or self._ledger.new_id()))
        job = anchored(job, now)
        next_at = self._next(job, now - 1)
        entry = Entry(
            id=job.id,
            definition=encode_job(job),
            enabled=job.enabled,
            next_at=next_at,
            due_at=None if next_at is None else due_at(job, next_at),
            created_at=now,
            updated_at=now,
        )
        return self._kept(self._jobs.put(entry, expected=None))

    def get(self, job_id: str) -> JobView:
        """The job. Raises NotFoundError."""
        return self.view(self._entry(job_id))

    def knows(self, job_id: str) -> bool:
        """Whether there is such a job."""
        return self._jobs.get(job_id) is not None

    def list(self, *, limit: int = 50, cursor: str | None = None) -> Page[JobView]:
        """A page of jobs, the newest made first, without those that cannot be read: the log names them."""
        page = self._jobs.list(limit=limit, cursor=cursor)
        shown = [self._readable(entry) for entry in page.entries]
        return Page(tuple(view for view in shown if view is not None), page.next_cursor)

    def replace(self, job_id: str, job: Job, *, version: int | None = None) -> JobView:
        """The job as replaced; with `version` only if that is still its version.

        Raises InvalidError, NotFoundError, ConflictError.
        """
        if job.id and job.id != job_id:
            raise InvalidError("a job's id cannot be changed", field="id")
        return self._change(job_id, lambda old: _unmask(self._redactor, structs.replace(job, id=job_id), old), version)

    def patch(self, job_id: str, changes: dict[str, Any], *, version: int | None = None) -> JobView:
        """The job with these fields changed, and of what has fields of its own these alone; see `replace`."""
        unknown = sorted(set(changes) - set(Job.__struct_fields__) | ({"id"} & set(changes)))
        if unknown:
            raise InvalidError(f"{unknown[0]!r} cannot be changed", field=unknown[0])

        def change(old: Job) -> Job:
            return _unmask(self._redactor, convert(patched(old, changes), Job), old)

        return self._change(job_id, change, version)

    def set_enabled(self, job_id: str, *, enabled: bool) -> JobView:
        """The job, paused or resumed. Resuming goes on from now: what fell into the pause is not made up for."""
        return self._change(job_id, lambda old: structs.replace(old, enabled=enabled), None)

    def delete(self, job_id: str) -> bool:
        """Whether there was such a job. Its executions under way are cancelled, its history stays."""
        removed = self._jobs.remove(job_id)
        self._say_cancelled(removed or (), "the job was deleted")
        self._wake()
        return removed is not None

    def run(self, job_id: str, request: RunRequest = _EVERYTHING, *, triggered_by: str = "manual") -> Started:
        """The execution asked for. Raises InvalidError, NotFoundError.

        Raises ConflictError when the job runs and its overlap is "skip", or nothing is left to be run again.
        """
        job = decode_job(self._entry(job_id))
        items, before = request.stocks, None
        if request.retry_of is not None:
            before = self._registry.find(request.retry_of)
            if before is None or before.subject != job_id:
                raise NotFoundError(f"job {job_id!r} has no execution {request.retry_of!r}")
            if request.failed_only and items is None:
                items = stocks_left(job, before)
        if items is not None:
            check_narrowed(job, items)
        now = self._registry.stamp()
        firing = self._enqueue(
            Firing(
                job_id=job_id,
                instant=now,
                execution_id=self._ledger.new_id(),
                due_at=now,
                overlap=job.overlap,
                manual=True,
                triggered_by="retry" if before is not None else triggered_by,
                retry_of=None if before is None else before.id,
                root_id=None if before is None else before.root_id or before.id,
                items=items,
            )
        )
        self._registry.append([queued_event(firing, job, now)])
        self._wake()
        return Started(execution_id=firing.execution_id, job_id=job_id, stocks=items)

    def cancel(self, job_id: str, *, reason: str = "cancelled on request") -> Cancelled:
        """What was cancelled. Raises NotFoundError for an unknown job."""
        self._entry(job_id)
        cancelled = self._jobs.cancel(job_id)
        self._say_cancelled(cancelled, reason)
        self._wake()
        return Cancelled(tuple(firing.execution_id for firing in cancelled))

    def view(self, entry: Entry) -> JobView:
        """The job of an entry as the API shows it."""
        job = decode_job(entry)
        shown = convert(self._redactor.value(builtins(job.run)), type(job.run))
        fields: dict[str, Any] = {name: getattr(job, name) for name in Job.__struct_fields__}
        state: dict[str, Any] = {
            "run": shown,
            "enabled": entry.enabled,
            "version": entry.version,
            "next_run_at": iso(entry.next_at) if entry.enabled else None,
            "last_run_at": iso(entry.last_at),
            "skipped": entry.skipped,
            "created_at": iso(entry.created_at) or "",
            "updated_at": iso(entry.updated_at) or "",
            "running": tuple(firing.execution_id for firing in self._jobs.firings(job_id=entry.id)),
        }
        return JobView(**(fields | state))

    def _enqueue(self, firing: Firing) -> Firing:
        """The firing, waiting. An execution whose end is known may not be settled yet; it is no reason to refuse."""
        deadline = self._clock.monotonic() + _SETTLE_SECONDS
        while True:
            try:
                return self._jobs.enqueue(firing)
            except ConflictError:
                if self._is_going(firing.job_id) or self._clock.monotonic() > deadline:
                    raise
                self._wake()
                pause(_SETTLE_LOOK)

    def _is_going(self, job_id: str) -> bool:
        """Whether any of the job's claimed executions has not ended yet."""
        ids = [firing.execution_id for firing in self._jobs.firings(job_id=job_id)]
        found = [self._registry.find(execution_id) for execution_id in ids]
        return any(execution is None or execution.status in OPEN for execution in found)

    def _change(self, job_id: str, change: Callable[[Job], Job], version: int | None) -> JobView:
        for _ in range(_TRIES):
            entry = self._entry(job_id)
            if version is not None and entry.version != version:
                raise ConflictError(
                    f"job {job_id!r} is at version {entry.version} by now, not {version}: read it again"
                )
            try:
                return self._kept(self._jobs.put(self._changed(entry, change), expected=entry.version))
            except ConflictError:
                continue
        raise ConflictError(f"job {job_id!r} is being changed by others all the time: try again")

    def _changed(self, entry: Entry, change: Callable[[Job], Job]) -> Entry:
        now = self._clock.now()
        old = anchored(decode_job(entry), now)
        new = anchored(with_anchor(self._checked(change(old)), old), now)
        next_at = entry.next_at
        if new.trigger != old.trigger or (new.enabled and not entry.enabled):
            same = new.trigger == old.trigger
            next_at = self._next(new, max(now - 1, entry.last_at or 0), may_be_over=same)
        return structs.replace(
            entry,
            definition=encode_job(new),
            enabled=new.enabled,
            next_at=next_at,
            due_at=None if next_at is None else due_at(new, next_at),
            updated_at=now,
        )

    def _next(self, job: Job, later_than: int, *, may_be_over: bool = False) -> int | None:
        if job.trigger is None:
            return None
        next_at = after(job.trigger, later_than)
        if next_at is None and isinstance(job.trigger, Once) and not may_be_over:
            raise InvalidError(f"{job.trigger.at.isoformat()} is in the past", field="trigger.at")
        return next_at

    def _checked(self, job: Job) -> Job:
        check_id(job.id)
        check_job(job)
        # A Job made in Python was not measured against its limits; what the store gives back will be.
        job = convert(encode_job(job), Job)
        if isinstance(job.run, Fetch):
            config_of(self._sources, job.run.source)
        return job

    def _readable(self, entry: Entry) -> JobView | None:
        try:
            return self.view(entry)
        except InvalidError as error:
            log.warning("job %r cannot be read, and does not run: %s", entry.id, error)
            return None

    def _entry(self, job_id: str) -> Entry:
        entry = self._jobs.get(job_id)
        if entry is None:
            raise NotFoundError(f"there is no job {job_id!r}")
        return entry

    def _kept(self, entry: Entry) -> JobView:
        self._wake()
        return self.view(entry)

    def _say_cancelled(self, firings: Sequence[Firing], reason: str) -> None:
        """Tell the history of those that waited; of the others their holders tell."""
        waiting = [firing for firing in firings if firing.state == "waiting"]
        if waiting:
            self._registry.append([_never_begun(firing, self._registry.stamp(), reason) for firing in waiting])


def stocks_left(job: Job, before: Execution) -> tuple[str, ...] | None:
    """The job's stocks that did not succeed in this execution; None for a job without stocks.

    Raises ConflictError where there is none.
    """
    if not job.stocks:
        return None
    left = unsuccessful(before, job.stocks)
    if not left:
        raise ConflictError(
            f"no stock is left to be run again: all that the job has succeeded in execution {before.id!r}, or were not "
            "in it; without failed_only (--failed-items) all of them are run"
        )
    return left


def _never_begun(firing: Firing, at: int, reason: str) -> Event:
    return Event(
        id=firing.execution_id,
        kind=KIND,
        at=at,
        status=Status.CANCELLED,
        subject=firing.job_id,
        actor=firing.triggered_by,
        ended_at=at,
        error=Error(type="Cancelled", message=reason),
    )


def _unmask(redactor: Redactor, new: Job, old: Job) -> Job:
    """The new job, with the old one's secrets in the places where the new one only has what `view` shows of them."""
    if type(new.run) is not type(old.run):
        return new
    plain: Any = _restore(builtins(new.run), builtins(old.run), redactor.value(builtins(old.run)))
    return structs.replace(new, run=convert(plain, type(new.run)))


def _restore(new: object, old: object, masked: Any) -> object:
    if new == masked:
        return old
    if not isinstance(new, dict) or not isinstance(old, dict):
        return cast("object", new)
    before, plain = cast("dict[str, Any]", old), cast("dict[str, Any]", new)
    return {
        name: _restore(value, before[name], masked[name]) if name in before else value for name, value in plain.items()
    }
