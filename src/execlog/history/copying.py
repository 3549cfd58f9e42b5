"""Moving a history from one store to another: what is there is said again, as events, to the other store.

Saying something twice changes nothing (`core.fold`), so a copy that was broken off is simply begun anew, and one into
a store that has executions already adds to them. Marks of deletions and change numbers stay behind.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from itertools import chain
from tempfile import SpooledTemporaryFile
from typing import Any, Protocol, runtime_checkable

import msgspec
from msgspec import Struct

from execlog.core.filter import Filter
from execlog.core.fold import FIELDS, OUTCOME, STATUS, UNSAID, created
from execlog.core.model import RANK, Event, Execution, Key, Status
from execlog.store.base import WHOLE, Store
from execlog.store.jobs import JobStore
from execlog.store.pairs import EVERY_PAIR, Pairs, PairState, facts_of_state, pairs_of

BATCH = 200
MOST_MISSING = 20
_IN_MEMORY = 2**24
_PAIRS = 5_000
JOB = "job"
_encode = msgspec.json.Encoder().encode
_decode = msgspec.json.Decoder(list[tuple[Key, Status]]).decode


class Count(Struct, frozen=True):
    """How many executions of a kind and status were read from one store, and how many of these are in the other now."""

    kind: str
    status: Status
    read: int
    found: int


class Copied(Struct, frozen=True, kw_only=True):
    """What a copy did.

    executions  read and said to the other store; `written` are those that were new there or changed
    set_aside   those the other store cannot keep in any form
    foreign     records of another program that are not executions of the store read until they are imported
    missing     ids of executions (at most 20) that are not in the other store as they were read: beyond its limit,
                deleted there, or with another outcome that was said later
    counts      by kind and status
    jobs        definitions that were new there; pairs that are monitored there now
    """

    executions: int
    written: int
    set_aside: int
    missing: tuple[str, ...]
    counts: tuple[Count, ...]
    foreign: int = 0
    jobs: int = 0
    pairs: int = 0

    @property
    def complete(self) -> bool:
        """Whether everything that was there to be read is in the other store."""
        return not self.missing and not self.set_aside and not self.foreign


@runtime_checkable
class Mixed(Protocol):
    """A store in whose places other programs' records may be that it has not taken in."""

    def foreign(self) -> int:
        """How many there are, all of them of jobs."""
        ...


def copy_executions(
    source: Store, target: Store, asked: Filter, *, progress: Callable[[int], None] = lambda _: None
) -> Copied:
    """What became of copying the executions asked for, oldest first, in batches; `progress` hears how many so far.

    Raises StoreError; what was copied until then stays.
    """
    read = written = set_aside = 0
    with SpooledTemporaryFile(_IN_MEMORY) as notes:
        for batch in _batches(source, asked):
            applied = target.apply([event for execution in batch for event in events_of(execution)])
            written += applied.inserted + applied.updated
            set_aside += applied.quarantined
            notes.write(_encode([(execution.key, execution.status) for execution in batch]) + b"\n")
            read += len(batch)
            progress(read)
        notes.seek(0)
        counts, missing = _look_for(target, notes)
    return Copied(
        executions=read,
        written=written,
        set_aside=set_aside,
        missing=missing,
        counts=counts,
        foreign=foreign_in(source, asked),
    )


def foreign_in(source: Store, asked: Filter) -> int:
    """How many records of other programs a copy passes over, none where no jobs are asked for."""
    return source.foreign() if isinstance(source, Mixed) and asked.kind in (None, JOB) and not asked.namespace else 0


def copy_jobs(source: JobStore, target: JobStore) -> int:
    """How many job definitions were new to the other store; one it has under the same id stays as it is."""
    copied, cursor = 0, None
    while True:
        page = source.list(limit=100, cursor=cursor)
        for entry in page.entries:
            if target.get(entry.id) is None:
                target.put(entry, expected=None)
                copied += 1
        cursor = page.next_cursor
        if cursor is None:
            return copied


