"""Why an execution did not succeed, and what is different between two."""

from __future__ import annotations

import pytest

from execlog.core.model import Error, Item, Status
from execlog.history import dossier
from execlog.history.comparison import compare
from execlog.history.explanation import explain
from execlog.store.memory import MemoryStore
from histories import FAILURE, SECOND, T0, execution

NOW = T0 + 3_600 * SECOND


@pytest.fixture
def store():
    return MemoryStore()


def told(store, id_: str, **rest):
    return explain(store, dossier.get(store, id_), now=NOW, **rest)


def item(key: str, *, failed: bool) -> Item:
    error = Error("LookupError", f"no rows for {key}") if failed else None
    return Item(key=key, at=T0, status=Status.FAILED if failed else Status.SUCCEEDED, error=error)


def test_however_many_items_failed_all_are_counted(store):
    items = tuple(item(f"i{number}", failed=number > 0) for number in range(2_000))
    store.apply([execution(0, status=Status.PARTIAL, items=items)])
    found = told(store, "run-0")
    assert found.summary[0] == "1,999 of 2,000 items failed: i1, i10, i100, i1000, i1001 and 1,994 more."
    assert len(found.items) == 100


def test_a_failure_knows_its_last_success_and_what_changed_since(store):
    store.apply(
        [
            execution(0, params={"year": 2003, "source": {"url": "a"}}, context={"revision": "abc", "pid": "1"}),
            execution(1, status=Status.FAILED, error=FAILURE),
            execution(
                2,
                status=Status.FAILED,
                error=FAILURE,
                params={"year": 2004, "source": {"url": "a"}},
                context={"revision": "def", "pid": "2"},
            ),
        ]
    )
    found = told(store, "run-2")
    assert found.error.message == FAILURE.message
    assert found.last_success.id == "run-0"
    assert found.failures_since == 1
    assert [(one.path, one.before, one.after) for one in found.changed] == [
        ("params.year", 2003, 2004),
        ("context.revision", "abc", "def"),
    ]
    assert found.occurrences.count == 2
    assert found.summary == (
        f"ConnectionError: {FAILURE.message}",
        "The same error came 1 more time in the last 30 days.",
        "It is the 2nd failure in a row, since 2026-01-01 07:01 UTC; the last success was 2 min earlier.",
        "Changed since it last went well: params.year, context.revision.",
    )


def test_items_that_always_fail_are_told_from_those_that_are_new(store):
    for number in range(3):
        items = (item("GOOG", failed=True), item("AAPL", failed=False))
        store.apply([execution(number, status=Status.PARTIAL, items=items)])
    items = (item("GOOG", failed=True), item("AAPL", failed=True), item("IBM", failed=True), item("MSFT", failed=False))
    store.apply([execution(3, status=Status.PARTIAL, items=items)])
    found = told(store, "run-3")
    assert {one.key: (one.failed_before, one.seen_before) for one in found.items} == {
        "GOOG": (3, 3),
        "AAPL": (0, 3),
        "IBM": (0, 0),
    }
    assert found.summary[:2] == (
        "3 of 4 items failed: AAPL for the first time; IBM (new); GOOG as every time before.",
        "The first to fail was AAPL: LookupError: no rows for AAPL.",
    )
    assert "has not succeeded before" in " ".join(found.summary)


def test_a_first_failure_says_so(store):
    store.apply([execution(0), execution(1, status=Status.TIMED_OUT, error=Error("TimeoutError", "too long"))])
    assert told(store, "run-1").summary[1:] == (
        "This error came for the first time in 30 days.",
        "The one before it, 1 min earlier, succeeded.",
        "Nothing recorded of its parameters and surroundings is new since it last went well.",
    )


def test_an_error_that_says_no_more_than_its_type_is_said_once(store):
    store.apply([execution(1, status=Status.FAILED, error=Error("AssertionError", "AssertionError"))])
    assert told(store, "run-1").summary[0] == "AssertionError"


def test_what_succeeded_needs_no_explanation(store):
    store.apply([execution(0), execution(1)])
    found = told(store, "run-1")
    assert (found.error, found.summary, found.items) == (None, (), ())


def test_others_are_not_told_to_one_actor(store):
    store.apply(
        [
            execution(0, actor="bob"),
            execution(1, actor="bob", status=Status.FAILED, error=FAILURE),
            execution(2, actor="alice", status=Status.FAILED, error=FAILURE),
        ]
    )
    found = told(store, "run-2", actor="alice")
    assert found.last_success is None
    assert (found.occurrences.count, found.failures_since) == (1, 0)


def test_two_executions_are_compared_in_their_order(store):
    store.apply(
        [
            execution(0, items=(item("A", failed=False), item("B", failed=False)), tags={"env": "dev"}, rows=50),
            execution(1, items=(item("A", failed=True), item("C", failed=False)), duration=20.0, params={"new": [1]}),
        ]
    )
    first, second = (dossier.get(store, f"run-{number}") for number in range(2))
    for found in (compare(first, second), compare(second, first)):
        assert (found.before.id, found.after.id) == ("run-0", "run-1")
        assert [(one.path, one.before, one.after) for one in found.differences] == [
            ("params.new", None, [1]),
            ("tags.env", "dev", None),
        ]
        assert {one.key: (one.before, one.after) for one in found.items} == {
            "A": ("succeeded", "failed"),
            "C": (None, "succeeded"),
            "B": ("succeeded", None),
        }
        assert (found.duration_ratio, found.rows_ratio) == (2.0, 2.0)


def test_a_long_comparison_is_cut_and_says_so(store):
    store.apply([execution(0), execution(1, params={str(number): number for number in range(150)})])
    found = compare(dossier.get(store, "run-0"), dossier.get(store, "run-1"))
    assert (len(found.differences), found.truncated) == (100, True)


def test_nothing_is_divided_by_nothing(store):
    store.apply([execution(0, rows=0, duration=0.0), execution(1, rows=None)])
    found = compare(dossier.get(store, "run-0"), dossier.get(store, "run-1"))
    assert (found.rows_ratio, found.duration_ratio) == (None, None)
