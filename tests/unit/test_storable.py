"""What callers hand in becomes storable, is counted, and otherwise stays as it is."""

import math
import uuid
from collections import Counter
from datetime import UTC, datetime
from decimal import Decimal

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from execlog.core import codec
from execlog.core.clock import MAX_AT, MIN_AT
from execlog.core.model import Error, Event, Item, LogLine, Status, Usage
from execlog.core.storable import MAX_DEPTH, MAX_ENTRIES, MAX_TEXT, NAME_BYTES, mend, mend_name, mend_struct, mend_text

anything = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text(st.characters(exclude_categories=()), max_size=20)
    | st.binary(max_size=5),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(st.characters(exclude_categories=())), inner),
    max_leaves=10,
)


@given(anything)
def test_anything_becomes_json_without_a_nul(value):
    text = codec.to_json(mend(value, Counter()))
    assert b"\\u0000" not in text
    assert msgspec.json.decode(text) == msgspec.json.decode(codec.to_json(mend(mend(value, Counter()), Counter())))


@given(anything)
def test_what_was_mended_once_needs_no_mending(value):
    mended: Counter[str] = Counter()
    mend(mend(value, Counter()), mended)
    assert not mended


ordinary = st.text(st.characters(exclude_categories=("Cs",), exclude_characters="\0"))
storable = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**63), 2**63 - 1) | st.floats(allow_nan=False, allow_infinity=False),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(ordinary, inner | ordinary),
)


@given(storable)
def test_what_is_storable_stays_as_it_is(value):
    mended: Counter[str] = Counter()
    assert mend(value, mended) == value
    assert not mended


@pytest.mark.parametrize(
    ("value", "expected", "reason"),
    [
        (math.nan, None, "not_finite"),
        (-math.inf, None, "not_finite"),
        ("a\0b", "a\ufffdb", "nul"),
        ("a\ud800b", "a\ufffdb", "surrogate"),
        (2**63, str(2**63), "integer"),
        ([2**100_000], [hex(2**100_000)], "integer"),
        ({"k\0": [math.inf]}, {"k\ufffd": [None]}, "nul"),
    ],
)
def test_what_is_not_storable_is_mended_and_counted(value, expected, reason):
    mended: Counter[str] = Counter()
    assert mend(value, mended) == expected
    assert mended[reason] == 1


def test_long_texts_and_lists_are_cut_with_a_mark():
    mended: Counter[str] = Counter()
    text = mend_text("x" * (MAX_TEXT + 1), mended)
    assert len(text) <= MAX_TEXT
    assert text.endswith(f"[{MAX_TEXT + 1} characters in all]")
    assert len(mend(list(range(MAX_ENTRIES + 5)), mended)) == MAX_ENTRIES
    assert mended["truncated"] == 2


def test_names_are_cut_by_their_bytes_and_stay_apart():
    mended: Counter[str] = Counter()
    names = ["字" * 900 + "a", "字" * 900 + "b", "x" * NAME_BYTES]
    cut = [mend_struct(Event(id="i", kind="k", at=1, subject=name), mended).subject for name in names]
    assert len(set(cut)) == 3
    assert cut[2] == names[2]
    assert all(len(name.encode()) <= NAME_BYTES for name in cut)
    assert mended == {"truncated": 2}
    assert [mend_name(name, mended, NAME_BYTES) for name in cut] == cut
    assert mended == {"truncated": 2}


def test_texts_of_a_type_of_their_own_are_mended_as_texts_are():
    class Path(str):
        __slots__ = ()

    event = Event(id="e", kind="job", at=1, status=Status.FAILED, name=Path("a\0b"), subject=Path("x" * 2_000))
    mended = mend_struct(event, Counter())
    assert mended.name == "a\ufffdb"
    assert len(mended.subject.encode()) == NAME_BYTES
    assert mended.status is Status.FAILED


def test_ids_of_a_hundred_characters_stay_whole():
    mended: Counter[str] = Counter()
    event = Event(id="😀" * 100, kind="😀" * 100, namespace="😀" * 100, at=1, retry_of="😀" * 100)
    assert mend_struct(event, mended) == event
    assert not mended


def test_deep_nesting_becomes_text():
    value: list = []
    for _ in range(MAX_DEPTH * 3):
        value = [value]
    mended: Counter[str] = Counter()
    codec.to_json(mend(value, mended))
    assert mended["depth"] == 1


def test_other_objects_become_their_plain_form_or_their_text():
    class Broken:
        def __repr__(self):
            raise ValueError("no")

    mended: Counter[str] = Counter()
    moment = datetime(2025, 1, 2, tzinfo=UTC)
    assert mend({"when": moment, "id": uuid.UUID(int=1), "price": Decimal("1.5")}, mended) == {
        "when": "2025-01-02T00:00:00Z",
        "id": str(uuid.UUID(int=1)),
        "price": "1.5",
    }
    assert not mended
    assert mend(Broken(), mended) == "<Broken: repr failed with ValueError>"
    assert mend({3, 1, 2}, mended) == [1, 2, 3]
    assert mended["object"] == 1


def test_the_models_numbers_stay_within_bounds():
    event = Event(
        id="a",
        kind="job",
        at=2**62,
        started_at=MIN_AT - 1,
        ended_at=-(2**70),
        duration=math.nan,
        rows=2**80,
        usage={"m": Usage(input=2**70, cost_nano=10**19)},
        items=(Item(key="x", at=MAX_AT + 1, duration=-1.0, rows=True), Item(key="y", duration=1e300)),
        logs=(LogLine(at=-(2**66), number=0, level="info", message="m"),),
    )
    mended: Counter[str] = Counter()
    safe = mend_struct(event, mended)
    assert (safe.at, safe.started_at, safe.ended_at, safe.duration, safe.rows) == (MAX_AT, None, None, None, None)
    assert safe.usage == {"m": Usage(input=10**15)}
    assert [(item.at, item.duration, item.rows) for item in safe.items] == [(MAX_AT, 0.0, 1), (0, None, None)]
    assert safe.logs[0].at == MIN_AT
    assert mended == {"out_of_range": 10, "not_finite": 1}
    assert codec.decode_event(codec.encode_event(safe)) == safe


def test_a_storable_event_is_the_same_object():
    event = Event(
        id="a", kind="job", at=5, status=Status.FAILED, error=Error("E", "m"), items=(Item(key="k"),), params={"a": [1]}
    )
    mended: Counter[str] = Counter()
    assert mend_struct(event, mended) == event
    assert mend_struct(event, mended).status is Status.FAILED
    assert not mended
