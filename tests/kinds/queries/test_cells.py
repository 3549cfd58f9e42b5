"""Values of results, safe for JSON."""

from __future__ import annotations

import enum
import json
import uuid
from datetime import UTC, date, datetime, time, timedelta, timezone
from decimal import Decimal

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from execlog.kinds.queries.cells import cell, encoded, row

EAST = timezone(timedelta(hours=5, minutes=30))


class Colour(enum.IntEnum):
    RED = 1


@pytest.mark.parametrize(
    ("value", "safe"),
    [
        (None, None),
        (True, True),
        (7, 7),
        (2**53 - 1, 2**53 - 1),
        (2**53, "9007199254740992"),
        (-(2**63), "-9223372036854775808"),
        (10**40, "1" + "0" * 40),
        (1.5, 1.5),
        (float("nan"), "NaN"),
        (float("inf"), "Infinity"),
        (float("-inf"), "-Infinity"),
        (Decimal("1.10"), "1.10"),
        (Decimal("1E+3"), "1000"),
        (Decimal("1E-7"), "0.0000001"),
        (Decimal("1E+5000"), "1E+5000"),
        (Decimal("NaN"), "NaN"),
        (Decimal("sNaN"), "NaN"),
        (Decimal("-Infinity"), "-Infinity"),
        ("text", "text"),
        ("nul\0", "nul\0"),
        ("half \ud800", "half \ufffd"),
        (b"\x00\xff", "AP8="),
        (bytearray(b"a"), "YQ=="),
        (memoryview(b"a"), "YQ=="),
        (date(2024, 2, 29), "2024-02-29"),
        (time(1, 2, 3, 4), "01:02:03.000004"),
        (datetime(2024, 1, 1, 12), "2024-01-01T12:00:00"),  # noqa: DTZ001 - a database's timestamp without time zone
        (datetime(2024, 1, 1, 12, tzinfo=UTC), "2024-01-01T12:00:00Z"),
        (datetime(2024, 1, 1, 12, 0, 0, 5, tzinfo=EAST), "2024-01-01T06:30:00.000005Z"),
        (timedelta(days=1, seconds=3), "P1DT3S"),
        (uuid.UUID(int=5), "00000000-0000-0000-0000-000000000005"),
        ([1, [2**60, None]], [1, ["1152921504606846976", None]]),
        ((b"a",), ["YQ=="]),
        ({"a": float("nan"), 2: Decimal(1)}, {"a": "NaN", "2": "1"}),
        (Colour.RED, 1),
        (object, "<class 'object'>"),
    ],
)
def test_every_value_becomes_what_json_can_say(value, safe):
    assert cell(value) == safe
    assert row([value]) == [safe]
    json.loads(json.dumps(cell(value), allow_nan=False))


def test_nesting_ends():
    nested: object = 1
    for _ in range(100):
        nested = [nested]
    assert json.loads(bytes(encoded(row([nested]))))


values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(st.characters()) | st.binary() | st.decimals()
    | st.datetimes() | st.datetimes(timezones=st.just(EAST)) | st.dates() | st.times() | st.timedeltas() | st.uuids(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text() | st.integers(), inner, max_size=3),
    max_leaves=10,
)  # fmt: skip


@given(st.lists(values, max_size=5))
def test_any_row_is_json_that_other_readers_read_as_we_do(values):
    text = bytes(encoded(row(values)))
    assert json.loads(text) == msgspec.json.decode(text) == row(values)
