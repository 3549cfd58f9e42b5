"""What a market has produced since: freshness that knows an exchange's sessions (extra `calendars`)."""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import lru_cache

from execlog.core.clock import moment
from execlog.core.errors import InvalidError, MissingExtraError
from execlog.runner.calendars import check_calendar, next_session, next_stretch

MINUTE, HOUR = 60_000_000, 3_600_000_000
_TIMEFRAME = re.compile(r"(\d{1,4})\s?([A-Za-z]+)")
_INTRADAY = {
    **dict.fromkeys(("s", "sec", "second"), 1_000_000),
    **dict.fromkeys(("m", "min", "minute"), MINUTE),
    **dict.fromkeys(("h", "hr", "hour"), HOUR),
}
_SESSIONS = {
    **dict.fromkeys(("d", "day"), "day"),
    **dict.fromkeys(("w", "wk", "week"), "week"),
    **dict.fromkeys(("mo", "mon", "month"), "month"),
}
"""Units without regard to case; "1M" alone is a month, "1m" a minute."""


def missing_since(computed_at: int, last_bar_at: int | None, timeframe: str, calendar: str) -> int | None:
    """When the first bar ended that features lack; UTC µs, it may lie ahead.

    They lack what ended after they were computed, and what follows the last bar they had (None: not known), which began
    at `last_bar_at`: features computed again and again from a feed that has stopped lack what it should have brought.

    Bars of hours and minutes count from the session's open, or from the end of its break; those of days, weeks and
    months end with a close. None for a timeframe that is not understood, a calendar there is not, beyond what it knows,
    and without the extra.
    """
    understood = _TIMEFRAME.fullmatch(timeframe.strip())
    if understood is None or not int(understood[1]):
        return None
    number, unit = int(understood[1]), understood[2]
    unit = "mo" if unit == "M" else unit.lower().removesuffix("s") or unit.lower()
    if unit not in _INTRADAY and unit not in _SESSIONS:
        return None
    try:
        _checked(calendar)
        ended = _bar_end(computed_at, 1, number, unit, calendar)
        if last_bar_at is None or last_bar_at > computed_at:  # a bar that had not begun says nothing
            return ended
        followed = _bar_end(last_bar_at, 2, number, unit, calendar)
    except (MissingExtraError, InvalidError):
        return None
    return followed if ended is None or followed is None else min(ended, followed)


@lru_cache(maxsize=64)
def _checked(calendar: str) -> None:
    check_calendar(calendar)


def _bar_end(later_than: int, count: int, number: int, unit: str, calendar: str) -> int | None:
    """The end of the `count`th bar of so many units that ends later than an instant."""
    if unit in _SESSIONS:
        return _next_close(later_than, count * number, _SESSIONS[unit], calendar)
    ended: int | None = later_than
    for _ in range(count):
        ended = None if ended is None else _next_bar(ended, number * _INTRADAY[unit], calendar)
    return ended


def _next_bar(later_than: int, length: int, calendar: str) -> int | None:
    """The end of the first bar of this length, counted from where trading began, later than an instant."""
    stretch = next_stretch(calendar, later_than)
    if stretch is None:
        return None
    begun, ended = stretch
    bars = (later_than - begun) // length + 1 if later_than >= begun else 1
    return min(begun + bars * length, ended)


def _next_close(later_than: int, number: int, period: str, calendar: str) -> int | None:
    """The close that ends the `number`th day, week or month later than an instant."""
    ended = 0
    before: int | None = None
    for close in _closes(calendar, later_than):
        # A week or month has ended when the next session is in another one.
        if period == "day":
            ended, before = ended + 1, close
        elif before is not None and _period(before, period) != _period(close, period):
            ended += 1
        if ended == number:
            return before
        before = close
    return None


def _closes(calendar: str, later_than: int) -> Iterator[int]:
    close = next_session(calendar, "close", later_than)
    while close is not None:
        yield close
        close = next_session(calendar, "close", close)


def _period(close: int, period: str) -> tuple[int, int]:
    day = moment(close - 1)  # a session that ends at midnight is the day's before
    return day.isocalendar()[:2] if period == "week" else (day.year, day.month)
