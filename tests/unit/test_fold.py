"""`fold` is a join: the same events give the same execution in any order, any grouping and any repetition."""

from functools import reduce
from itertools import permutations

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from execlog.core.fold import FIELDS, OUTCOME, begin, count, fold, fold_all, fold_head, outcome
from execlog.core.model import Counts, Error, Event, Execution, Item, LogLine, Status
from execlog.testing.making import events

ENCODE = msgspec.msgpack.Encoder(order="deterministic").encode
about_one = st.lists(
    events().map(lambda event: msgspec.structs.replace(event, id="a", kind="job", namespace="")), min_size=1, max_size=6
)


def folded(said: list[Event]) -> Execution:
    return reduce(fold, said[1:], begin(said[0]))


def same(one: Execution, other: Execution) -> bool:
    """Equal to the last bit: 1 is not True."""
    return ENCODE(one) == ENCODE(other)


@settings(max_examples=50, deadline=None)
@given(about_one, st.randoms(use_true_random=False))
def test_order_and_repetition_do_not_matter(said, dice):
    expected = folded(said)
    again = said + dice.choices(said, k=3)
    dice.shuffle(again)
    assert same(folded(again), expected)


@settings(max_examples=60, deadline=None)
@given(about_one)
def test_an_event_folded_twice_changes_nothing(said):
    expected = folded(said)
    for event in said:
        assert same(fold(expected, event), expected)


@settings(max_examples=50, deadline=None)
@given(about_one, st.integers(0, 6))
def test_many_at_once_are_one_after_the_other(said, known):
    before = folded(said[:known]) if said[:known] else None
    assert not said[known:] or same(fold_all(before, said[known:]), folded(said))


@settings(max_examples=50, deadline=None)
@given(about_one)
def test_the_head_alone_is_what_folding_makes_of_it(said):
    head = begin(said[0])
    for event in said[1:]:
        head = fold_head(head, event)
    expected = folded(said)
    for name in (*FIELDS, *OUTCOME, "at", "created_at", "stamps"):
        assert getattr(head, name) == getattr(expected, name), name


@settings(max_examples=50, deadline=None)
@given(about_one)
def test_counts_are_those_of_the_items(said):
    execution = folded(said)
    expected = Counts()
    for item in execution.items:
        expected = count(expected, None, item)
    assert execution.counts == expected
    assert expected.total == len(execution.items) == expected.succeeded + expected.failed + expected.open


def said(at: int, status: Status | None = None, **fields) -> Event:
    return Event(id="a", kind="job", at=at, status=status, **fields)


@pytest.mark.parametrize(
    ("stronger", "weaker"),
    [
        (said(1, Status.SUCCEEDED), said(9, Status.RUNNING)),
        (said(1, Status.SUCCEEDED), said(9, Status.CRASHED)),
        (said(1, Status.CRASHED), said(9, Status.RUNNING)),
        (said(1, Status.RUNNING), said(9, Status.QUEUED)),
        (said(9, Status.FAILED), said(1, Status.SUCCEEDED)),
        (said(-9, Status.FAILED), said(-10, Status.SUCCEEDED)),
        (said(0, Status.FAILED), said(-1, Status.SUCCEEDED)),
    ],
)
def test_the_stronger_evidence_wins(stronger, weaker):
    for order in permutations((stronger, weaker)):
        assert folded(list(order)).status is stronger.status


def test_an_outcome_is_said_whole():
    failed = said(1, Status.FAILED, error=Error("ValueError", "no"), ended_at=5, output={"x": 1})
    saved_again = said(2, Status.SUCCEEDED, ended_at=6)
    execution = folded([failed, saved_again])
    assert (execution.status, execution.error, execution.output) == (Status.SUCCEEDED, None, None)
    assert execution.ended_at == 6


def test_what_is_not_said_stays():
    execution = folded([said(1, Status.RUNNING, name="one", params={"a": 1}), said(2, rows=5)])
    assert (execution.name, execution.params, execution.rows, execution.status) == ("one", {"a": 1}, 5, Status.RUNNING)


def test_values_that_are_equal_but_not_the_same_have_one_answer():
    one, true = said(1, input=1), said(1, input=True)
    assert same(folded([one, true]), folded([true, one]))


def test_log_lines_of_one_moment_have_one_order():
    lines = tuple(LogLine(1, 0, "info", message) for message in ("b", "a", "c"))
    for order in permutations(lines):
        assert [line.message for line in folded([said(1, logs=(line,)) for line in order]).logs] == ["a", "b", "c"]


def test_created_at_is_when_it_was_wanted():
    assert folded([said(9, started_at=5)]).created_at == 5
    assert folded([said(9, started_at=5), said(10, queued_at=3)]).created_at == 3
    assert folded([said(9), said(7)]).created_at == 7
    assert folded([said(7), said(9, started_at=8)]).created_at == 8


@pytest.mark.parametrize(
    ("counts", "expected"),
    [
        (Counts(), Status.SUCCEEDED),
        (Counts(2, 2, 0, 0), Status.SUCCEEDED),
        (Counts(2, 1, 1, 0), Status.PARTIAL),
        (Counts(2, 0, 2, 0), Status.FAILED),
    ],
)
def test_the_items_make_the_outcome(counts, expected):
    assert outcome(counts) is expected


def test_an_item_said_twice_counts_once():
    item = Item(key="AAPL", at=1, status=Status.RUNNING)
    done = Item(key="AAPL", at=2, status=Status.SUCCEEDED)
    assert folded([said(1, items=(item, done))]).counts == Counts(1, 1, 0, 0)
    assert folded([said(1, items=(done,)), said(2, items=(item,))]).counts == Counts(1, 1, 0, 0)
