"""A history moves between any two stores and is the same afterwards, however often."""

from __future__ import annotations

from functools import reduce
from itertools import permutations

import pytest

from execlog.core.filter import Filter
from execlog.core.fold import begin, fold
from execlog.core.model import Error, Event, Item, LogLine, Status, Usage
from execlog.core.settings import Settings
from execlog.history.copying import copy_executions, copy_jobs, copy_pairs, events_of
from execlog.store.base import WHOLE
from execlog.store.files.store import FilesStore
from execlog.store.jobs import Entry
from execlog.store.memory import MemoryStore
from execlog.store.memory_jobs import MemoryJobStore
from execlog.store.pairs import Pair, Summary
from execlog.store.postgres.store import PostgresStore
from execlog.store.redis.store import RedisStore
from execlog.store.sqlite import SQLiteStore
from histories import SECOND, T0, mixed

KINDS = ("memory", "sqlite", "files", "redis", "postgres")


@pytest.fixture
def make(request, tmp_path):
    """Opens an empty store of a kind."""
    opened = []

    def open_one(kind):
        if kind == "memory":
            store = MemoryStore()
        elif kind == "sqlite":
            store = SQLiteStore(tmp_path / "execlog.db")
        elif kind == "files":
            store = FilesStore(tmp_path / "files")
        elif kind == "redis":
            store = RedisStore(request.getfixturevalue("empty_valkey_url"), Settings(redis_history_limit=10_000))
        else:
            store = PostgresStore(request.getfixturevalue("empty_postgres_url"))
        opened.append(store)
        return store

    yield open_one
    for store in opened:
        store.close()


def rich():
    """An execution with everything, in several events; one that runs; one that was only spoken of."""
    error = Error("TimeoutError", "Failed to fetch GOOG: Connection timeout after 30s", ("a.py:1 f",))
    return [
        *mixed(),
        Event(id="w1", kind="workflow", namespace="p", at=T0, status=Status.RUNNING, started_at=T0, name="Report"),
        Event(
            id="w1", kind="workflow", namespace="p", at=T0 + 5, status=Status.PARTIAL, ended_at=T0 + 9, duration=1e-5,
            items=(
                Item(key="a", at=T0, status=Status.SUCCEEDED), Item(key="b", at=T0, status=Status.FAILED, error=error),
            ),
            usage={"m": Usage(10, 2, cost_nano=5)}, output={"text": "ملف 文件"},
            logs=(LogLine(T0, 1, "info", "said"),), tags={"a": "b"}, metadata={"x": [1, 2.0]}, error=error,
        ),
        Event(id="r1", kind="job", at=T0, status=Status.RUNNING, started_at=T0, subject="nightly", origin="b:1"),
        Event(id="s1", kind="task", at=T0, subject="said"),
        Event(id="s1", kind="task", at=T0 + 7 * SECOND, name="Said"),
    ]  # fmt: skip


def everything(store):
    return store.find(Filter(), limit=1000, parts=WHOLE).entries


@pytest.mark.valkey
@pytest.mark.postgres
@pytest.mark.parametrize(("one", "other"), [*permutations(KINDS, 2)])
def test_a_history_is_the_same_in_any_other_store(make, one, other):
    source, target = make(one), make(other)
    source.apply(rich())
    said = []
    copied = copy_executions(source, target, Filter(), progress=said.append)
    assert copied.complete, copied
    assert copied.executions == copied.written == source.count(Filter()) == said[-1]
    assert everything(target) == everything(source)
    assert target.stats(Filter()) == source.stats(Filter())
    again = copy_executions(source, target, Filter())
    assert (again.complete, again.written) == (True, 0)


def test_only_what_is_asked_for_is_copied():
    source, target = MemoryStore(), MemoryStore()
    source.apply(rich())
    copied = copy_executions(source, target, Filter(kind="workflow", namespace="p"))
    assert [one.id for one in everything(target)] == ["w1"]
    assert [(count.kind, count.status, count.read, count.found) for count in copied.counts] == [
        ("workflow", Status.PARTIAL, 1, 1)
    ]


@pytest.mark.valkey
def test_what_the_other_store_has_no_room_for_is_named(make, empty_valkey_url):
    source, target = MemoryStore(), RedisStore(empty_valkey_url, Settings(redis_history_limit=2))
    source.apply([
        Event(id=f"e{n}", kind="job", at=T0 + n, started_at=T0 + n, status=Status.SUCCEEDED, subject="load")
        for n in range(5)
    ])  # fmt: skip
    copied = copy_executions(source, target, Filter())
    assert not copied.complete
    assert set(copied.missing) == {"e0", "e1", "e2"}
    target.close()


def ended(id_, status=Status.SUCCEEDED, *, at=T0, **fields):
    return Event(id=id_, kind="job", at=at, started_at=at, ended_at=at, status=status, **fields)


