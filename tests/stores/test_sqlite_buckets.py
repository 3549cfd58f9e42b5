"""What the store counts is what `core.rollup` says, however the executions come in."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from execlog.core import rollup
from execlog.core.errors import CodecError
from execlog.core.fold import begin
from execlog.core.model import Event, Status
from execlog.core.rollup import Sketch, bin_of
from execlog.store.preparing import complete
from execlog.store.sqlite.rows import (
    PLAIN_WRITTEN,
    WRITTEN,
    event_row,
    execution_row,
    failure_fingerprint,
    plain_row,
    text_key,
)
from execlog.store.sqlite.sketches import appended, compact, take_in
from execlog.store.sqlite.tallying import DURATION, MAX, STATUSES, TIMED, gather
from execlog.testing.making import events


def row_of(event):
    told = begin(complete(event))
    return execution_row(1, told, None, failure_fingerprint(told.status, told.error, told.items)), told


@settings(max_examples=60, deadline=None)
@given(st.lists(events(), max_size=30))
def test_cells_are_those_of_the_rollup(batch):
    rows, told = zip(*map(row_of, batch), strict=True) if batch else ((), ())
    expected = rollup.gather(told)
    found = gather(rows)
    assert {(cell.resolution, cell.start, cell.series) for cell in expected} == set(found)
    for cell, bucket in expected.items():
        delta = found[cell.resolution, cell.start, cell.series]
        assert list(delta.sums[:6]) == [getattr(bucket, status.value) for status in STATUSES]
        assert (delta.sums[TIMED], delta.sums[DURATION], delta.sums[MAX]) == (
            bucket.timed,
            bucket.duration_micros,
            bucket.max_micros,
        )
        assert list(delta.sums[9:]) == [bucket.rows, bucket.tokens_input, bucket.tokens_output, bucket.cost_nano]
        sketch = Sketch()
        take_in(sketch, appended(delta.bins))
        assert sketch.encode() == bucket.sketch


@settings(max_examples=60, deadline=None)
@given(events().filter(lambda event: event.status is not None))
def test_an_events_row_is_the_row_of_the_execution_it_begins(event):
    event = complete(event)
    if len({item.key for item in event.items}) < len(event.items):
        return
    told = begin(event)
    has_text = event.error is not None
    key = text_key(told.created_at, 7) if has_text else None
    expected = execution_row(7, told, key, failure_fingerprint(told.status, told.error, told.items))
    assert event_row(7, event, has_text=has_text) == expected


@settings(max_examples=60, deadline=None)
@given(events().filter(lambda event: event.status is not None))
def test_a_plain_row_is_the_events_row(event):
    row = plain_row(7, event)
    if row is None:
        return
    whole = dict(zip(WRITTEN, event_row(7, event, has_text=False), strict=True))
    said = dict(zip(PLAIN_WRITTEN, row, strict=True))
    unsaid = {name: value for name, value in whole.items() if name not in said}
    assert said == {name: whole[name] for name in said}
    assert {name: value for name, value in unsaid.items() if value} == {"status": "succeeded"}


@pytest.mark.parametrize("field", ["name", "subject", "actor", "engine", "origin", "input", "metadata"])
def test_a_nul_character_makes_no_plain_row(field):
    event = Event(id="a", kind="job", at=1, status=Status.SUCCEEDED)
    assert plain_row(1, event) is not None
    value = {"x": "a\0b"} if field == "metadata" else "a\0b"
    assert plain_row(1, replace(event, **{field: value})) is None


@given(st.lists(st.floats(0, 1e6), max_size=200), st.integers(0, 200))
def test_a_sketch_at_rest_keeps_what_was_appended_and_what_was_made_compact(durations, cut):
    bins = [bin_of(seconds) for seconds in durations]
    expected = Sketch()
    for number in bins:
        expected.add(number)
    first = Sketch()
    for number in bins[:cut]:
        first.add(number)
    at_rest = compact(first) + appended(bins[cut:])[1:]
    found = Sketch()
    take_in(found, at_rest)
    assert found.encode() == expected.encode()


@pytest.mark.parametrize("text", ["AAAA", "+A", "+??", "#+"])
def test_what_is_no_sketch_is_refused(text):
    with pytest.raises(CodecError):
        take_in(Sketch(), text)


def test_a_status_that_is_not_terminal_counts_nowhere():
    assert gather([row_of(Event(id="a", kind="job", at=1, status=Status.RUNNING))[0]]) == {}
