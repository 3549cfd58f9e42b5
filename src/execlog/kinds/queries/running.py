"""A query that is being run: its record, its place in the gateway, and what may stop it."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from concurrent.futures import Future
from typing import Any

import msgspec
from msgspec import Struct

from execlog.core.model import Event, Status
from execlog.kinds.queries.connections import Connection
from execlog.kinds.queries.connectors.base import Session
from execlog.kinds.queries.deadlines import Deadline
from execlog.kinds.queries.page import Part
from execlog.kinds.queries.trouble import TroubleError

Record = Callable[[Event], Any]
_SAID = dict.fromkeys(("name", "subject", "actor", "engine", "queued_at", "input", "params"))


class Outcome(Struct, frozen=True, kw_only=True):
    """What became of a query.

    seconds   from the moment the database was asked to the last row read; 0.0 when it never was asked
    part      the page, of a query that succeeded
    trouble   why it did not
    """

    execution_id: str
    connection: Connection
    seconds: float
    page: int
    page_size: int
    part: Part | None = None
    trouble: TroubleError | None = None
    cached: bool = False

    @property
    def status(self) -> Status:
        """As it is recorded."""
        return Status.SUCCEEDED if self.trouble is None else self.trouble.status


class Running:
    """One query from request to outcome. The first outcome holds: the worker's, or that of what stopped it."""

    def __init__(self, event: Event, connection: Connection, stamp: Callable[[], int], record: Record) -> None:
        self.event, self.connection = event, connection
        self.future: Future[Outcome] = Future()
        self.deadlines: list[Deadline] = []
        self.began: float | None = None
        self._stamp, self._record = stamp, record
        self._lock = threading.Lock()
        self._session: Session | None = None
        self._stopped: TroubleError | None = None
        self._settled = False
        self._said = False

    @property
    def id(self) -> str:
        """The execution's id."""
        return self.event.id

    def announce(self, status: Status) -> None:
        """Record that it waits or runs."""
        at = self._stamp()
        times = {"queued_at": at} if status is Status.QUEUED else {"started_at": at}
        self.event = msgspec.structs.replace(self.event, at=at, status=status, **times)
        self._said = self._record(self.event) is True

    def begin(self) -> bool:
        """Whether it may start now: nothing stopped it while it waited."""
        with self._lock:
            if self._settled:
                return False
            self.began = time.monotonic()
        if self.event.status is Status.QUEUED:
            self.announce(Status.RUNNING)
        return True

    def attach(self, session: Session) -> None:
        """The session that runs it, from now on the way to stop it. Raises what stopped it already."""
        with self._lock:
            if self._stopped is not None:
                raise self._stopped
            self._session = session

    def detach(self) -> bool:
        """Whether nobody tried to stop it; from now on nobody can."""
        with self._lock:
            self._session = None
            return self._stopped is None

    def stop(self, trouble: TroubleError) -> bool:
        """Whether this stopped it: not if it has ended, or is being stopped already."""
        with self._lock:
            if self._settled or self._stopped is not None:
                return False
            self._stopped = trouble
            session, waits = self._session, self.began is None
        if session is not None:
            session.cancel()
        elif waits:
            self.settle(trouble=trouble)
        return True

    def press(self) -> bool:
        """Whether it still does not end: then its session is told again to stop."""
        with self._lock:
            if self._settled:
                return False
            session = self._session
        if session is not None:
            session.cancel()
        return True

    def abandon(self) -> bool:
        """Whether its outcome had to be decided without its worker: it did not come back after it was stopped."""
        trouble = self.reason()
        if trouble is None or not self.settle(trouble=trouble):
            return False
        with self._lock:  # its worker detaches a session before closing it
            if self._session is not None:
                self._session.hang_up()
        return True

    def reason(self) -> TroubleError | None:
        """What stopped it, if anything did."""
        return self._stopped

    def settle(self, *, part: Part | None = None, trouble: TroubleError | None = None, cached: bool = False) -> bool:
        """Whether this is its outcome: recorded, and given to whoever waits. False when it had one."""
        with self._lock:
            if self._settled:
                return False
            self._settled = True
        seconds = 0.0 if self.began is None else time.monotonic() - self.began
        for deadline in self.deadlines:
            deadline.drop()
        said = self.event.metadata or {}
        self._end(seconds, part, trouble, cached=cached)
        outcome = Outcome(
            execution_id=self.id,
            connection=self.connection,
            seconds=seconds,
            page=said.get("page", 0),
            page_size=said.get("page_size", 0),
            part=part,
            trouble=trouble,
            cached=cached,
        )
        self.future.set_result(outcome)
        return True

    def _end(self, seconds: float, part: Part | None, trouble: TroubleError | None, *, cached: bool) -> None:
        at = self._stamp()
        metadata = dict(self.event.metadata or {})
        if part is not None:
            metadata["returned_rows"] = len(part.rows)
            facts: dict[str, Any] = {"bytes": part.bytes, "columns": len(part.columns)}
            if part.truncated is not None:
                facts["truncated"] = part.truncated
            if part.affected_rows is not None:
                facts["affected_rows"] = part.affected_rows
            if cached:
                facts["cached"] = True
            metadata["response_metadata"] = facts
        started = self.event.started_at or at
        self.event = msgspec.structs.replace(
            self.event,
            at=at,
            status=Status.SUCCEEDED if trouble is None else trouble.status,
            started_at=started,
            ended_at=max(started + round(seconds * 1e6), started),
            duration=seconds,
            rows=None if part is None else part.total_rows,
            error=None if trouble is None else trouble.error,
            metadata=metadata,
        )
        # What the beginning said is in the journal, and a thing said stays said.
        self._record(msgspec.structs.replace(self.event, **_SAID) if self._said else self.event)
