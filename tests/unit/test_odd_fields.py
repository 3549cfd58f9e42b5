"""What callers hand in that no field can take: it costs itself alone, is kept beside the record and counted."""

from __future__ import annotations

from datetime import UTC, datetime
from uuid import UUID

import pytest

from execlog.core.clock import micros
from execlog.core.model import Error, Event, Item, LogLine, Status, Usage
from journals import TIMES, said


def test_ids_given_are_checked(recorder):
    recorder.record("load", id="fine", **TIMES)
    recorder.record("load", id="../escape", **TIMES)
    assert [event.id for event in said(recorder)] == ["fine"]
    assert recorder.refused == {"invalid": 1}


@pytest.mark.parametrize("id_", [5, UUID(int=7), b"a"], ids=repr)
def test_an_id_that_is_no_text_is_taken_by_its_text(recorder, id_):
    assert recorder.record("load", id=id_, **TIMES) == str(id_)
    assert [event.id for event in said(recorder)] == [str(id_)]
    assert (recorder.refused, recorder.mended) == ({}, {"field": 1})


@pytest.mark.parametrize("fields", [{"kind": None}, {"namespace": None}, {"at": None}, {"items": None}], ids=str)
def test_none_says_nothing(recorder, fields):
    for _ in range(3):
        recorder.record("load", **TIMES, **fields)
    assert [(event.kind, event.namespace, event.items) for event in said(recorder)] == [("task", "", ())] * 3
    assert (recorder.refused, recorder.mended) == ({}, {})


class Mute:
    """What has no text, and cannot be looked up."""

    __hash__ = None

    def __str__(self):
        raise RuntimeError("no text")

    __repr__ = __str__


@pytest.mark.parametrize(
    ("odd", "kept"),
    [
        ({"bogus": 1}, {"metadata": {"bogus": 1, "page": 2}}),
        ({"duration": "long"}, {"metadata": {"duration": "long", "page": 2}}),
        ({"rows": "many", "bogus": 1}, {"metadata": {"rows": "many", "bogus": 1, "page": 2}}),
        ({"started_at": "soon", "ended_at": None}, {"metadata": {"started_at": "soon", "page": 2}}),
        ({"items": 5, "tags": 7}, {"metadata": {"items": 5, "tags": 7, "page": 2}}),
        ({"logs": [3.5]}, {"metadata": {"logs": [3.5], "page": 2}}),
        ({"actor": 7}, {"actor": "7", "metadata": {"page": 2}}),
        ({"actor": {"id": 1}}, {"actor": "{'id': 1}", "metadata": {"page": 2}}),
        ({"engine": Mute()}, {"engine": "<Mute: repr failed with RuntimeError>", "metadata": {"page": 2}}),
        ({"at": "soon"}, {"metadata": {"at": "soon", "page": 2}}),
        ({"status": ["late"]}, {"status": Status.FAILED, "metadata": {"status": ["late"], "page": 2}}),
        ({"status": "excellent"}, {"status": Status.FAILED, "metadata": {"status": "excellent", "page": 2}}),
        ({"status": "completed"}, {"status": Status.SUCCEEDED, "metadata": {"page": 2}}),
        ({"status": "Timeout"}, {"status": Status.TIMED_OUT, "metadata": {"page": 2}}),
        ({"metadata": 5}, {"metadata": {"metadata": 5}}),
    ],
    ids=",".join,
)
def test_an_odd_field_costs_itself_alone(recorder, caplog, odd, kept):
    for _ in range(3):
        recorder.record("load", **{"kind": "etl", "subject": "s", "metadata": {"page": 2}} | TIMES | odd)
    events = said(recorder)
    assert [event.name for event in events] == ["load"] * 3
    for event in events:
        assert {name: getattr(event, name) for name in kept} == kept
        assert (event.kind, event.subject) == ("etl", "s")
    assert recorder.refused == {}
    assert recorder.mended == {"field": 3 * len([value for value in odd.values() if value is not None])}
    assert len(caplog.records) == 1


