"""How pages say things: durations, counts and rates."""

from __future__ import annotations

import pytest

from execlog.web.wording import duration, percent, short


@pytest.mark.parametrize(
    ("seconds", "said"),
    [
        (None, "–"), (0, "–"), (0.00035, "350 µs"), (0.0123, "12.3 ms"), (1.5, "1.5 s"), (59.94, "59.9 s"),
        (59.99, "1 min"),
        (4e-7, "0.4 µs"), (0.0009996, "1 ms"), (0.9994, "999 ms"), (0.9996, "1 s"), (3599.9, "1 h"),
        (200, "3 min 20 s"), (7500, "2 h 5 min"), (3600, "1 h"), (356_400, "4 d 3 h"),
    ],
)  # fmt: skip
def test_durations_have_the_unit_that_fits(seconds, said):
    assert duration(seconds) == said


@pytest.mark.parametrize(
    ("count", "said"),
    [
        (0, "0"), (9_999, "9,999"), (12_345, "12.3k"), (999_949, "1.00M"), (2_490_000, "2.49M"), (123_456_789, "123M"),
        (5e9, "5.00bn"), (1.852e15, "1852T"),
    ],
)  # fmt: skip
def test_counts_are_short(count, said):
    assert short(count) == said


def test_rates_are_whole_only_where_they_are_exact():
    assert [percent(share) for share in (0, 0.04, 50, 99.97, 100)] == ["0 %", "0.0 %", "50.0 %", "99.9 %", "100 %"]
