"""Executions are counted in their cells a few thousand at a time; what anybody is told does not depend on when."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from execlog.core import rollup
from execlog.core.filter import Filter
from execlog.core.model import Event, Status, Usage
from execlog.core.rollup import Sketch
from execlog.store.base import WHOLE
from execlog.store.memory import MemoryStore
from execlog.store.sqlite import SQLiteStore, statistics, summing
from execlog.store.sqlite.sketches import take_in
from execlog.testing.making import MIDNIGHT, events

NAMES = (*(name for name in rollup.Bucket.__struct_fields__ if name != "sketch"), "sketch")
HOUR = 3_600_000_000


def ended(number, **fields):
    said = {"id": f"run-{number:05d}", "kind": "job", "at": MIDNIGHT + number, "subject": "a", "duration": 1.0}
    return Event(**{**said, "status": Status.SUCCEEDED, **fields})


def cells_of(store):
    """The cells a store keeps, in the words of the rollup."""
    with store.connections.read() as session:
        rows = session.rows(f"select series, resolution, start, {', '.join(NAMES)} from buckets")
    found = {}
    for series, resolution, start, *sums, text in rows:
        sketch = Sketch()
        take_in(sketch, text)
        values = dict(zip(NAMES, [*sums, sketch.encode()], strict=True))
        found[rollup.Cell(series, resolution, start)] = rollup.Bucket(**values)
    return found


@pytest.fixture
def store(tmp_path):
    made = SQLiteStore(tmp_path / "execlog.db")
    yield made
    made.close()


def summed(store):
    with store.connections.read() as session:
        return session.value("select number from summed")


said = events().flatmap(
    lambda event: st.sampled_from(("a", "b\x1fc", "", None)).map(
        lambda text: Event(**{name: getattr(event, name) for name in event.__struct_fields__} | {"engine": text})
    )
)


@settings(max_examples=60, deadline=None)
@given(st.lists(st.lists(said, min_size=1, max_size=12), max_size=5), st.integers(1, 9))
def test_the_cells_are_those_of_the_rollup_in_any_split(tmp_path_factory, batches, tail):
    """With a tail of one everything is counted at once: each batch's part, and what later ones change of it."""
    store = SQLiteStore(tmp_path_factory.mktemp("cells") / "execlog.db")
    with pytest.MonkeyPatch.context() as patch:
        for turn, batch in enumerate(batches):
            patch.setattr(summing, "TAIL", 1 if turn == len(batches) - 1 else tail)
            store.apply(batch)
        patch.setattr(summing, "TAIL", 1)
        store.apply([Event(id="last", kind="job", at=1)])
    executions = [*store.find(Filter(), limit=1_000, parts=WHOLE).entries]
    assert cells_of(store) == rollup.gather(executions)
    store.close()


@given(st.lists(st.one_of(st.floats(0, 1e9), st.floats(0, 1e-5), st.floats(0.5, 2)), min_size=1, max_size=50))
@settings(max_examples=60, deadline=None)
def test_every_duration_falls_into_the_same_bin(tmp_path_factory, durations):
    store = SQLiteStore(tmp_path_factory.mktemp("bins") / "execlog.db")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(summing, "TAIL", 1)
        store.apply([ended(number, duration=seconds) for number, seconds in enumerate(durations)])
    assert cells_of(store) == rollup.gather(store.find(Filter(), limit=1_000).entries)
    store.close()


def test_the_tail_is_counted_once_it_is_long(store, monkeypatch):
    monkeypatch.setattr(summing, "TAIL", 100)
    store.apply([ended(number) for number in range(99)])
    assert summed(store) == 0
    assert cells_of(store) == {}
    assert store.stats(Filter(kind="job", subject="a"))[0].bucket.timed == 99
    store.apply([ended(99)])
    assert summed(store) == 100
    day = [bucket for cell, bucket in cells_of(store).items() if (cell.series, cell.resolution) == ("all", rollup.DAY)]
    assert sum(bucket.succeeded for bucket in day) == 100
    assert store.stats(Filter(kind="job", subject="a"))[0].bucket.timed == 100


def test_a_long_batch_is_counted_in_pieces(store, monkeypatch):
    monkeypatch.setattr(summing, "_MOST", 7)
    monkeypatch.setattr(summing, "TAIL", 10)
    store.apply([ended(number, duration=number / 3) for number in range(30)])
    assert cells_of(store) == rollup.gather(store.find(Filter(), limit=100).entries)


