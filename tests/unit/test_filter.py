"""Filters, cursors, and what a filter means."""

import base64

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from execlog.core.errors import CursorError, InvalidError
from execlog.core.filter import Filter, Position, as_filter, decode_cursor, encode_cursor
from execlog.core.fold import begin
from execlog.core.model import Error, Event, Item, Status, Usage
from execlog.store.matching import check_page, fold_case, matches, searchable, sort_key, start_after, trim
from execlog.testing.making import filters

positions = st.builds(
    Position,
    value=st.none() | st.floats(allow_nan=False) | st.integers(-(2**62), 2**62),
    created_at=st.integers(-(2**55), 2**55),
    kind=st.text(max_size=10),
    namespace=st.text(max_size=10),
    id=st.text(max_size=40),
)


@settings(max_examples=100, deadline=None)
@given(filters(), positions)
def test_a_cursor_goes_there_and_back(question, position):
    cursor = encode_cursor(question, position)
    assert decode_cursor(question, cursor) == position
    assert cursor.isascii()
    assert not set(cursor) & set("+/= ")


@settings(max_examples=100, deadline=None)
@given(filters(), filters(), positions)
def test_a_cursor_of_another_question_is_refused_but_for_its_window(question, other, position):
    cursor = encode_cursor(question, position)
    window = {"since": question.since, "until": question.until}
    if msgspec.structs.replace(other, **window) == question:
        assert decode_cursor(other, cursor) == position
    else:
        with pytest.raises(CursorError, match="another question"):
            decode_cursor(other, cursor)


@settings(max_examples=200, deadline=None)
@given(st.text(max_size=30) | st.binary(max_size=30).map(lambda raw: base64.urlsafe_b64encode(raw).decode()))
def test_what_is_no_cursor_is_refused(text):
    with pytest.raises(CursorError):
        decode_cursor(Filter(kind="job"), text)


def test_every_changed_character_of_a_cursor_is_noticed():
    question = Filter(kind="job")
    position = Position(None, 1_763_769_600_000_000, "job", "", "0190-a")
    cursor = encode_cursor(question, position)
    for place in range(len(cursor)):
        changed = cursor[:place] + ("A" if cursor[place] != "A" else "B") + cursor[place + 1 :]
        try:
            assert decode_cursor(question, changed) == position  # the unused bits of the last character
        except CursorError:
            continue


def test_a_filter_is_made_of_plain_values():
    assert as_filter({"statuses": ["failed"], "since": "5", "min_duration": "0.5"}) == Filter(
        statuses=(Status.FAILED,), since=5, min_duration=0.5
    )
    for wrong in ({"statuses": ["bad"]}, {"since": 10**18}, {"text": "x" * 1_001}, {"sort": "random"}):
        with pytest.raises(InvalidError):
            as_filter(wrong)


EXECUTION = begin(
    Event(
        id="Ab-1",
        kind="job",
        at=10,
        namespace="n",
        status=Status.FAILED,
        name="Job",
        subject="prices",
        actor="ann",
        engine="kdb",
        started_at=5,
        ended_at=2_000_005,
        error=Error("HTTPError", "Überlauf: connection TIMEOUT"),
        items=(Item(key="AAPL", status=Status.FAILED),),
        usage={"m": Usage(3, 4, cost_nano=100)},
        tags={"team": "x", "stage": "y"},
        parent_id="p",
        root_id="r",
        retry_of="q",
        origin="boot:1",
        output={"text": "only where it is searched"},
    )
)