def test_an_odd_figure_is_noticed_on_the_short_path_too(recorder):
    for duration, rows in ((0.5, 3), ("long", 3), (0.5, 2.0)):
        recorder.record("load", **TIMES, duration=duration, rows=rows)
    assert [(event.duration, event.rows) for event in said(recorder)] == [(0.5, 3), (None, 3), (0.5, 2)]


@pytest.mark.parametrize(
    ("items", "stand", "odd"),
    [
        (
            [{"key": "a", "rows": "many"}, {"key": "b", "status": "failed", "error": "no answer"}, "c"],
            [("a", "succeeded", {"rows": "many"}), ("b", "failed", None), ("c", "succeeded", None)],
            2,
        ),
        ([{"key": "a", "status": "timeout"}, "b"], [("a", "timed_out", None), ("b", "succeeded", None)], 2),
        ([{"key": "a", "status": "weird"}, "b"], [("a", "failed", {"status": "weird"}), ("b", "succeeded", None)], 2),
        ({"a": "failed"}, [], 1),
        ([{"key": "a", "venue": "X", "data": {"n": 1}}], [("a", "succeeded", {"venue": "X", "n": 1})], 2),
        (["a", 5], [("a", "succeeded", None), ("5", "succeeded", None)], 2),
        ([{"key": "a", "status": "failed"}, {"rows": 1}], [("a", "failed", None), ("1", "succeeded", None)], 1),
    ],
    ids=str,
)
def test_an_odd_item_costs_itself_alone(recorder, items, stand, odd):
    recorder.record("load", **TIMES, items=items)
    (event,) = said(recorder)
    assert [(item.key, item.status, item.data) for item in event.items] == stand
    assert (event.metadata is None) == bool(stand)
    assert (recorder.refused, recorder.mended) == ({}, {"field": odd})


def test_log_lines_are_taken_as_texts_as_fields_and_as_they_are(recorder):
    lines = ["begun", {"message": "half", "level": "warning", "item": "AAPL", "at": 7}, LogLine(8, 9, "error", "end")]
    recorder.record("load", **TIMES, at=5, logs=iter(lines))
    (event,) = said(recorder)
    assert event.logs == (
        LogLine(5, 0, "info", "begun"),
        LogLine(7, 1, "warning", "half", "AAPL"),
        LogLine(8, 9, "error", "end"),
    )
    assert not recorder.mended


def test_a_log_line_that_is_none_is_kept_beside_the_record(recorder):
    recorder.record("load", **TIMES, logs=[{"text": "no such field"}], rows=3)
    (event,) = said(recorder)
    assert (event.logs, event.rows, event.metadata) == ((), 3, {"logs": [{"text": "no such field"}]})
    assert recorder.mended


