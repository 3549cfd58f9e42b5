"""Trino's values, as its protocol has them, in ISO 8601."""

from __future__ import annotations

import pytest

from execlog.kinds.queries.connectors.trino_values import read, reader_of


@pytest.mark.parametrize(
    ("kind", "value", "expected"),
    [
        ("bigint", 1, 1),
        ("decimal(38,4)", "1.1000", "1.1000"),
        ("timestamp(9)", "2024-01-01 12:00:00.123456789", "2024-01-01T12:00:00.123456789"),
        ("timestamp(3)", "-0044-03-15 00:00:00.000", "-0044-03-15T00:00:00.000"),
        ("timestamp(0)", "1969-12-31 23:59:59", "1969-12-31T23:59:59"),
        ("timestamp(3) with time zone", "2024-07-01 12:00:00.123 America/New_York", "2024-07-01T16:00:00.123Z"),
        ("timestamp(9) with time zone", "2024-01-01 00:00:00.123456789 +05:30", "2023-12-31T18:30:00.123456789Z"),
        ("timestamp(0) with time zone", "2024-01-01 12:00:00 -03:30", "2024-01-01T15:30:00Z"),
        ("timestamp(3) with time zone", "+10000-01-01 12:00:00.123 UTC", "+10000-01-01 12:00:00.123 UTC"),
        ("timestamp(3) with time zone", "2024-01-01 12:00:00.123 No/Where", "2024-01-01 12:00:00.123 No/Where"),
        ("timestamp(3) with time zone", "0001-01-01 00:00:00.000 +05:00", "0001-01-01 00:00:00.000 +05:00"),
        ("time(12)", "23:59:59.999999999999", "23:59:59.999999999999"),
        ("interval day to second", "-2 03:04:05.678", "-P2DT03H04M05.678S"),
        ("interval day to second", "106751991167 07:12:55.807", "P106751991167DT07H12M55.807S"),
        ("interval year to month", "-1-2", "-P1Y2M"),
        ("array(array(interval year to month))", [[None, "0-1"], None], [[None, "P0Y1M"], None]),
        ("map(timestamp(0), bigint)", {"2024-01-01 00:00:00": 1}, {"2024-01-01T00:00:00": 1}),
        ("map(varchar(5), timestamp(0))", {"a b": "2024-01-01 00:00:00"}, {"a b": "2024-01-01T00:00:00"}),
        (
            'row("a, (b" timestamp(0), interval day to second, timestamp(0) with time zone, z array(timestamp(0)))',
            ["2024-01-01 00:00:00", "0 00:00:01.000", "2024-01-01 00:00:00 UTC", ["2024-01-01 00:00:00"]],
            ["2024-01-01T00:00:00", "P0DT00H00M01.000S", "2024-01-01T00:00:00Z", ["2024-01-01T00:00:00"]],
        ),
        ("row(varchar(5), row(y timestamp(0)))", ["a b", ["2024-01-01 00:00:00"]], ["a b", ["2024-01-01T00:00:00"]]),
    ],
)
def test_a_value_says_all_that_trino_says(kind, value, expected):
    assert read(reader_of(kind), value) == expected


@pytest.mark.parametrize(
    "kind",
    ["bigint", "varchar(5)", "date", "array(decimal(38,2))", "map(varchar, bigint)", "row(x bigint)", "Geometry"],
)
def test_what_is_ours_already_has_no_reader(kind):
    assert reader_of(kind) is None