@pytest.mark.parametrize(
    ("yes", "no"),
    [
        ({"kind": "job"}, {"kind": "query"}),
        ({"namespace": "n"}, {"namespace": ""}),
        ({"subject": "prices"}, {"subject": "Prices"}),
        ({"actor": "ann"}, {"actor": "bob"}),
        ({"engine": "kdb"}, {"engine": "duck"}),
        ({"name": "Job"}, {"name": "job"}),
        ({"statuses": (Status.FAILED, Status.RUNNING)}, {"statuses": (Status.SUCCEEDED,)}),
        ({"ids": ("x", "Ab-1")}, {"ids": ("ab-1",)}),
        ({"id_prefix": "Ab"}, {"id_prefix": "ab"}),
        ({"since": 5}, {"since": 6}),
        ({"until": 6}, {"until": 5}),
        ({"item": "AAPL"}, {"item": "GOOG"}),
        ({"item_status": Status.FAILED}, {"item_status": Status.SUCCEEDED}),
        ({"item": "AAPL", "item_status": Status.FAILED}, {"item": "AAPL", "item_status": Status.RUNNING}),
        ({"text": "überlauf"}, {"text": "ueberlauf"}),
        ({"text": "Timeout"}, {"text": "searched"}),
        ({"text": "httperror\nü"}, {"text": "time out"}),
        ({"min_duration": 2.0}, {"min_duration": 2.1}),
        ({"max_duration": 2.0}, {"max_duration": 1.9}),
        ({"min_cost_nano": 100}, {"min_cost_nano": 101}),
        ({"max_cost_nano": 100}, {"max_cost_nano": 99}),
        ({"min_tokens": 7}, {"min_tokens": 8}),
        ({"max_tokens": 7}, {"max_tokens": 6}),
        ({"tags": {"team": "x"}}, {"tags": {"team": "x", "stage": "z"}}),
        ({"parent_id": "p"}, {"parent_id": "q"}),
        ({"root_id": "r"}, {"root_id": "q"}),
        ({"retry_of": "q"}, {"retry_of": "p"}),
        ({"origin": "boot:1"}, {"origin": "boot:2"}),
    ],
)
def test_each_field_narrows(yes, no):
    assert matches(Filter(**yes), EXECUTION)
    assert not matches(Filter(**no), EXECUTION)


def test_a_failure_is_found_by_the_fingerprint_it_is_grouped_by():
    own = EXECUTION.error
    assert own is not None
    bare = begin(Event(id="b", kind="job", at=1, status=Status.CRASHED))
    assert matches(Filter(fingerprint="3f1c6d6bb0bb"), bare) is False
    from execlog.store.preparing import failure_of

    for execution in (EXECUTION, bare):
        failure = failure_of(execution)
        assert failure is not None
        assert matches(Filter(fingerprint=failure.fingerprint), execution)


def test_more_is_searched_where_a_kind_says_so():
    assert searchable(EXECUTION) == "HTTPError\nÜberlauf: connection TIMEOUT"
    assert matches(Filter(text="is SEARCHED"), EXECUTION, {"job": ("output",)})


@pytest.mark.parametrize(
    ("text", "folded"),
    [("ABC", "abc"), ("ÄÖ", "äö"), ("ẞ", "ß"), ("Σς", "σσ"), ("İ", "İ"), ("日本", "日本"), ("\u017f", "s")],
)
def test_case_is_folded_character_by_character(text, folded):
    assert fold_case(text) == folded
    assert len(fold_case(text)) == len(text)


def test_a_cursor_leads_on_where_the_page_ended():
    for sort in ("newest", "slowest", "costliest", "oldest"):
        question = Filter(sort=sort)
        from execlog.store.matching import cursor_after

        assert start_after(question, cursor_after(question, EXECUTION)) == sort_key(question)(EXECUTION)


@pytest.mark.parametrize(("limit", "offset"), [(0, 0), (1001, 0), (1, -1), (1, 1_000_001)])
def test_a_page_has_bounds(limit, offset):
    with pytest.raises(InvalidError):
        check_page(limit, offset)


def test_a_summary_is_without_what_is_large():
    summary = trim(EXECUTION, ())
    assert (summary.items, summary.output, summary.logs, summary.stamps) == ((), None, (), None)
    assert summary.error is not None
    assert summary.usage == EXECUTION.usage
    whole = trim(EXECUTION, {"items", "detail", "logs"})
    assert whole == msgspec.structs.replace(EXECUTION, stamps=None)
