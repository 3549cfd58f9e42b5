"""What job stores in SQL databases have in common: the steps, each one transaction of named statements.

The statements of a database have the same names, bindings and columns; batches are bound as one JSON text.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from contextlib import AbstractContextManager
from typing import Any

import msgspec
from msgspec.structs import replace

from execlog.core.errors import NotFoundError
from execlog.core.filter import Page
from execlog.store.jobs import (
    Advance,
    Due,
    Entry,
    Firing,
    FiringKey,
    Settled,
    admit,
    changed,
    decode_job_cursor,
    encode_job_cursor,
    refused,
    taken,
)

_ALL = 2**62
_json = msgspec.json.Encoder()
Rows = list[tuple[Any, ...]]
Run = Callable[..., Rows]


class SqlJobStore(ABC):
    """A `JobStore` as far as it is the same in every SQL database."""

    @abstractmethod
    def transaction(self) -> AbstractContextManager[Run]:
        """A function that runs a named statement inside one write transaction."""

    @abstractmethod
    def read(self, query: str, **values: Any) -> Rows:
        """The rows of a named statement that only reads."""

    @abstractmethod
    def close(self) -> None:
        """Release connections. Closing twice is fine."""

    @abstractmethod
    def hold(self, run: Run, ids: Iterable[str]) -> None:
        """Nothing; until the transaction ends nobody else changes these jobs or gives them firings."""

    @abstractmethod
    def claimable(self, run: Run, now: int, limit: int) -> dict[str, Any]:
        """What `claim_firings` is bound to beside the claim itself."""

    def put(self, entry: Entry, *, expected: int | None) -> Entry:
        """The entry as kept; see `JobStore`."""
        row = {name: getattr(entry, name) for name in _ENTRY_FIELDS} | {
            "definition": _json.encode(entry.definition).decode(),
            "enabled": entry.enabled,
            "expected": expected,
        }
        with self.transaction() as run:
            found = run("insert_job" if expected is None else "update_job", **row)
            kept = run("version_of", id=entry.id)
        if found:
            return replace(entry, version=kept[0][0], skipped=kept[0][1])
        if expected is None:
            raise taken(entry.id)
        if not kept:
            raise NotFoundError(f"there is no job {entry.id!r}")
        raise changed(entry.id, expected, kept[0][0])

    def get(self, job_id: str) -> Entry | None:
        """The job, or None."""
        found = self.read("job", id=job_id)
        return _entry(found[0]) if found else None

    def list(self, *, limit: int = 50, cursor: str | None = None) -> Page[Entry]:
        """A page of jobs, the newest made first."""
        created_at, before = decode_job_cursor(cursor) if cursor else (2**62, "")
        rows = self.read("list_jobs", created_at=created_at, before=before, limit=limit + 1)
        entries = tuple(map(_entry, rows[:limit]))
        return Page(entries, encode_job_cursor(entries[-1]) if len(rows) > limit else None)

    def remove(self, job_id: str) -> list[Firing] | None:
        """The job's firings as they were; None where there is no such job."""
        with self.transaction() as run:
            return _cancel(run, job_id) if run("delete_job", id=job_id) else None

    def due(self, now: int, *, limit: int) -> Due:
        """The due jobs, and when to look again."""
        entries = [_entry(row) for row in self.read("due_jobs", now=now, limit=limit)]
        return Due(entries, self.read("wake_at", now=now)[0][0])

    def advance(self, advances: Sequence[Advance]) -> list[Firing]:
        """The firings made."""
        if not advances:
            return []
        steps = [{name: getattr(step, name) for name in _STEP_FIELDS} for step in advances]
        with self.transaction() as run:
            self.hold(run, (step.job_id for step in advances))
            moved = {row[0] for row in run("advance_jobs", steps=_encode(steps))}
            wanted = [firing for step in advances if step.job_id in moved for firing in step.firings]
            made = self._insert(run, wanted)
            dropped = Counter(firing.job_id for firing in wanted)
            dropped.subtract(firing.job_id for firing in made)
            dropped = +dropped
            if dropped:
                run("count_skipped", dropped=_encode(dropped))
        return made

    def enqueue(self, firing: Firing) -> Firing:
        """The firing, waiting."""
        with self.transaction() as run:
            self.hold(run, (firing.job_id,))
            if not run("version_of", id=firing.job_id):
                raise NotFoundError(f"there is no job {firing.job_id!r}")
            instant = run("next_instant", job_id=firing.job_id, instant=firing.instant)[0][0]
            made = self._insert(run, [replace(firing, state="waiting", instant=instant)])
        if not made:
            raise refused(firing)
        return made[0]

    def claim(self, holder: str, *, now: int, lease_until: int, limit: int) -> list[Firing]:
        """The firings claimed."""
        with self.transaction() as run:
            held = self.claimable(run, now, limit)
            rows = run("claim_firings", holder=holder, now=now, lease_until=lease_until, limit=limit, **held)
        return sorted(map(_firing, rows), key=lambda firing: (firing.due_at, firing.key))

    def begin(self, firings: Sequence[Firing]) -> list[Firing]:
        """The firings started."""
        if not firings:
            return []
        with self.transaction() as run:
            rows = run("begin_firings", firings=_claims(firings))
        begun = {FiringKey(*row[:3]): bool(row[3]) for row in rows}
        return [replace(it, state="started", cancel=begun[it.key]) for it in firings if it.key in begun]

    def renew(self, holder: str, *, lease_until: int) -> list[Firing]:
        """The holder's firings to cancel."""
        with self.transaction() as run:
            run("renew_firings", holder=holder, lease_until=lease_until)
            return [_firing(row) for row in run("cancelled_firings", holder=holder)]

    def settle(self, firings: Sequence[Firing], *, follow: Sequence[Firing] = ()) -> Settled:
        """How many firings ended, and the retries made."""
        if not firings:
            return Settled(0, [])
        with self.transaction() as run:
            self.hold(run, (firing.job_id for firing in follow))
            rows = run("settle_firings", firings=_claims(firings))
            owed = {FiringKey(*row[:3]) for row in rows if not row[3]}
            after = [it for it in follow if it.key._replace(attempt=it.attempt - 1) in owed]
            after = [it for it in after if run("version_of", id=it.job_id)]
            made = {FiringKey(*row) for row in (run("insert_firings", firings=_encode(after)) if after else ())}
        return Settled(len(rows), [it for it in after if it.key in made])

    def cancel(self, job_id: str) -> list[Firing]:
        """The job's firings as they were."""
        with self.transaction() as run:
            self.hold(run, (job_id,))
            return _cancel(run, job_id)

    def firings(self, *, job_id: str | None = None, expired_at: int | None = None, limit: int = 1000) -> list[Firing]:
        """Firings by due time."""
        if expired_at is not None:
            rows = self.read("expired_firings", expired_at=expired_at, job_id=job_id, limit=limit)
        elif job_id is not None:
            rows = self.read("firings_of", job_id=job_id, limit=limit)
        else:
            rows = self.read("all_firings", limit=limit)
        return [_firing(row) for row in rows]

    def _insert(self, run: Run, firings: Sequence[Firing]) -> list[Firing]:
        """Those of the firings that their overlap policies let in and whose instants are new, in the state they got."""
        if not firings:
            return []
        ids = sorted({firing.job_id for firing in firings})
        counts = {row[0]: [row[1], row[2]] for row in run("count_firings", ids=_encode(ids))}
        admitted: dict[FiringKey, Firing] = {}
        for firing in firings:
            running, waiting = counts.setdefault(firing.job_id, [0, 0])
            state = admit(firing, running=running, waiting=waiting)
            if state is None or firing.key in admitted:
                continue
            if state == "waiting":
                firing = replace(firing, state=state, holder="", fence=0, lease_until=0)  # noqa: PLW2901 - the one that is written
                counts[firing.job_id][1] += firing.attempt == 1
            else:
                counts[firing.job_id][0] += 1
            admitted[firing.key] = firing
        rows = run("insert_firings", firings=_encode(list(admitted.values()))) if admitted else ()
        return [admitted[FiringKey(*row)] for row in rows]


