"""A store in memory: a dict of executions and `fold`.

The simplest thing that can be right; every other store is judged by it.
"""

from __future__ import annotations

import itertools
import threading
from collections import Counter, deque
from collections.abc import Collection, Iterable, Mapping, Sequence

from execlog.core.clock import Clock, SystemClock
from execlog.core.errors import StoreError
from execlog.core.filter import Filter, Page
from execlog.core.fold import fold_all
from execlog.core.model import OPEN, Event, Execution, Key
from execlog.store.base import (
    SUMMARY,
    WHOLE,
    Applied,
    Capabilities,
    Change,
    FailureGroup,
    Group,
    GroupBy,
    Part,
)
from execlog.store.matching import (
    SEARCHED,
    check_page,
    matches,
    page_of,
    sort_key,
    start_after,
    trim,
)
from execlog.store.memory_pairs import MemoryPairs
from execlog.store.preparing import prepare
from execlog.store.scanning import failures_of, latest_of, stats_of

CHANGES_KEPT = 100_000


class MemoryStore:
    """Keeps executions for as long as the process lives."""

    capabilities = Capabilities(durable=False, shared=False, jobs=False)
    url = "memory://"

    def __init__(self, clock: Clock | None = None, searched: Mapping[str, tuple[str, ...]] = SEARCHED) -> None:
        self._clock = clock or SystemClock()
        self._searched = searched
        self._lock = threading.RLock()
        self._executions: dict[Key, Execution] = {}
        self._marks: dict[Key, tuple[int, bool]] = {}
        self._changes: deque[Change] = deque(maxlen=CHANGES_KEPT)
        self._last_change = 0
        self._alive: dict[str, int] = {}
        self._closed = False
        self.mended: Counter[str] = Counter()
        self.pairs = MemoryPairs(lambda: self._matching(Filter()), self._clock)

    def apply(self, events: Sequence[Event]) -> Applied:
        """What became of the batch."""
        mended: Counter[str] = Counter()
        prepared = [prepare(event, mended) for event in events]
        with self._open():
            kept = [event for event in prepared if not self._is_deleted(event)]
            said: dict[Key, list[Event]] = {}
            for event in kept:
                said.setdefault(event.key, []).append(event)
            before = {key: self._executions.get(key) for key in said}
            self._executions.update({key: fold_all(before[key], events) for key, events in said.items()})
            inserted = [key for key, old in before.items() if old is None]
            changed = [key for key, old in before.items() if self._executions[key] != old]
            self._note(changed, deleted=False)
            self.pairs.take(kept)
            self.mended += mended
            ignored = len(prepared) - len(kept)
            return Applied(len(inserted), len(changed) - len(inserted), ignored, last_change=self._last_change)

    def get(self, id: str, *, kind: str | None = None, namespace: str | None = None) -> Execution | None:
        """The whole execution, or None; without kind or namespace the newest of that id."""
        found = self._newest(Filter(ids=(id,), kind=kind, namespace=namespace))
        return trim(found[0], WHOLE) if found else None

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
        found = self._matching(filter)
        key, upwards = sort_key(filter), filter.sort == "oldest"
        found.sort(key=key, reverse=not upwards)
        if cursor is not None:
            end = start_after(filter, cursor)
            found = [entry for entry in found if (key(entry) > end if upwards else key(entry) < end)]
        page = found[offset : offset + limit + 1]
        return page_of(filter, [trim(entry, parts) for entry in page], limit)

    def count(self, filter: Filter) -> int:
        """How many executions the filter asks for."""
        return len(self._matching(filter))

    def stats(self, filter: Filter, *, group_by: GroupBy | None = None) -> list[Group]:
        """Sums over the terminal executions, in one group or several."""
        return stats_of(self._matching(filter), group_by)

    def latest(self, filter: Filter, *, limit: int = 1000) -> list[Execution]:
        """The newest execution of each (kind, namespace, subject), newest first."""
        return latest_of(self._newest(filter), limit)

    def failures(self, filter: Filter, *, limit: int = 50) -> list[FailureGroup]:
        """Executions that failed, grouped by error fingerprint, the latest group first."""
        return failures_of(self._newest(filter), limit)

    def delete(self, filter: Filter, *, keep_marks: bool = True) -> int:
        """How many executions were removed."""
        with self._open():
            at = self._clock.now()
            gone = self._matching(filter)
            for execution in gone:
                del self._executions[execution.key]
                if keep_marks:
                    old_at, was_open = self._marks.get(execution.key, (at, False))
                    self._marks[execution.key] = (max(at, old_at), was_open or execution.status in OPEN)
            gone.sort(key=sort_key(Filter()), reverse=True)
            self._note([execution.key for execution in gone], deleted=True)
            return len(gone)

    def changes(self, after: int, *, limit: int = 1000) -> list[Change]:
        """What changed after change number `after`; -1 asks for the newest alone."""
        with self._open():
            if after < 0:
                return list(self._changes)[-1:]
            return list(itertools.islice((change for change in self._changes if change.number > after), limit))

    def attend(self, origin: str, *, seconds: float) -> None:
        """Note that the process `origin` is alive for this long; 0 signs it off."""
        with self._open():
            self._alive[origin] = self._clock.now() + round(seconds * 1e6)

    def absent(self) -> list[str]:
        """The origins that have open executions but are not noted alive."""
        with self._open():
            now = self._clock.now()
            origins = {entry.origin for entry in self._executions.values() if entry.origin and entry.status in OPEN}
            return sorted(origin for origin in origins if self._alive.get(origin, 0) <= now)

    def check(self) -> dict[str, str]:
        """Facts about the store."""
        with self._open():
            return {"store": "memory", "executions": str(len(self._executions)), "marks": str(len(self._marks))}

    def close(self) -> None:
        """Refuse further calls; the content goes with the object."""
        self._closed = True

    def _open(self) -> threading.RLock:
        if self._closed:
            raise StoreError("the store is closed", retry=False)
        return self._lock

    def _is_deleted(self, event: Event) -> bool:
        at, was_open = self._marks.get(event.key, (None, False))
        return at is not None and (was_open or event.at <= at)

    def _note(self, keys: Iterable[Key], *, deleted: bool) -> None:
        for key in keys:
            self._last_change += 1
            self._changes.append(Change(self._last_change, *key, deleted))

    def _matching(self, filter: Filter) -> list[Execution]:
        with self._open():
            everything = list(self._executions.values())
        return [execution for execution in everything if matches(filter, execution, self._searched)]

    def _newest(self, filter: Filter) -> list[Execution]:
        return sorted(self._matching(filter), key=sort_key(Filter()), reverse=True)
