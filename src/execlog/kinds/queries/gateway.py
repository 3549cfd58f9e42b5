"""The gateway: runs queries on named connections, within their limits, and records each from its beginning to its end.

    request → checked → recorded as running → a thread of the connection's lane → recorded as ended → answer

Recording is two appends to the journal. A query is stopped by its time-out or by `cancel`: the database is told, and if
it does not let go within a moment, the answer goes out all the same and the connection is hung up.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from contextlib import suppress
from typing import Any, Self

from msgspec.structs import replace

from execlog.core.errors import ConflictError, InvalidError, NotFoundError
from execlog.core.ids import check_id
from execlog.core.model import Event, Status
from execlog.kinds.queries.asking import Place, Query, ask, event_of, place_of, trouble_with
from execlog.kinds.queries.cache import Key, key_of
from execlog.kinds.queries.connections import Connection, load_connections
from execlog.kinds.queries.connectors.base import Statement
from execlog.kinds.queries.deadlines import Deadlines
from execlog.kinds.queries.insight import Insight, Seen, with_analysis
from execlog.kinds.queries.lanes import FullError
from execlog.kinds.queries.page import Cut, Part
from execlog.kinds.queries.record import DEFAULT_PAGE_SIZE
from execlog.kinds.queries.running import Outcome, Running
from execlog.kinds.queries.sealing import sealer_of
from execlog.kinds.queries.taken import TakenIds
from execlog.kinds.queries.trouble import RefusedError, TroubleError, broken, cancelled, timed_out
from execlog.ledger import Ledger

__all__ = ["Gateway", "Query"]

GRACE_SECONDS = 2.0
"""How long a database has to let go of a query it was told to stop."""

AGAIN_SECONDS = 0.25
"""How often it is told so."""


class Gateway:
    """Runs queries. Thread-safe; what it opened is closed by `close`, or with the process.

    `record` takes what is to be recorded, by default into the ledger; it must return at once.
    """

    def __init__(
        self,
        ledger: Ledger,
        connections: Mapping[str, Connection],
        *,
        grace: float = GRACE_SECONDS,
        record: Callable[[Event], Any] | None = None,
    ) -> None:
        self.ledger = ledger
        self._record = _sealing(ledger, record or ledger.append)
        self.insight = Insight(self._record, ledger.recorder.stamp)
        self.connections = dict(connections)
        self._grace = grace
        self._deadlines = Deadlines()
        self._taken = TakenIds(ledger)
        self._lock = threading.Lock()
        self._running: dict[str, Running] = {}
        self._closed = False
        self._places = {name: place_of(connection) for name, connection in self.connections.items()}

    @classmethod
    def open(cls, ledger: Ledger) -> Self:
        """The gateway to the connections in the ledger's home. Raises SettingsError."""
        return cls(ledger, load_connections(ledger.settings.home))

    def execute(self, query: Query) -> Outcome:
        """What became of the query, once it has ended; never later than its time-out and a moment."""
        return self.submit(query).future.result()

    def submit(self, query: Query) -> Running:
        """The query on its way: its `future` has the outcome.

        Raises InvalidError for an unknown connection, a page too large or a user that no route can name, ConflictError
        for an id of the client's own that a query has already. An id of our own needs no looking up, and costs nothing.
        What the database or the gateway has against the query itself is an outcome, recorded.
        """
        if query.user_id:
            check_id(query.user_id, field="user_id")
        connection = self.find(query)
        place, limits = self._places[connection.name], connection.limits
        most = limits.max_page_size
        size = min(DEFAULT_PAGE_SIZE, most) if query.page_size is None else query.page_size
        if size > most:
            raise InvalidError(f"a page of {connection.name!r} has at most {most} rows", field="page_size")
        wanted = Cut(query.page, size, limits.max_rows, limits.max_bytes)
        running = self._enter(query, connection, wanted)
        try:
            text = connection.connector.check(query.query, read_only=limits.read_only)
        except RefusedError as refused:
            running.announce(Status.RUNNING)
            running.settle(trouble=refused)
            return running
        key = self._cached(running, place, query, text, wanted)
        if not running.future.done():
            self._launch(running, place, text, query, wanted, key)
        return running

    def cancel(self, execution_id: str, *, user_id: str | None = None, by: str = "") -> None:
        """Stop a query that runs or waits here; `user_id`: only if it is theirs.

        Raises NotFoundError for one that does not run here (any more), ConflictError for one that is being stopped.
        """
        with self._lock:
            running = self._running.get(execution_id)
        if running is None or (user_id is not None and running.event.actor != user_id):
            raise NotFoundError(f"no query {execution_id!r:.120} is running here")
        if not self._stop(running, cancelled(f"cancelled by {by}" if by else "cancelled")):
            raise ConflictError(f"query {execution_id!r:.120} has ended or is being stopped")

    def find(self, query: Query) -> Connection:
        """The connection a query is for. Raises InvalidError."""
        if query.connection is not None:
            found = self.connections.get(query.connection)
            if found is None:
                raise InvalidError(self._unknown(f"{query.connection!r:.80}"), field="connection")
            if query.database_type not in {None, found.database_type}:
                other = f"{found.name!r} is of type {found.database_type!r}, not {query.database_type!r:.80}"
                raise InvalidError(f"connection {other}", field="database_type")
            return found
        fitting = [one for one in self.connections.values() if query.database_type in {None, one.database_type}]
        if len(fitting) == 1:
            return fitting[0]
        if not fitting:
            raise InvalidError(self._unknown(f"of type {query.database_type!r:.80}"), field="database_type")
        names = ", ".join(one.name for one in fitting)
        raise InvalidError(f"which connection? These fit: {names}", field="connection")

    def running(self) -> list[Event]:
        """What waits or runs here now."""
        with self._lock:
            return [running.event for running in self._running.values()]

    def close(self) -> None:
        """Cancel what runs and close every connection."""
        with self._lock:
            self._closed = True
            left = list(self._running.values())
        for running in left:
            running.stop(cancelled("the gateway is shutting down"))
        for running in left:
            if not _ended(running, self._grace):
                running.abandon()
        self._deadlines.close()
        self.insight.close()
        for place in self._places.values():
            place.lane.close()
            place.sessions.close()
            with suppress(Exception):  # DuckDB refuses while a query does not let go of it
                place.connection.connector.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _enter(self, query: Query, connection: Connection, wanted: Cut) -> Running:
        if query.execution_id is not None:
            self._taken.take(check_id(query.execution_id, field="execution_id"))
        execution_id = query.execution_id or self.ledger.new_id()
        known = self.insight.known(query.query, connection.connector)
        event = with_analysis(event_of(query, connection, execution_id, wanted), known)
        # Should this process die before the outcome, whoever adopts its journal finds the query by this.
        event = replace(event, origin=self.ledger.recorder.origin)
        running = Running(event, connection, self.ledger.recorder.stamp, self._record)
        with self._lock:
            if self._closed:
                raise ConflictError("the gateway is shutting down")
            self._running[execution_id] = running
        running.future.add_done_callback(lambda _: self._leave(running))
        running.future.add_done_callback(lambda _: self.insight.note(Seen(running.event, connection.connector, known)))
        return running

    def _leave(self, running: Running) -> None:
        with self._lock:
            if self._running.get(running.id) is running:
                del self._running[running.id]

    @staticmethod
    def _cached(running: Running, place: Place, query: Query, text: str, wanted: Cut) -> Key | None:
        """The key of the answer; the query is settled with it where it is there already."""
        if place.cache is None or not place.connection.limits.read_only:
            return None
        key = key_of(text, query.params, wanted, place.connection.connector.dialect)
        part = None if query.fresh or key is None else place.cache.get(key)
        if part is not None:
            running.announce(Status.RUNNING)
            running.settle(part=part, cached=True)
        return key

    def _launch(self, running: Running, place: Place, text: str, query: Query, wanted: Cut, key: Key | None) -> None:
        limits = place.connection.limits
        try:
            at_once = place.lane.enter()
        except FullError as full:
            running.announce(Status.RUNNING)
            running.settle(trouble=broken("Overloaded", f"{full}; try again later"))
            return
        running.announce(Status.RUNNING if at_once else Status.QUEUED)
        seconds = min(query.timeout or limits.timeout, limits.max_timeout)
        stop = self._deadlines.set(seconds, lambda: self._time_out(running, seconds))
        running.deadlines.append(stop)
        offset = wanted.page * wanted.page_size
        statement = Statement(text, query.params, seconds, offset, wanted.page_size, wanted.max_bytes)
        place.lane.put(lambda: self._work(running, place, statement, wanted, key))

    @staticmethod
    def _work(running: Running, place: Place, statement: Statement, wanted: Cut, key: Key | None) -> bool:
        """Whether the lane keeps this thread: not when it was given up while the query ran."""
        if not running.begin():
            return True
        part: Part | None = None
        trouble: TroubleError | None = None
        try:
            part = ask(running, place, statement, wanted)
        except Exception as fault:  # noqa: BLE001 - whatever a driver raises is an outcome
            trouble = running.reason() or trouble_with(fault, place.connection)
        if part is not None and key is not None and place.cache is not None:
            place.cache.put(key, part)
        return running.settle(part=part, trouble=trouble)

    def _time_out(self, running: Running, seconds: float) -> None:
        text = f"the query was stopped after {seconds:g} s"
        if running.began is None:
            text = f"the query waited {seconds:g} s for its turn and was given up"
        self._stop(running, timed_out(text))

    def _stop(self, running: Running, trouble: TroubleError) -> bool:
        """Whether this stopped it. The grace begins before the database is told, which may take long."""
        self._deadlines.set(self._grace, lambda: self._abandon(running))
        stopped = running.stop(trouble)
        if stopped:
            self._deadlines.set(AGAIN_SECONDS, lambda: self._press(running))
        return stopped

    def _press(self, running: Running) -> None:
        """Tell the database again until it let go: the first time may have come before the query had begun there."""
        if running.press():
            self._deadlines.set(AGAIN_SECONDS, lambda: self._press(running))

    def _abandon(self, running: Running) -> None:
        if running.abandon():
            self._places[running.connection.name].lane.leave()

    def _unknown(self, what: str) -> str:
        names = ", ".join(f"{one.name} ({one.database_type})" for one in self.connections.values())
        return f"no connection {what}; there are {names}" if names else f"no connection {what}: none is configured"


def _sealing(ledger: Ledger, record: Callable[[Event], Any]) -> Callable[[Event], Any]:
    """What records; it seals before, where the configuration asks for that."""
    sealer = sealer_of(ledger.settings.home)
    return record if sealer is None else lambda event: record(sealer.sealed(event))


def _ended(running: Running, seconds: float) -> bool:
    try:
        running.future.result(seconds)
    except TimeoutError:
        return False
    return True