@pytest.mark.valkey
def test_what_later_ones_push_out_is_named_too(make, empty_valkey_url):
    source, target = MemoryStore(), RedisStore(empty_valkey_url, Settings(redis_history_limit=250))
    source.apply([ended(f"e{n}", at=T0 + n, subject="load") for n in range(410)])
    copied = copy_executions(source, target, Filter())
    assert not copied.complete
    assert [(count.read, count.found) for count in copied.counts] == [(410, 250)]
    target.close()


def test_ids_that_many_namespaces_have_are_found_in_each(make):
    source, target = make("memory"), make("sqlite")
    source.apply([ended(f"e{n}", namespace=f"p{p}", at=T0 + 1000 * p + n) for p in range(10) for n in range(200)])
    for _ in range(2):
        copied = copy_executions(source, target, Filter())
        assert copied.complete
        assert [(count.read, count.found) for count in copied.counts] == [(2000, 2000)]


def test_what_the_other_store_had_already_hides_nothing():
    source, target = MemoryStore(), MemoryStore()
    source.apply([ended("e"), ended("f", Status.CRASHED)])
    target.apply([ended("e", Status.FAILED, at=T0 + 1), ended("f", Status.FAILED), ended("other"), ended("more")])
    copied = copy_executions(source, target, Filter())
    assert (copied.complete, copied.missing) == (False, ("e",))
    assert [(one.status, one.read, one.found) for one in copied.counts] == [
        (Status.CRASHED, 1, 1), (Status.SUCCEEDED, 1, 0),
    ]  # fmt: skip


def test_an_execution_of_which_the_other_store_knows_more_keeps_it():
    source, target = MemoryStore(), MemoryStore()
    begun = Event(id="e", kind="job", at=T0, started_at=T0, status=Status.RUNNING)
    source.apply([begun])
    target.apply([begun, Event(id="e", kind="job", at=T0 + 1, ended_at=T0 + 1, status=Status.SUCCEEDED)])
    copied = copy_executions(source, target, Filter())
    assert target.get("e").status is Status.SUCCEEDED
    assert not copied.missing


def test_events_make_the_execution_again():
    store = MemoryStore()
    store.apply(rich())
    for execution in everything(store):
        again = MemoryStore()
        again.apply(list(events_of(execution)))
        assert everything(again) == (execution,)


def test_what_is_said_again_to_the_same_store_changes_nothing():
    """Not even which event decided a field."""
    first, *others = (event for event in rich() if event.id == "w1")
    execution = reduce(fold, others, begin(first))
    assert execution.stamps
    assert reduce(fold, events_of(execution), execution) == execution
    assert reduce(fold, events_of(execution), None) == execution
    unsaid = begin(Event(id="s1", kind="task", at=T0, subject="said"))
    assert reduce(fold, events_of(unsaid), None) == unsaid


def test_a_pair_that_was_released_stays_so():
    source, target, pair = MemoryStore(), MemoryStore(), Pair("AAPL", "1d")
    source.apply([Event(id="f", kind="feature", at=T0 - 9, subject=pair.key, status=Status.SUCCEEDED, rows=7)])
    source.pairs.release([pair])
    copy_executions(source, target, Filter())
    target.pairs.monitor([Pair("MINE", "1d")])
    assert copy_pairs(source, target, now=T0) == 0
    assert not target.pairs.states([pair])[pair].monitored
    assert target.pairs.summary(T0) == Summary(missing=1)


def test_jobs_and_pairs_come_along(tmp_path):
    one, other = MemoryJobStore(), MemoryJobStore()
    one.put(Entry(id="nightly", definition={"name": "Nightly"}, enabled=False), expected=None)
    assert (copy_jobs(one, other), copy_jobs(one, other)) == (1, 0)
    assert other.get("nightly").definition == {"name": "Nightly"}
    assert not other.get("nightly").enabled
    source, target = MemoryStore(), SQLiteStore(tmp_path / "execlog.db")
    source.apply([Event(id="f", kind="feature", at=T0 - 9, subject="AAPL/1d", status=Status.SUCCEEDED, rows=7)])
    source.delete(Filter(), keep_marks=False)
    source.pairs.monitor([Pair("AAPL", "1d"), Pair("BTC/USD", "1h")], calendar=None)
    source.pairs.monitor([Pair("MSFT", "1d")], calendar="XNYS")
    assert copy_pairs(source, target, now=T0) == 3
    assert target.pairs.summary(T0) == source.pairs.summary(T0) == Summary(fresh=1, missing=2)
    pairs = [Pair("AAPL", "1d"), Pair("BTC/USD", "1h"), Pair("MSFT", "1d")]
    assert target.pairs.states(pairs) == source.pairs.states(pairs)
    assert target.pairs.states(pairs)[Pair("MSFT", "1d")].calendar == "XNYS"
    target.close()
