"""The slowest are looked for where cells say that they are, and are the ones that sorting all would find."""

import random
from contextlib import closing

import pytest

from execlog.core.filter import Filter
from execlog.core.model import Event, Status
from execlog.store.memory import MemoryStore
from execlog.store.opening import open_store
from execlog.store.sqlite import slowest
from execlog.testing.making import MIDNIGHT, SECOND, ended

DAYS = 4 * 24 * 3_600
ASKED = (
    {},
    {"kind": "job"},
    {"kind": "job", "namespace": "", "subject": "s1"},
    {"subject": "s2"},
    {"actor": "ann"},
    {"kind": "query", "actor": "bob", "engine": "kdb"},
    {"engine": "kdb"},
    {"kind": "job", "namespace": "north"},
    {"min_duration": 30.0},
    {"subject": "s3", "min_duration": 0.0},
    {"actor": "bob", "min_duration": 1e9},
    {"kind": "job", "min_duration": 2e9},
)
LENGTHS = (0.0, 1e-6, 0.25, 0.25, 30.0, 30.0, 30.1, 3_600.0, 1e9, None)


def made(dice: random.Random, number: int) -> Event:
    """An execution at any time of four days, some still open, many as long as others."""
    length = dice.choice(LENGTHS) if number % 3 else dice.lognormvariate(0, 2)
    changes = {
        "id": f"run-{number:05d}",
        "kind": dice.choice(("job", "query")),
        "namespace": dice.choice(("", "north")),
        "subject": dice.choice((None, "s1", "s2", "s3")),
        "actor": dice.choice(("ann", "bob", None)),
        "engine": dice.choice(("kdb", None)),
        "duration": length,
    }
    status = dice.choice((Status.SUCCEEDED, Status.SUCCEEDED, Status.FAILED, Status.RUNNING))
    return ended(dice.randrange(DAYS), status, **changes)


@pytest.fixture(params=["sqlite", "postgres"])
def opened(request, new_store_url):
    with closing(open_store(new_store_url(request.param))) as store:
        yield store


@pytest.fixture
def looked(monkeypatch):
    """Of each question whether it was told where to look."""
    told: list[bool] = []
    look = slowest.look

    def watched(*arguments):
        found = look(*arguments)
        told.append(found is not None)
        return found

    for store in ("sqlite", "postgres"):
        monkeypatch.setattr(f"execlog.store.{store}.slowest.look", watched)
    return told


def windows(dice: random.Random) -> list[dict[str, int]]:
    """All of time, and two windows that begin and end anywhere."""
    starts = [MIDNIGHT + dice.randrange(DAYS * SECOND) for _ in range(2)]
    return [{}, {"since": starts[0]}, {"since": min(starts), "until": max(starts) + 1}]


@pytest.mark.parametrize("seed", [1, 2])
def test_they_are_the_ones_that_sorting_all_finds(opened, looked, monkeypatch, seed):
    monkeypatch.setattr(slowest, "FEW", 0)
    dice = random.Random(seed)
    judge = MemoryStore()
    events = [made(dice, number) for number in range(1_300)]
    for first in range(0, len(events), 260):
        judge.apply(events[first : first + 260])
        opened.apply(events[first : first + 260])
    for asked in ASKED:
        for window in windows(dice):
            filter_ = Filter(**asked, **window, sort="slowest")
            cursor = None
            for limit in (1, 20, 45):
                expected = judge.find(filter_, limit=limit, cursor=cursor)
                assert opened.find(filter_, limit=limit, cursor=cursor) == expected, (filter_, limit, cursor)
                cursor = expected.next_cursor
                if cursor is None:
                    break
            assert opened.find(filter_, limit=5, offset=7) == judge.find(filter_, limit=5, offset=7), filter_
    assert sum(looked) > len(looked) / 2


@pytest.mark.parametrize("asked", [{}, {"actor": "ann"}, {"subject": "s1"}])
def test_nothing_is_found_in_nothing_and_what_has_no_duration(opened, monkeypatch, asked):
    monkeypatch.setattr(slowest, "FEW", -1)
    assert opened.find(Filter(**asked, sort="slowest")).entries == ()
    opened.apply([ended(1, id="unknown", subject="s1", actor="ann", duration=None)])
    assert len(opened.find(Filter(**asked, sort="slowest")).entries) == 1


@pytest.mark.parametrize(
    ("limits", "is_looked_for"),
    [
        ({"FEW": 0}, True),
        ({"FEW": 600}, False),
        ({"FEW": 0, "MOST_ROWS": 599}, False),
        ({"FEW": 0, "MOST_CELLS": 0}, False),
    ],
)
def test_few_and_what_very_many_reach_are_sorted_all(monkeypatch, new_store_url, looked, limits, is_looked_for):
    for name, value in limits.items():
        monkeypatch.setattr(slowest, name, value)
    events = [ended(number * 60, id=f"run-{number:03d}", duration=30.0) for number in range(600)]
    judge = MemoryStore()
    judge.apply(events)
    with closing(open_store(new_store_url("sqlite"))) as store:
        store.apply(events)
        assert store.find(Filter(sort="slowest"), limit=10) == judge.find(Filter(sort="slowest"), limit=10)
    assert looked == [is_looked_for]