def copy_pairs(source: Store, target: Store, *, now: int) -> int:
    """How many pairs are monitored in the other store now; it knows what is known of them, their executions or not.

    Copied executions make a pair of theirs monitored: one that the first store released is released there, too.

    Raises UnsupportedError where one of the stores keeps no pairs.
    """
    mine, theirs = pairs_of(source), pairs_of(target)
    states = _monitored(mine, now)
    theirs.learn(fact for state in states for fact in facts_of_state(state))
    for calendar in {state.calendar for state in states}:
        theirs.monitor((state.pair for state in states if state.calendar == calendar), calendar=calendar)
    there = [state.pair for state in _monitored(theirs, now)]
    for start in range(0, len(there), _PAIRS):
        known = mine.states(there[start : start + _PAIRS])
        theirs.release(pair for pair, state in known.items() if not state.monitored)
    return len(states)


def _monitored(pairs: Pairs, now: int) -> list[PairState]:
    return list(chain.from_iterable(pairs.standing(now, limit=EVERY_PAIR).stalest.values()))


def statuses_in(store: Store, keys: Iterable[Key]) -> dict[Key, Status]:
    """The statuses of those executions that the store has, of at most 1000 keys."""
    places: dict[tuple[str, str], list[str]] = {}
    for key in keys:
        places.setdefault((key.kind, key.namespace), []).append(key.id)
    found: dict[Key, Status] = {}
    for (kind, namespace), ids in places.items():
        page = store.find(Filter(kind=kind, namespace=namespace, ids=tuple(ids)), limit=len(ids))
        found |= {execution.key: execution.status for execution in page.entries}
    return found


def events_of(execution: Execution) -> Iterator[Event]:
    """The events that tell a whole execution; folded into nothing they make it again, folded into it nothing new.

    An execution that was read without its stamps is told as if its last event had said it all.
    """
    stamps = execution.stamps or {}
    said: dict[int, dict[str, Any]] = {execution.at: {"items": execution.items, "logs": execution.logs}}
    for name in FIELDS:
        value = getattr(execution, name)
        if value is not None:
            said.setdefault(stamps.get(name, execution.at), {})[name] = value
    decided_at = stamps.get(STATUS, execution.at)
    if decided_at != UNSAID:
        said.setdefault(decided_at, {}).update((name, getattr(execution, name)) for name in OUTCOME)
    if created(execution.queued_at, execution.started_at, min(said)) != execution.created_at:
        said.setdefault(execution.created_at, {})  # It was spoken of before anybody said when it began.
    for at, fields in sorted(said.items()):
        yield Event(id=execution.id, kind=execution.kind, namespace=execution.namespace, at=at, **fields)


def _batches(source: Store, asked: Filter) -> Iterator[tuple[Execution, ...]]:
    ordered = msgspec.structs.replace(asked, sort="oldest")
    cursor: str | None = None
    while True:
        page = source.find(ordered, limit=BATCH, cursor=cursor, parts=WHOLE)
        if page.entries:
            yield page.entries
        cursor = page.next_cursor
        if cursor is None:
            return


def _look_for(target: Store, notes: Iterable[bytes]) -> tuple[tuple[Count, ...], tuple[str, ...]]:
    """What of what was read the other store has, and the ids of some that it has not.

    They are looked for once all are written: where room is limited, later ones have pushed out earlier ones.
    """
    read, found = Counter[tuple[str, Status]](), Counter[tuple[str, Status]]()
    missing: list[str] = []
    for batch in map(_decode, notes):
        there = statuses_in(target, [key for key, _ in batch])
        for key, status in batch:
            read[key.kind, status] += 1
            if _holds(there.get(key), status):
                found[key.kind, status] += 1
            elif len(missing) < MOST_MISSING:
                missing.append(key.id)
    counts = (Count(kind, status, number, found[kind, status]) for (kind, status), number in sorted(read.items()))
    return tuple(counts), tuple(missing)


def _holds(there: Status | None, read: Status) -> bool:
    """Whether a status is the one that was read, or one that stronger evidence has put in its place."""
    return there is not None and (there is read or RANK[there] > RANK[read])
