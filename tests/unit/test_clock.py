"""Times in, times out."""

from datetime import UTC, datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from execlog.core.clock import MAX_AT, MIN_AT, SystemClock, iso, micros, moment, parse_when
from execlog.core.errors import InvalidError

NOW = 1_763_769_600_000_000


@given(st.integers(MIN_AT, MAX_AT))
def test_every_moment_of_the_calendar_goes_there_and_back(at):
    assert micros(moment(at)) == at
    text = iso(at)
    assert text is not None
    assert text.endswith("Z")
    assert parse_when(text, now=None) == at


def test_a_naive_time_is_utc_and_an_offset_counts():
    assert micros(datetime(2025, 11, 22)) == NOW  # noqa: DTZ001 - a naive time is the case
    assert micros(datetime(2025, 11, 22, 1, tzinfo=timezone(timedelta(hours=1)))) == NOW
    assert micros(datetime(2025, 11, 22, tzinfo=UTC)) == NOW


def test_iso_prints_microseconds_only_where_there_are_some():
    assert iso(NOW) == "2025-11-22T00:00:00Z"
    assert iso(NOW + 5) == "2025-11-22T00:00:00.000005Z"
    assert iso(NOW, offset="") == "2025-11-22T00:00:00"
    assert iso(None) is None


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("2025-11-22", NOW),
        ("2025-11-22T00:00:00", NOW),
        ("2025-11-22T01:00:00+01:00", NOW),
        ("2025-11-22T01:00:00 01:00", NOW),
        (" 2025-11-22T00:00:00Z ", NOW),
        ("1763769600", NOW),
        ("1763769600.5", NOW + 500_000),
        ("-1", -1_000_000),
        ("90s", NOW - 90_000_000),
        ("15m", NOW - 900_000_000),
        ("24h", NOW - 86_400_000_000),
        ("7d", NOW - 7 * 86_400_000_000),
        ("2w", NOW - 14 * 86_400_000_000),
        ("999999999w", MIN_AT),
    ],
)
def test_times_are_read_as_people_write_them(text, expected):
    assert parse_when(text, now=NOW) == expected


@pytest.mark.parametrize("text", ["", "soon", "7x", "2025-13-01", "1e5", "nan", "253402300800", "7d7d", "\u0667d"])
def test_what_is_no_time_is_invalid(text):
    with pytest.raises(InvalidError):
        parse_when(text, now=NOW)


def test_a_span_needs_a_now():
    with pytest.raises(InvalidError, match=r"Unix seconds$"):
        parse_when("7d", now=None)


def test_the_systems_clock_tells_utc_and_goes_on():
    clock = SystemClock()
    assert abs(clock.now() - micros(datetime.now(UTC))) < 5_000_000
    assert clock.monotonic() <= clock.monotonic()
