"""The store in PostgreSQL, put together: transactions here, what is done in them in the modules beside."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Collection, Generator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import msgspec

from execlog.core.clock import Clock
from execlog.core.codec import encode_event
from execlog.core.errors import StoreError
from execlog.core.filter import Filter, Page
from execlog.core.model import OPEN, Event, Execution, Key, Status
from execlog.store.base import SUMMARY, WHOLE, Applied, Capabilities, Change, FailureGroup, Group, GroupBy, Part
from execlog.store.jobs import JobStore
from execlog.store.matching import SEARCHED, check_page
from execlog.store.postgres import buckets, reading, settling, statistics
from execlog.store.postgres.connection import Connections, Session
from execlog.store.postgres.jobs import PostgresJobStore
from execlog.store.postgres.listening import Listener
from execlog.store.postgres.migrating import has_trigrams, migrate
from execlog.store.postgres.partitions import Months, ahead, drop_empty
from execlog.store.postgres.query import ask
from execlog.store.postgres.writing import columns, lock, note, take
from execlog.store.preparing import prepare
from execlog.store.sql import queries
from execlog.store.sql_pairs import SqlPairs
from execlog.store.sqlite.query import same_but
from execlog.store.sqlite.recounting import Progress, Recount, recount
from execlog.store.sqlite.rows import Head

CHUNK = 1_000
_WRITE, _READ = queries("postgres", "write"), queries("postgres", "read")
_SIZES = ("executions", "open", "marks", "quarantined", "last_change")


class PostgresStore:
    """Executions in one schema of a PostgreSQL database, which many processes on many hosts may use at once."""

    capabilities = Capabilities(sorts=("newest", "oldest"))

    def __init__(
        self,
        url: str,
        *,
        clock: Clock | None = None,
        searched: Mapping[str, tuple[str, ...]] = SEARCHED,
        write_timeout: float = 10.0,
        read_timeout: float = 60.0,
        makes_tables: bool = True,
    ) -> None:
        self.mended: Counter[str] = Counter()
        self._clock = clock
        self._searched = searched
        self._connections = Connections(url, write_timeout=write_timeout, read_timeout=read_timeout)
        self._poison = (*self._connections.poison, ValueError, TypeError, OverflowError, RecursionError)
        self._version = migrate(self._connections, indexes=makes_tables)
        self._months = Months(makes=makes_tables)
        self.pairs = SqlPairs(
            queries("postgres", "pairs"), read=self._connections.read, write=self._write_alone, now=self._now
        )
        self._listeners: list[Listener] = []

    @property
    def connections(self) -> Connections:
        """What else is kept in the same database goes through these."""
        return self._connections

    def open_jobs(self) -> JobStore:
        """The jobs in the same database."""
        return PostgresJobStore(self._connections)

    @property
    def url(self) -> str:
        """Where it is, without secrets."""
        return self._connections.url

    def apply(self, events: Sequence[Event]) -> Applied:
        """What became of the batch, once it is durable."""
        try:
            with self._connections.write() as session:
                applied, partitions = self._take(session, events)
        except self._poison:
            return self._apply_carefully(events)
        self._months.know(partitions)
        return applied

    def get(self, id: str, *, kind: str | None = None, namespace: str | None = None) -> Execution | None:
        """The whole execution, or None; without kind or namespace the newest of that id."""
        filter = Filter(ids=(id,), kind=kind, namespace=namespace)
        with self._connections.read(one_plan=True) as session:
            found = reading.find(session, filter, limit=1, cursor=None, offset=0, parts=WHOLE).entries
        return found[0] if found else None

    def find(
        self,
        filter: Filter,
        *,
        limit: int = 50,
        cursor: str | None = None,
        offset: int = 0,
        parts: Collection[Part] = SUMMARY,
    ) -> Page[Execution]:
        """A page of executions in the filter's order."""
        check_page(limit, offset)
        with self._connections.read() as session:
            return reading.find(session, filter, limit=limit, cursor=cursor, offset=offset, parts=parts)

    def count(self, filter: Filter) -> int:
        """How many executions the filter asks for."""
        with self._connections.read(one_plan=True) as session:
            return statistics.count(session, filter)

    def stats(self, filter: Filter, *, group_by: GroupBy | None = None) -> list[Group]:
        """Sums over the terminal executions, in one group or several."""
        with self._connections.read(one_plan=True) as session:
            return statistics.stats(session, filter, group_by)

    def latest(self, filter: Filter, *, limit: int = 1000) -> list[Execution]:
        """The newest execution of each subject, newest first."""
        with self._connections.read() as session:
            return reading.latest(session, filter, limit=limit)

    def failures(self, filter: Filter, *, limit: int = 50) -> list[FailureGroup]:
        """Executions that failed, grouped by error fingerprint, the latest group first."""
        with self._connections.read() as session:
            return reading.failures(session, filter, limit=limit)

    def delete(self, filter: Filter, *, keep_marks: bool = True) -> int:
        """How many executions were removed; a thousand at a time, so that writers get their turn in between.

        Months that a removal without marks leaves empty go, as tables.
        """
        removed, some = 0, CHUNK
        with self._connections.read() as session:
            highest: int = session.value(_WRITE["highest"])
        while some == CHUNK:
            with self._connections.write() as session:
                some = self._remove_some(session, filter, highest, keep_marks=keep_marks)
            removed += some
        if removed and not keep_marks and filter.until is not None and self._months.makes:
            with self._write_alone() as session:
                drop_empty(session, before=filter.until)
            self._months.forget()
        return removed

    def changes(self, after: int, *, limit: int = 1000) -> list[Change]:
        """What changed after change number `after`; -1 asks for the newest alone."""
        with self._connections.read() as session:
            if after < 0:
                return _spread(session.rows(_READ["last_changes"]), after)[-1:]
            return _spread(session.rows(_READ["changes"], {"after": after, "limit": limit}), after)[:limit]

    def make_ahead(self) -> None:
        """Make the months to come, and those of executions that arrived when there was no table for theirs."""
        with self._write_alone() as session:
            now = self._now(session)
            others = [row[0] for row in session.rows(_WRITE["days_of_others"])]
            names = self._months.make(session, [*others, *ahead(now)], now=now)
        self._months.know(names)

    def listen(self, tell: Callable[[int], None]) -> Callable[[], None]:
        """A function that ends the listening; until then `tell` is given the change numbers all processes announce."""
        listener = Listener(self._connections, tell)
        self._listeners.append(listener)
        return listener.stop

    def numbers(self, keys: Sequence[Key]) -> list[int]:
        """The rows' own short names in the order of the keys, as the views show them; 0 for one that is gone."""
        with self._connections.read() as session:
            return [row[0] for row in session.rows(_READ["numbers"], columns(keys))]

    def attend(self, origin: str, *, seconds: float) -> None:
        """Note that the process `origin` is alive for this long, on the database's clock; 0 signs it off."""
        with self._connections.write() as session:
            now = self._now(session)
            session.run(_WRITE["attend"], {"origin": origin, "until": now + round(seconds * 1e6)})
            session.run(_WRITE["forget_processes"], {"until": now})

    def absent(self) -> list[str]:
        """The origins that have open executions but are not noted alive."""
        with self._connections.read() as session:
            return [row[0] for row in session.rows(_READ["absent"], {"now": self._now(session)})]

    def recount(self, *, mend: bool = False, progress: Progress | None = None) -> Recount:
        """How the sums compare with the executions; with `mend`, the wrong ones become as these say.

        Raises StoreError, for values that no store writes too.
        """
        statements = queries("postgres", "recount")
        return recount(statements, read=self._connections.read, write=self._write_alone, mend=mend, progress=progress)

    def check(self) -> dict[str, str]:
        """Facts about the database, with a warning where text searches have no index.

        Raises StoreError where the database takes no record: one is written and taken back.
        """
        with self._connections.translated(), self._connections.write() as session:
            now = self._now(session)
            self._take(session, [Event(id=f"check-{now}", kind="check", at=now, status=Status.SUCCEEDED)])
            self._connections.take_back()
        with self._connections.read() as session:
            facts = {
                "store": "postgres",
                "url": self.url,
                "version": str(session.value("show server_version")),
                "schema": str(self._version),
                "bytes": str(session.value("select pg_database_size(current_database())")),
                **{name: str(value) for name, value in zip(_SIZES, session.rows(_READ["sizes"])[0], strict=True)},
            }
        connection = self._connections.connect()
        with self._connections.translated():
            indexed = has_trigrams(connection)
        connection.close()
        if not indexed:
            facts["warning"] = (
                "text searches read every execution: let a superuser run `create extension pg_trgm`, then open it anew"
            )
        return facts

    def close(self) -> None:
        """Release the connections."""
        for listener in self._listeners:
            listener.stop()
        self._connections.close()

    def _take(self, session: Session, events: Sequence[Event]) -> tuple[Applied, frozenset[str]]:
        return take(session, events, self._searched, self._months, now=self._now(session))

    @contextmanager
    def _write_alone(self) -> Generator[Session]:
        with self._connections.translated(), self._connections.write() as session:
            lock(session)
            yield session

    def _now(self, session: Session) -> int:
        return self._clock.now() if self._clock is not None else session.value(_READ["now"])

    def _apply_carefully(self, events: Sequence[Event]) -> Applied:
        """What became of a batch that something in it made fail: all is mended, and what still fails is set aside."""
        mended: Counter[str] = Counter()
        prepared = [prepare(event, mended) for event in events]
        with self._connections.write() as session:
            applied = self._bisect(session, prepared)
        self.mended += mended
        return applied

    def _bisect(self, session: Session, events: Sequence[Event]) -> Applied:
        try:
            with session.savepoint():
                return self._take(session, events)[0]
        except self._poison as error:
            if len(events) == 1:
                return self._set_aside(session, events[0], error)
            if not events:
                raise StoreError(f"{self.url}: {error}", retry=False) from error
        middle = len(events) // 2
        one, other = self._bisect(session, events[:middle]), self._bisect(session, events[middle:])
        return Applied(
            one.inserted + other.inserted,
            one.updated + other.updated,
            one.ignored + other.ignored,
            one.quarantined + other.quarantined,
            other.last_change,
        )

    def _set_aside(self, session: Session, event: Event, error: Exception) -> Applied:
        reason = f"{type(error).__name__}: {error}"[:500].replace("\0", "")
        session.run(_WRITE["quarantine"], {"at": self._now(session), "reason": reason, "event": encode_event(event)})
        _, last_change, _ = session.rows(_WRITE["look"])[0]
        return Applied(quarantined=1, last_change=last_change)

    def _remove_some(self, session: Session, filter: Filter, highest: int, *, keep_marks: bool) -> int:
        lock(session)
        settled = settling.settle(session, same_but(filter, sort="newest"))
        if settled is None:
            return 0
        question = ask(settled[0], places=settled[1])
        sql = _WRITE["rows_to_delete"].format(head=reading.HEAD, source=question.source, where=question.where)
        heads = reading.heads_of(session.rows(sql, {**question.bindings, "highest": highest, "limit": CHUNK}))
        if heads:
            self._remove(session, heads, keep_marks=keep_marks)
        return len(heads)

    def _remove(self, session: Session, heads: list[Head], *, keep_marks: bool) -> None:
        places = columns((head.kind, head.namespace, head.id) for head in heads)
        if keep_marks:
            was_open = [head.status in OPEN for head in heads]
            session.run(_WRITE["mark_deleted"], {**places, "at": self._now(session), "open": was_open})
        numbers: dict[str, Any] = {"numbers": [head.number for head in heads]}
        session.run(_WRITE["delete_items"], numbers)
        session.run(_WRITE["delete_logs"], numbers)
        session.run(_WRITE["take_out_executions"], {**numbers, "created": [head.created_at for head in heads]})
        session.run(_WRITE["delete_keys"], places)
        buckets.correct(session, [msgspec.structs.astuple(head) for head in heads], [])
        last_number, last_change, _ = session.rows(_WRITE["look"])[0]
        gone = [(head.kind, head.namespace, head.id) for head in heads]
        note(session, gone, last_number, last_change, deleted=True)


def _spread(rows: Sequence[tuple[int, bool, list[tuple[str, str, str]]]], after: int) -> list[Change]:
    """The changes in rows of (the last one's number, deleted, keys), those after a number."""
    changes: list[Change] = []
    for number, deleted, keys in rows:
        first = number - len(keys) + 1
        changes += [Change(at, *Key(*key), deleted) for at, key in enumerate(keys, first) if at > after]
    return changes