_ENTRY_FIELDS = ("id", "next_at", "due_at", "last_at", "skipped", "created_at", "updated_at")
_STEP_FIELDS = ("job_id", "version", "was_at", "next_at", "due_at", "last_at", "skipped")
_CLAIM_FIELDS = ("job_id", "instant", "attempt", "holder", "fence")


def _cancel(run: Run, job_id: str) -> list[Firing]:
    found = [_firing(row) for row in run("firings_of", job_id=job_id, limit=_ALL)]
    run("delete_waiting", id=job_id)
    run("flag_firings", job_id=job_id)
    return found


def _encode(value: Any) -> str:
    return _json.encode(value).decode()


def _claims(firings: Sequence[Firing]) -> str:
    return _encode([{name: getattr(firing, name) for name in _CLAIM_FIELDS} for firing in firings])


def _entry(row: tuple[Any, ...]) -> Entry:
    return Entry(
        id=row[0],
        definition=msgspec.json.decode(row[1]),
        version=row[2],
        enabled=bool(row[3]),
        next_at=row[4],
        due_at=row[5],
        last_at=row[6],
        skipped=row[7],
        created_at=row[8],
        updated_at=row[9],
    )


def _firing(row: tuple[Any, ...]) -> Firing:
    (job_id, instant, attempt, execution_id, due_at, state, holder, fence, lease_until, overlap, manual, *rest) = row
    triggered_by, retry_of, root_id, items, cancel = rest
    return Firing(
        job_id=job_id,
        instant=instant,
        attempt=attempt,
        execution_id=execution_id,
        due_at=due_at,
        state=state,
        holder=holder,
        fence=fence,
        lease_until=lease_until,
        overlap=overlap,
        manual=bool(manual),
        triggered_by=triggered_by,
        retry_of=retry_of,
        root_id=root_id,
        items=tuple(msgspec.json.decode(items)) if items and items != "null" else None,
        cancel=bool(cancel),
    )
