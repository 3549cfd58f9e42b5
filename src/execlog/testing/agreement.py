"""Stores side by side: whatever is done to them, they answer like `MemoryStore`.

class MyAgreement(Agreement):
    def make_stores(self) -> list[Store]:
        return [MyStore(clock=self.clock)]

TestMyAgreement = MyAgreement.TestCase
"""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import Any

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from execlog.core.filter import Filter
from execlog.core.model import Event, Execution
from execlog.store.base import WHOLE, GroupBy, Part, Store
from execlog.store.memory import MemoryStore
from execlog.testing.comparing import assert_same
from execlog.testing.making import MIDNIGHT, events, filters, ids, kinds, namespaces

_GROUPS: tuple[GroupBy | None, ...] = (None, "subject", "actor", "engine", "kind", "minute", "hour", "day")
_PARTS: tuple[frozenset[Part], ...] = (frozenset(), frozenset({"detail"}), frozenset({"items", "logs"}), WHOLE)


class ManualClock:
    """A clock that stands until it is moved."""

    def __init__(self, at: int = MIDNIGHT) -> None:
        self.at = at

    def now(self) -> int:
        """UTC µs."""
        return self.at

    def monotonic(self) -> float:
        """Seconds."""
        return self.at / 1e6


class Agreement(RuleBasedStateMachine):
    """Does the same to every store and to MemoryStore, and compares what they answer."""

    def __init__(self) -> None:
        super().__init__()
        self.clock = ManualClock()
        self.judge = MemoryStore(clock=self.clock)
        self.stores = self.make_stores()

    def make_stores(self) -> list[Store]:
        """The stores under test, empty, all on `self.clock`."""
        raise NotImplementedError

    @rule(batch=st.lists(events(), min_size=1, max_size=6))
    def apply(self, batch: list[Event]) -> None:
        """The same batch for all: what became of it, and what changed, are the same."""
        before = [self._last_change(store) for store in (self.judge, *self.stores)]
        applied = self.judge.apply(batch)
        expected = [(change.key, change.deleted) for change in self.judge.changes(before[0])]
        for store, last in zip(self.stores, before[1:], strict=True):
            got = store.apply(batch)
            counted = (got.inserted, got.updated, got.ignored, got.quarantined)
            assert_same(counted, (applied.inserted, applied.updated, applied.ignored, 0), store.url)
            if store.capabilities.changes:
                assert_same(got.last_change, self._last_change(store), store.url)
                assert_same([(change.key, change.deleted) for change in store.changes(last)], expected, store.url)

    @rule(batch=st.lists(events(), min_size=1, max_size=6), seed=st.integers(0, 2**16))
    def apply_in_pieces(self, batch: list[Event], seed: int) -> None:
        """The same events in another order, in other batches, some of them twice: the same executions."""
        self.judge.apply(batch)
        dice = random.Random(seed)  # noqa: S311 - not for secrets
        for store in self.stores:
            shuffled = batch + dice.choices(batch, k=2)
            dice.shuffle(shuffled)
            cut = dice.randint(0, len(shuffled))
            for piece in (shuffled[:cut], shuffled[cut:]):
                assert_same(store.apply(piece).quarantined, 0, store.url)

    @rule(filter=filters(), keep_marks=st.booleans())
    def delete(self, filter: Filter, keep_marks: bool) -> None:  # noqa: FBT001 - drawn, not called
        """The same executions go."""
        before = [self._last_change(store) for store in (self.judge, *self.stores)]
        expected = self.judge.delete(filter, keep_marks=keep_marks)
        gone = [(change.key, change.deleted) for change in self.judge.changes(before[0])]
        for store, last in zip(self.stores, before[1:], strict=True):
            assert_same(store.delete(filter, keep_marks=keep_marks), expected, store.url)
            if store.capabilities.changes:
                changes = store.changes(last)
                assert_same([(change.key, change.deleted) for change in changes], gone, store.url)

    @rule(seconds=st.sampled_from((1, 3_600, 200_000)))
    def wait(self, seconds: int) -> None:
        """Time passes."""
        self.clock.at += seconds * 1_000_000

    @rule(filter=filters(), limit=st.integers(1, 4), parts=st.sampled_from(_PARTS))
    def find(self, filter: Filter, limit: int, parts: frozenset[Part]) -> None:
        """The same executions in the same order, page after page."""
        expected = _pages(self.judge, filter, limit, parts)
        for store in self.stores:
            assert_same(_pages(store, filter, limit, parts), expected, store.url)

    @rule(filter=filters(), limit=st.integers(1, 4), offset=st.integers(0, 6))
    def skip(self, filter: Filter, limit: int, offset: int) -> None:
        """The same after an offset."""
        self._same(lambda store: store.find(filter, limit=limit, offset=offset))

    @rule(filter=filters())
    def count(self, filter: Filter) -> None:
        """The same number."""
        self._same(lambda store: store.count(filter))

    @rule(filter=filters(), group_by=st.sampled_from(_GROUPS))
    def stats(self, filter: Filter, group_by: GroupBy | None) -> None:
        """The same groups with the same sums."""
        self._same(lambda store: store.stats(filter, group_by=group_by))

    @rule(filter=filters(), limit=st.sampled_from((1, 2, 1000)))
    def latest(self, filter: Filter, limit: int) -> None:
        """The same latest executions."""
        self._same(lambda store: store.latest(filter, limit=limit))

    @rule(filter=filters(), limit=st.sampled_from((1, 2, 50)))
    def failures(self, filter: Filter, limit: int) -> None:
        """The same groups of failures."""
        self._same(lambda store: store.failures(filter, limit=limit))

    @rule(id=ids, kind=st.none() | kinds, namespace=st.none() | namespaces)
    def get(self, id: str, kind: str | None, namespace: str | None) -> None:
        """The same whole execution."""
        self._same(lambda store: store.get(id, kind=kind, namespace=namespace))

    @rule(origin=st.sampled_from(("boot:1", "boot:2")), seconds=st.sampled_from((0.0, 5.0)))
    def attend(self, origin: str, seconds: float) -> None:
        """The same processes are missing."""
        for store in (self.judge, *self.stores):
            store.attend(origin, seconds=seconds)

    @invariant()
    def absent(self) -> None:
        """The same processes are missing, whatever was done."""
        self._same(lambda store: store.absent())

    def teardown(self) -> None:
        """At the end everything is compared once more, then the stores are closed."""
        for group_by in _GROUPS:
            self._same(lambda store, by=group_by: store.stats(Filter(), group_by=by))
        self._same(lambda store: store.find(Filter(), limit=1000, parts=WHOLE))
        for store in self.stores:
            store.close()

    def _same(self, ask: Callable[[Store], Any]) -> None:
        expected = ask(self.judge)
        for store in self.stores:
            assert_same(ask(store), expected, store.url)

    @staticmethod
    def _last_change(store: Store) -> int:
        newest = store.changes(-1) if store.capabilities.changes else []
        return newest[-1].number if newest else 0


def _pages(store: Store, filter: Filter, limit: int, parts: frozenset[Part]) -> list[tuple[Execution, ...]]:
    pages: list[tuple[Execution, ...]] = []
    cursor: str | None = None
    while True:
        page = store.find(filter, limit=limit, cursor=cursor, parts=parts)
        pages.append(page.entries)
        cursor = page.next_cursor
        if cursor is None:
            return pages
