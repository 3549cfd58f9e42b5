"""The embedded store, put together: transactions here, what is done in them in the modules beside."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Collection, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import apsw
import msgspec

from execlog.core.clock import Clock, SystemClock
from execlog.core.codec import encode_event
from execlog.core.errors import StoreError
from execlog.core.filter import Filter, Page
from execlog.core.model import Event, Execution, Key
from execlog.store.base import SUMMARY, WHOLE, Applied, Capabilities, Change, FailureGroup, Group, GroupBy, Part
from execlog.store.jobs import JobStore
from execlog.store.matching import SEARCHED, check_page
from execlog.store.preparing import prepare
from execlog.store.sql import queries
from execlog.store.sql_pairs import SqlPairs
from execlog.store.sqlite import reading, settling, statistics
from execlog.store.sqlite.connection import POISON, Connections, Session, translated
from execlog.store.sqlite.damage import damaged, require_whole
from execlog.store.sqlite.deleting import CHUNK, remove_some
from execlog.store.sqlite.jobs import SqliteJobStore
from execlog.store.sqlite.migrating import migrate
from execlog.store.sqlite.recounting import Progress, Recount, recount
from execlog.store.sqlite.rows import text_search
from execlog.store.sqlite.upkeep import back_up, vacuum
from execlog.store.sqlite.writing import take

_WRITE, _READ = queries("sqlite", "write"), queries("sqlite", "read")
_POISON = (*POISON, ValueError, TypeError, OverflowError, RecursionError)
_decode_numbers = msgspec.json.Decoder(list[int]).decode
_decode_changes = msgspec.json.Decoder(list[tuple[int, int, list[tuple[str, str, str]]]]).decode


class SQLiteStore:
    """Executions in one SQLite file, which several processes may use at once."""

    capabilities = Capabilities(sorts=("newest", "oldest"))

    def __init__(
        self,
        path: Path | str,
        *,
        clock: Clock | None = None,
        searched: Mapping[str, tuple[str, ...]] = SEARCHED,
        busy_timeout: float = 10.0,
        read_timeout: float = 60.0,
    ) -> None:
        self.path = Path(path)
        self.mended: Counter[str] = Counter()
        self._clock = clock or SystemClock()
        self._searched = searched
        self._connections = Connections(
            self.path,
            busy_timeout=busy_timeout,
            read_timeout=read_timeout,
            functions={"has_text": text_search(searched)},
            writing=_WRITE["stages"],
        )
        self._version = migrate(self._connections, timeout=busy_timeout)
        self._connections.insist_on(self._version)
        self.pairs = SqlPairs(
            queries("sqlite", "pairs"),
            read=partial(self._connections.read, snapshot=True),
            write=self._connections.write,
            now=lambda _: self._clock.now(),
        )

    @property
    def connections(self) -> Connections:
        """What else is kept in the same file takes turns with this store through these."""
        return self._connections

    def open_jobs(self) -> JobStore:
        """The jobs in the same file; they take turns with this store's writer."""
        return SqliteJobStore(self._connections)

    def back_up(self, target: Path) -> int:
        """How many bytes the copy of the history has that is `target` now. Raises StoreError."""
        return back_up(self._connections, target)

    def vacuum(self) -> int:
        """How many bytes the file is smaller than before. Raises StoreError."""
        return vacuum(self._connections)

    @property
    def url(self) -> str:
        """Where it is."""
        return f"sqlite:///{self.path}"

    def apply(self, events: Sequence[Event]) -> Applied:
        """What became of the batch, once it is durable."""
        try:
            with self._connections.write() as session:
                return take(session, events, self._searched)
        except _POISON:
            return self._apply_carefully(events)

    def get(self, id: str, *, kind: str | None = None, namespace: str | None = None) -> Execution | None:
        """The whole execution, or None; without kind or namespace the newest of that id."""
        found = self.find(Filter(ids=(id,), kind=kind, namespace=namespace), limit=1, parts=WHOLE).entries
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
        with self._connections.read(snapshot=True) as session:
            return reading.find(session, filter, limit=limit, cursor=cursor, offset=offset, parts=parts)

    def count(self, filter: Filter) -> int:
        """How many executions the filter asks for."""
        with self._connections.read(snapshot=True) as session:
            return statistics.count(session, filter)

    def stats(self, filter: Filter, *, group_by: GroupBy | None = None) -> list[Group]:
        """Sums over the terminal executions, in one group or several."""
        with self._connections.read(snapshot=True) as session:
            return statistics.stats(session, filter, group_by)

    def latest(self, filter: Filter, *, limit: int = 1000) -> list[Execution]:
        """The newest execution of each subject, newest first."""
        with self._connections.read(snapshot=True) as session:
            return reading.latest(session, filter, limit=limit)

    def failures(self, filter: Filter, *, limit: int = 50) -> list[FailureGroup]:
        """Executions that failed, grouped by error fingerprint, the latest group first."""
        with self._connections.read(snapshot=True) as session:
            return reading.failures(session, filter, limit=limit)

    def delete(self, filter: Filter, *, keep_marks: bool = True, after_each: Callable[[], object] = bool) -> int:
        """How many executions were removed; a thousand at a time, so that writers get their turn in between.

        `after_each` is called after each of these transactions.
        """
        removed, some = 0, CHUNK
        highest = self._highest()
        while some == CHUNK:
            with self._connections.write() as session:
                marks_at = self._clock.now() if keep_marks else None
                some = remove_some(session, filter, highest=highest, marks_at=marks_at)
            removed += some
            after_each()
        return removed

    def changes(self, after: int, *, limit: int = 1000) -> list[Change]:
        """What changed after change number `after`; -1 asks for the newest alone."""
        with self._connections.read() as session:
            if after < 0:
                last = _decode_changes(session.value(_READ["last_changes"]))
                return [Change(number, *Key(*keys[-1]), bool(deleted)) for number, deleted, keys in last]
            found: Any = session.value(_READ["changes"], {"after": after, "limit": limit})
            return _spread(found, after)[:limit]

    def numbers(self, keys: Sequence[Key]) -> list[int]:
        """The rows' own short names in the order of the keys, as the views show them; 0 for one that is gone."""
        with self._connections.read() as session:
            return _decode_numbers(session.value(_READ["numbers"], {"keys": list(keys)}))

    def spaces(self) -> list[tuple[str, str]]:
        """Every (kind, namespace) that has executions; "" is among the namespaces of each kind."""
        with self._connections.read() as session:
            return settling.spaces_of(session)

    def attend(self, origin: str, *, seconds: float) -> None:
        """Note that the process `origin` is alive for this long; 0 signs it off."""
        now = self._clock.now()
        with self._connections.write() as session:
            session.run(_WRITE["attend"], {"origin": origin, "until": now + round(seconds * 1e6)})
            session.run(_WRITE["forget_processes"], {"until": now})

    def absent(self) -> list[str]:
        """The origins that have open executions but are not noted alive."""
        with self._connections.read() as session:
            found: Any = session.value(_READ["absent"], {"now": self._clock.now()})
            return sorted(msgspec.json.decode(found, type=list[str]))

    def recount(self, *, mend: bool = False, progress: Progress | None = None) -> Recount:
        """How the sums compare with the executions; with `mend`, the wrong ones become as these say.

        Raises StoreError, for values that no store writes too.
        """
        statements = queries("sqlite", "recount")
        return recount(
            statements,
            read=partial(self._connections.read, snapshot=True),
            write=self._connections.write,
            mend=mend,
            progress=progress,
        )

    def check(self) -> dict[str, str]:
        """Facts about the database, all of which is read; raises StoreError where it is damaged."""
        with self._connections.read(unhurried=True) as session:
            require_whole(self.path, int(session.value("pragma page_size")))
            flaws = [row[0] for row in session.rows("pragma quick_check(5)")]
            if flaws != ["ok"]:
                raise damaged(self.path, "; ".join(flaws))
            counts = session.rows(_READ["sizes"])[0]
            return {
                "store": "sqlite",
                "path": str(self.path),
                "sqlite": apsw.sqlite_lib_version(),
                "schema": str(self._version),
                "journal_mode": str(session.value("pragma journal_mode")),
                "bytes": str(self.path.stat().st_size),
                "integrity": "ok",
                **{name: str(value) for name, value in zip(_SIZES, counts, strict=True)},
            }

    def close(self) -> None:
        """Release the connections."""
        with translated(self.path):
            self._connections.close()

    def _highest(self) -> int:
        with self._connections.read() as session:
            return session.rows(_WRITE["look"])[0][0]

    def _apply_carefully(self, events: Sequence[Event]) -> Applied:
        """What became of a batch that something in it made fail: all is mended, and what still fails is set aside."""
        mended: Counter[str] = Counter()
        prepared = [prepare(event, mended) for event in events]
        with self._connections.write() as session:
            session.mended = True
            applied = self._bisect(session, prepared)
        self.mended += mended
        return applied

    def _bisect(self, session: Session, events: Sequence[Event]) -> Applied:
        try:
            with session.savepoint():
                return take(session, events, self._searched)
        except _POISON as error:
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
        reason = f"{type(error).__name__}: {error}"[:500]
        bindings = {"at": self._clock.now(), "reason": reason, "event": encode_event(event)}
        session.run(_WRITE["quarantine"], bindings)
        return Applied(quarantined=1, last_change=session.value(_WRITE["last_change"]))


_SIZES = ("executions", "open", "marks", "quarantined", "last_change")


def _spread(found: str, after: int) -> list[Change]:
    """The changes in rows of [the last one's number, deleted, keys], those after a number."""
    changes: list[Change] = []
    for number, deleted, keys in _decode_changes(found):
        first = number - len(keys) + 1
        changes += [Change(at, *Key(*key), bool(deleted)) for at, key in enumerate(keys, first) if at > after]
    return changes