@pytest.mark.parametrize("counted", [True, False])
def test_what_changes_or_goes_is_counted_as_it_is(store, monkeypatch, counted):
    """An execution may be in its cells or still in the tail when it ends, changes or is deleted."""
    monkeypatch.setattr(summing, "TAIL", 1 if counted else 1_000)
    judge = MemoryStore()
    for batch in (
        [ended(number, duration=float(number), rows=number) for number in range(9)],
        [Event(id="open", kind="job", at=MIDNIGHT, subject="a", status=Status.RUNNING, started_at=MIDNIGHT)],
        [ended(3, status=Status.FAILED, at=MIDNIGHT + HOUR, duration=40.0, actor="ann", started_at=MIDNIGHT - HOUR)],
        [Event(id="open", kind="job", at=MIDNIGHT + 9, status=Status.SUCCEEDED, duration=3.0)],
    ):
        store.apply(batch)
        judge.apply(batch)
    for gone in (Filter(ids=("run-00008",)), Filter(statuses=(Status.FAILED,))):
        assert store.delete(gone) == judge.delete(gone) == 1
    for group_by in (None, "subject", "actor", "hour", "minute"):
        for filter_ in (Filter(), Filter(since=MIDNIGHT - 5, until=MIDNIGHT + 6), Filter(subject="a")):
            assert store.stats(filter_, group_by=group_by) == judge.stats(filter_, group_by=group_by)
    assert summed(store) == (12 if counted else 0)


def test_the_number_of_a_deleted_execution_is_not_given_again(store, monkeypatch):
    """Else the next one would be taken for counted."""
    monkeypatch.setattr(summing, "TAIL", 5)
    store.apply([ended(number) for number in range(5)])
    store.delete(Filter())
    store.apply([ended(9)])
    assert store.stats(Filter())[0].bucket.total == 1
    store.apply([ended(number) for number in range(10, 15)])
    assert store.stats(Filter())[0].bucket.total == 6
    assert cells_of(store) == rollup.gather(store.find(Filter()).entries)


def test_the_greatest_of_many_great_numbers_stop_nobody(store, monkeypatch):
    """What is added up stays within 64 bits, or stops at their end."""
    monkeypatch.setattr(summing, "TAIL", 5_000)
    great = {"rows": 10**15, "started_at": -(10**16), "ended_at": 10**17, "duration": None}
    usage = {"m": Usage(10**15, 10**15, cost_nano=10**15)}
    for first in (0, 5_000):
        told = [ended(n, at=MIDNIGHT, queued_at=None, usage=usage, **great) for n in range(first, first + 5_000)]
        applied = store.apply(told)
        assert (applied.inserted, applied.quarantined) == (5_000, 0)
    day = [bucket for cell, bucket in cells_of(store).items() if (cell.series, cell.resolution) == ("all", 86_400)]
    assert [bucket.rows for bucket in day] == [2**63 - 1]


@pytest.mark.parametrize("fields", [{"duration": float("nan")}, {"duration": float("inf")}, {"rows": 10**17}])
@pytest.mark.parametrize("plain", [True, False])
def test_what_cannot_be_added_up_is_mended(store, fields, plain):
    applied = store.apply([ended(1), ended(2, **fields, tags=None if plain else {"a": "b"})])
    assert (applied.inserted, applied.quarantined) == (2, 0)
    assert sum(store.mended.values()) == 1
    assert store.get("run-00002").duration == (None if "duration" in fields else 1.0)


def said_of(numbers, at):
    return [ended(number, at=at + number, duration=number / 7) for number in numbers]


def appended(store, resolution):
    """How many durations are appended to the sketch of everything, by cell."""
    with store.connections.read() as session:
        sql = "select start, sketch from buckets where series = 'all' and resolution = :resolution order by start"
        return [len(text.partition("+")[2]) // 2 for _, text in session.rows(sql, {"resolution": resolution})]


def test_the_sketch_of_an_hour_that_is_over_is_made_compact(store):
    """Even where a batch ends with the hour."""
    store.apply(said_of(range(550), MIDNIGHT))
    assert appended(store, 3_600) == [550]
    store.apply(said_of(range(550, 1_050), MIDNIGHT + HOUR))
    assert appended(store, 3_600) == [0, 500]
    assert appended(store, 86_400) == [1_050]
    assert appended(store, 60) == [550, 500]
    judge = MemoryStore()
    judge.apply([*said_of(range(550), MIDNIGHT), *said_of(range(550, 1_050), MIDNIGHT + HOUR)])
    assert store.stats(Filter(), group_by="hour") == judge.stats(Filter(), group_by="hour")


@pytest.mark.parametrize("group_by", [None, "day", "hour"])
def test_a_long_window_is_answered_as_the_short_ones_it_is_made_of(store, monkeypatch, group_by):
    monkeypatch.setattr(summing, "TAIL", 1)
    day = 24 * HOUR
    store.apply([ended(number, at=MIDNIGHT + number * 37 * day // 10) for number in range(20)])
    window = Filter(since=MIDNIGHT, until=MIDNIGHT + 80 * day)
    short = store.stats(window, group_by=group_by)
    monkeypatch.setattr(statistics, "_MANY_STARTS", 1)
    assert store.stats(window, group_by=group_by) == short
    assert store.stats(Filter(), group_by=group_by) == short
    assert sum(group.bucket.total for group in short) == 20
