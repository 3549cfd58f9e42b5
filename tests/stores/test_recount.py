"""The sums beside the executions: what is wrong with them is told, and written anew."""

from contextlib import closing

import pytest

from execlog.core.filter import Filter
from execlog.core.model import Status, Usage
from execlog.store.files.store import FilesStore
from execlog.store.sqlite import SQLiteStore, summing
from execlog.testing.making import DAY, HOUR, MIDNIGHT, ended

COLUMNS = "resolution, start, series, succeeded, timed, duration_micros, max_micros, sketch"
DAMAGES = {
    "a count": "update buckets set succeeded = succeeded + 1 where resolution = 3600 and series = 'all'",
    "a maximum": "update buckets set max_micros = max_micros - 1 where resolution = 86400 and series < 'b'",
    "a sketch": "update buckets set sketch = '+AB' where resolution = 60",
    "no sketch": "update buckets set sketch = '!sketch' where resolution = 86400 and series = 'all'",
    "one is gone": "delete from buckets where resolution = 600 and series = 'all'",
    "a length": "update buckets set resolution = 21601 where resolution = 21600 and series = 'all'",
    "a time": f"update buckets set start = start + {2**52} where resolution = 86400 and series = 'all'",
    "a time in no year": f"update buckets set start = start + {2**61} where resolution = 86400 and series = 'all'",
    "a name": "update buckets set series = 'al1' where resolution = 86400 and series = 'all'",
    "one too many": f"insert into buckets ({COLUMNS}) values (3600, {-DAY}, 'kind', 1, 0, 0, 0, '+')",
}
SUMMED = {
    "counted more": "update summed set number = number + 64",
    "counted less": "update summed set number = number - 16",
}


def fill(store):
    """Three days, one before 1970; some of it was said again, corrected or deleted."""
    for first in range(0, 30, 10):
        said = [
            ended(
                number, (Status.SUCCEEDED, Status.FAILED, Status.PARTIAL)[number % 3], at=MIDNIGHT + number * HOUR,
                duration=(None, 0.0, 0.25, 3e7)[number % 4], actor=("ann", None)[number % 2], rows=number,
                usage={"m": Usage(input=number, output=1, cost_nano=7)} if number % 5 == 0 else None,
            )
            for number in range(first, first + 10)
        ]  # fmt: skip
        store.apply(said)
    store.apply(
        [ended(40, at=-DAY - 7), ended(41, None, at=MIDNIGHT), ended(42, at=MIDNIGHT, engine="duck", kind="query")]
    )
    store.apply([ended(6, Status.SUCCEEDED, at=MIDNIGHT + 31 * HOUR, duration=7.0)])
    store.delete(Filter(ids=("run-0009", "run-0027")))


def sums(store):
    """All that is answered from the cells."""
    week = Filter(since=MIDNIGHT - DAY, until=MIDNIGHT + 3 * DAY)
    grouped = [store.stats(asked, group_by=by) for asked in (Filter(), week) for by in (None, "kind", "actor", "hour")]
    return [*grouped, store.stats(Filter(kind="job", subject="prices")), store.count(Filter())]


@pytest.fixture(params=["sqlite", pytest.param("postgres", marks=pytest.mark.postgres)])
def store(request, tmp_path, monkeypatch):
    monkeypatch.setattr(summing, "TAIL", 10)
    if request.param == "postgres":
        store = request.getfixturevalue("postgres_store")
        fill(store)
        yield store
        return
    with closing(SQLiteStore(tmp_path / "execlog.db")) as store:
        fill(store)
        yield store


def damage(store, sql):
    with store.connections.write() as session:
        session.run(sql)


def test_sums_are_as_the_executions_add_up(store):
    days = []
    found = store.recount(progress=lambda done, of: days.append((done, of)))
    assert (found.wrong, found.examples) == (0, ())
    assert found.compared > 100
    assert days == [(1, 3), (2, 3), (3, 3)]


@pytest.mark.parametrize("what", DAMAGES)
def test_what_is_wrong_is_told_and_mended(store, what):
    is_told_and_mended(store, DAMAGES[what])


@pytest.mark.parametrize("store", ["sqlite"], indirect=True)
@pytest.mark.parametrize("what", SUMMED)
def test_it_does_not_matter_what_is_said_to_be_counted(store, what):
    is_told_and_mended(store, SUMMED[what])


def is_told_and_mended(store, sql):
    before = sums(store)
    damage(store, sql)
    found = store.recount()
    assert 0 < found.wrong < found.compared
    assert 0 < len(found.examples) <= 3
    assert store.recount(mend=True).wrong == found.wrong
    assert store.recount().wrong == 0
    assert sums(store) == before
    store.apply([ended(50, at=MIDNIGHT)])
    assert store.recount().wrong == 0


def test_a_wrong_sum_is_named_in_words(store):
    damage(store, DAMAGES["one too many"])
    assert store.recount().examples == ("kind, hour from 1969-12-31T00:00:00Z",)


def test_the_index_of_files_is_recounted(tmp_path):
    with closing(FilesStore(tmp_path)) as store:
        fill(store)
        assert store.recount().wrong == 0
