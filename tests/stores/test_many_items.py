"""An execution of very many items costs a store no more an item than one of few."""

import sys
from contextlib import closing

import pytest

from every_store import EVERY_STORE
from execlog.core.model import Event, Item, Status
from execlog.store.opening import open_store


@pytest.mark.parametrize("name", EVERY_STORE)
def test_twice_the_items_of_a_batch_are_about_twice_the_work(name, new_store_url):
    with closing(open_store(new_store_url(name))) as store:
        store.apply([Event(id="a", kind="job", at=0), Event(id="b", kind="job", at=0)])
        few, many = calls(store, "a", 200), calls(store, "b", 400)
        assert store.get("b").counts.succeeded == 400
    assert many < 2.5 * few


def calls(store, id, number) -> int:
    """How many calls, of Python and of C, it takes to apply a batch with so many items, an event each."""
    batch = [
        Event(id=id, kind="job", at=at, items=(Item(key=f"i{at}", status=Status.SUCCEEDED, at=at, position=at),))
        for at in range(1, number + 1)
    ]
    made = 0

    def tally(frame, event, argument):
        nonlocal made
        made += event in {"call", "c_call"}

    sys.setprofile(tally)
    try:
        store.apply(batch)
    finally:
        sys.setprofile(None)
    return made
