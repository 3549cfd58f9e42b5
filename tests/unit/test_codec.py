"""Bytes of events: what older versions wrote is read, what newer ones wrote is refused."""

from pathlib import Path

import msgspec
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from execlog.core import codec
from execlog.core.errors import CodecError, InvalidError
from execlog.core.filter import Filter
from execlog.core.model import Error, Event, Item, LogLine, Status, Usage
from execlog.testing.making import events

GOLDEN = Path(__file__).parent / "data" / "events-v1.hex"
"""Bytes as version 1 first wrote them. Never write them anew: journals and quarantines out there hold such bytes."""

FIRST = Event(id="0190-a", kind="job", at=1_763_769_600_000_000, status=Status.SUCCEEDED)
WHOLE = Event(
    id="0190-b",
    kind="workflow",
    at=1_763_769_600_000_001,
    namespace="project-1",
    status=Status.FAILED,
    name="Nightly",
    subject="flow",
    actor="ann",
    engine="duck",
    queued_at=1,
    started_at=2,
    ended_at=3,
    duration=0.25,
    rows=7,
    error=Error("ValueError", "no", ("a.py:1 f",), "0123456789ab"),
    total=2,
    items=(Item(key="AAPL", at=4, status=Status.FAILED, error=Error("E", "m"), data={"x": [1]}), Item(key="GOOG")),
    usage={"small": Usage(1, 2, 3, 4, 5, 6, "2025-11")},
    input="in",
    output={"out": None},
    params={"p": 1.5},
    metadata={"m": True},
    tags={"t": "v"},
    logs=(LogLine(5, 0, "info", "line", "AAPL"),),
    parent_id="p",
    root_id="r",
    retry_of="q",
    origin="boot:1",
    context={"host": "h"},
    declared_succeeded=1,
    declared_failed=1,
)


@settings(max_examples=50, deadline=None)
@given(events())
def test_an_event_survives_its_bytes(event):
    assert codec.decode_event(codec.encode_event(event)) == event
    assert codec.decode_event(memoryview(codec.encode_event(event))) == event


def test_bytes_of_version_1_are_read():
    lines = [line.split(" ", 1) for line in GOLDEN.read_text().splitlines() if line and not line.startswith("#")]
    found = {name: codec.decode_event(bytes.fromhex(data)) for name, data in lines}
    assert found == {"first": FIRST, "whole": WHOLE, "short": FIRST, "longer": FIRST}


def test_this_code_still_writes_version_1():
    lines = dict(line.split(" ", 1) for line in GOLDEN.read_text().splitlines() if line and not line.startswith("#"))
    assert codec.encode_event(WHOLE).hex() == lines["whole"]


@pytest.mark.parametrize("data", [b"", b"\x02" + codec.encode(FIRST), b"\x00", b"\xff"])
def test_a_newer_version_is_refused(data):
    with pytest.raises(CodecError, match="version"):
        codec.decode_event(data)


@given(st.binary(max_size=60))
@example(b"\x93\xa3\x00\x00\x80")  # a text that is not UTF-8
@example(b"\xdc\x00\x17" + b"\xc0" * 22 + b"\x81\xa1a" + b"\x91" * 100_000)  # nested too deeply
def test_bytes_that_are_no_event_are_refused_and_nothing_else_happens(data):
    try:
        codec.decode_event(b"\x01" + data)
    except CodecError:
        return
    assert isinstance(codec.decode_event(b"\x01" + data), Event)


def test_every_cut_of_an_event_is_refused_or_an_older_one():
    data = codec.encode_event(WHOLE)
    for length in range(len(data)):
        with pytest.raises(CodecError):
            codec.decode_event(data[:length])


def test_objects_no_codec_knows_become_text():
    class Thing:
        def __repr__(self):
            return "<thing>"

    event = msgspec.structs.replace(FIRST, input={"thing": Thing(), "set": frozenset({2, 1})})
    assert codec.decode_event(codec.encode_event(event)).input["thing"] == "<thing>"
    assert sorted(codec.decode_event(codec.encode_event(event)).input["set"]) == [1, 2]


@pytest.mark.parametrize("text", ["{", '{"limit": [' * 5_000, b"\xff", '{"statuses": ["unknown"]}', '{"text": 7}', "7"])
def test_json_that_does_not_fit_is_invalid(text):
    with pytest.raises(InvalidError):
        codec.from_json(text, Filter)


def test_plain_values_are_read_as_what_is_due():
    assert codec.convert({"min_duration": "1.5", "kind": "job"}, Filter) == Filter(min_duration=1.5, kind="job")
    with pytest.raises(InvalidError, match="min_duration"):
        codec.convert({"min_duration": "soon"}, Filter)
    assert codec.builtins(FIRST)[0] == "0190-a"