def test_items_that_can_be_read_only_once_are_kept_beside_an_odd_field(recorder):
    def read(rows):
        yield {"key": "a", "rows": rows}
        yield "b"

    recorder.record("load", **TIMES, bogus=1, items=read(2))
    recorder.record("load", **TIMES, items=read("many"))
    recorder.record("load", **TIMES, items=(1 // number and str(number) for number in (1, 0)))
    assert [[item.key for item in event.items] for event in said(recorder)] == [["a", "b"], ["a", "b"], ["1"]]
    assert recorder.refused == {}


@pytest.mark.parametrize(
    ("usage", "kept", "left"),
    [
        ({"gpt": {"input": 1, "oddfield": 2}}, {"gpt": Usage(input=1)}, {"gpt": {"oddfield": 2}}),
        ({"gpt": {"input": "many", "output": 2}}, {"gpt": Usage(output=2)}, {"gpt": {"input": "many"}}),
        ({"gpt": {"cost": 0.5}, "o": 5}, {"gpt": Usage(cost_nano=500_000_000)}, {"o": 5}),
        ({"gpt": Usage(calls=3), "o": {"odd": 1}}, {"gpt": Usage(calls=3)}, {"o": {"odd": 1}}),
        ({"gpt": {"odd": 1}}, None, {"gpt": {"odd": 1}}),
        ("all of it", None, "all of it"),
    ],
    ids=str,
)
def test_of_a_usage_what_is_known_counts_and_the_rest_is_kept(recorder, usage, kept, left):
    recorder.record("ask", **TIMES, usage=usage)
    (event,) = said(recorder)
    assert (event.usage, event.metadata) == (kept, {"usage": left})
    assert (recorder.refused, recorder.mended) == ({}, {"field": 1})


@pytest.mark.parametrize(
    ("error", "kept", "left"),
    [
        ({"type": "E", "message": "m", "code": 7}, Error("E", "m"), {"code": 7}),
        ({"message": "m", "frames": 5}, Error("Error", "m"), {"frames": 5}),
        ({"code": 7}, None, {"code": 7}),
    ],
    ids=str,
)
def test_of_an_error_what_is_known_counts_and_the_rest_is_kept(recorder, error, kept, left):
    recorder.record("load", **TIMES, error=error)
    recorder.record("load", **TIMES, status="failed", items=[{"key": "a", "status": "failed", "error": error}])
    first, second = said(recorder)
    assert (first.status, first.error, first.metadata) == (Status.FAILED, kept, {"error": left})
    (item,) = second.items
    assert (item.status, item.error, item.data) == (Status.FAILED, kept, {"error": left})
    assert (recorder.refused, recorder.mended) == ({}, {"field": 3})


def test_a_time_said_is_read_as_the_others(recorder):
    at = datetime(2026, 1, 31, tzinfo=UTC)
    recorder.record("load", at=at, status="failed")
    assert [(event.at, event.ended_at) for event in said(recorder)] == [(micros(at), micros(at))]


@pytest.mark.parametrize(
    ("fields", "status"),
    [
        ({}, Status.SUCCEEDED),
        ({"error": KeyError("x")}, Status.FAILED),
        ({"error": "no answer"}, Status.FAILED),
        ({"error": TimeoutError()}, Status.TIMED_OUT),
        ({"error": KeyboardInterrupt()}, Status.CANCELLED),
        ({"error": "a warning", "status": "succeeded"}, Status.SUCCEEDED),
        ({"items": ["a", {"key": "b", "status": "failed"}]}, Status.PARTIAL),
        ({"tags": {"a": "b"}}, Status.SUCCEEDED),
    ],
    ids=str,
)
def test_without_a_status_it_is_what_the_error_or_the_items_say(recorder, fields, status):
    for _ in range(3):
        recorder.record("load", **TIMES, **fields)
    assert [event.status for event in said(recorder)] == [status] * 3


class Array:
    """As arrays and data frames are: comparing it answers with an array, which is neither true nor false."""

    __hash__ = None

    def __init__(self, *numbers):
        self.numbers = numbers

    def __eq__(self, other):
        return self

    def __bool__(self):
        raise ValueError("the truth value of an array is ambiguous")

    def __repr__(self):
        return f"Array{self.numbers}"


class Broken:
    """What cannot even be asked what it is."""

    @property
    def __class__(self):
        raise RuntimeError("broken")


@pytest.mark.parametrize("place", ["input", "output"])
def test_an_array_is_kept_as_its_text(recorder, place):
    recorder.record("load", **TIMES, **{place: Array(1, 2)})
    recorder.append(Event(id="open", kind="etl", at=1, items=(Item(key="a", output=Array(3)),), **{place: Array(1, 2)}))
    assert [getattr(event, place) for event in said(recorder)] == ["Array(1, 2)"] * 2
    assert said(recorder)[1].items[0].output == "Array(3,)"
    assert recorder.refused == {}


def test_what_nothing_can_be_made_of_costs_itself_alone(recorder, caplog):
    for _ in range(2):
        recorder.record(
            "load",
            **TIMES,
            status="failed",
            error="no answer",
            output=Broken(),
            items=[{"key": "a", "input": Broken()}],
        )
    for event in said(recorder):
        assert (event.status, event.error.message, event.ended_at, event.output) == ("failed", "no answer", 7, None)
        assert [(item.key, item.input) for item in event.items] == [("a", None)]
    assert (recorder.refused, recorder.mended) == ({}, {"unstorable": 2})
    assert len(caplog.records) == 1


def test_datetimes_are_read(recorder):
    recorder.record("load", started_at=datetime(1970, 1, 1, 0, 0, 1, tzinfo=UTC), ended_at=2_000_000)
    assert said(recorder)[0].started_at == 1_000_000
