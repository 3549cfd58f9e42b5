"""What is looked for among the newest first, a subject's last and ids by their beginning, is found anywhere."""

import itertools
import random
from contextlib import closing

import pytest

from execlog.core.filter import Filter
from execlog.core.model import UNSUCCESSFUL, Status
from execlog.store import nearest
from execlog.store.memory import MemoryStore
from execlog.store.nearest import first_of_each
from execlog.store.opening import open_store
from execlog.store.sqlite import SQLiteStore
from execlog.testing.conformance import ended

ASKED = (
    Filter(),
    Filter(kind="job"),
    Filter(actor="ann"),
    Filter(actor="nobody"),
    Filter(kind="query", actor="bob", statuses=tuple(UNSUCCESSFUL)),
    Filter(subject="s3"),
    Filter(item="AAPL"),
    Filter(text="timeout"),
    Filter(tags={"team": "a"}),
    Filter(sort="oldest"),
)


@pytest.fixture(params=["sqlite", "postgres"])
def opened(request, new_store_url):
    with closing(open_store(new_store_url(request.param))) as store:
        yield store


@pytest.mark.parametrize(("for_each", "far"), [(20, 100_000), (3, 20), (1, 2)])
def test_every_way_gives_what_the_judge_gives(opened, monkeypatch, for_each, far):
    monkeypatch.setattr(nearest, "FOR_EACH", for_each)
    monkeypatch.setattr(nearest, "FAR", far)
    dice = random.Random(5)
    judge = MemoryStore()
    events = [
        ended(
            number // 2,  # two begin at each instant
            dice.choice((Status.SUCCEEDED, Status.SUCCEEDED, Status.FAILED)),
            id=f"run-{number:04d}",
            kind=dice.choice(("job", "query")),
            namespace=dice.choice(("", "north")),
            subject=dice.choice((None, "s1", "s2", "s3", "s4", f"rare-{number}")),
            actor=dice.choice(("ann", "bob", None)),
            tags={"team": "a"} if number % 7 == 0 else None,
        )
        for number in range(60)
    ]
    judge.apply(events)
    opened.apply(events)
    for asked, limit in itertools.product(ASKED, (1, 5, 1000)):
        assert opened.latest(asked, limit=limit) == judge.latest(asked, limit=limit), (asked, limit)


@pytest.mark.parametrize("near", [2_000, 2])
@pytest.mark.parametrize("prefix", ["r", "run-0", "run-005", "run-0059", "x"])
def test_ids_are_found_by_their_beginning(tmp_path, monkeypatch, near, prefix):
    monkeypatch.setattr(nearest, "NEAR", near)
    judge = MemoryStore()
    events = [ended(number // 2, id=f"run-{number * 7 % 60:04d}") for number in range(60)]
    judge.apply(events)
    with closing(SQLiteStore(tmp_path / "x.db")) as store:
        store.apply(events)
        for limit, offset in itertools.product((1, 3, 50), (0, 2)):
            asked = Filter(id_prefix=prefix)
            assert store.find(asked, limit=limit, offset=offset) == judge.find(asked, limit=limit, offset=offset)


def test_what_may_be_behind_the_newest_is_not_left_out():
    rows = [(3, "job", "", "a"), (2, "job", "", None), (1, "job", "", "a")]
    assert first_of_each(rows, limit=2, most=4) == [3]
    assert first_of_each(rows, limit=1, most=3) == [3]
    assert first_of_each(rows, limit=2, most=3) is None
