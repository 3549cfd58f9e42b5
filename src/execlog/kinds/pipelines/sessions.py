"""What a market has produced since: freshness that knows an exchange's sessions (extra `calendars`)."""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import lru_cache
from typing import Literal

from execlog.core.clock import moment
from execlog.core.errors import InvalidError, MissingExtraError
from execlog.runner.calendars import check_calendar, next_session

MINUTE, HOUR, DAY = 60_000_000, 3_600_000_000, 86_400_000_000
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


def missing_since(computed_at: int, timeframe: str, calendar: str) -> int | None:
    """When the first bar ended that features computed at `computed_at` lack; UTC µs, it may lie ahead.

    Bars of hours and minutes count from the session's open, those of days, weeks and months end with a close. None for
    a timeframe that is not understood, a calendar there is not, beyond what it knows, and without the extra.
    """
    understood = _TIMEFRAME.fullmatch(timeframe.strip())
    if understood is None:
        return None
    number, unit = int(understood[1]), understood[2]
    unit = "mo" if unit == "M" else unit.lower().removesuffix("s") or unit.lower()
    try:
        _checked(calendar)
        if unit in _INTRADAY and number:
            return _next_bar(computed_at, number * _INTRADAY[unit], calendar)
        if unit in _SESSIONS and number:
            return _next_close(computed_at, number, _SESSIONS[unit], calendar)
    except (MissingExtraError, InvalidError):
        return None
    return None


@lru_cache(maxsize=64)
def _checked(calendar: str) -> None:
    check_calendar(calendar)


def _next_bar(later_than: int, length: int, calendar: str) -> int | None:
    """The end of the first bar of this length, counted from a session's open, later than an instant."""
    close = next_session(calendar, "close", later_than)
    if close is None:
        return None
    opened = close
    for candidate in _instants(calendar, "open", close - DAY - 1):
        if candidate >= close:
            break
        opened = candidate
    bars = (later_than - opened) // length + 1 if later_than >= opened else 1
    return min(opened + bars * length, close)


def _next_close(later_than: int, number: int, period: str, calendar: str) -> int | None:
    """The close that ends the `number`th day, week or month later than an instant."""
    ended = 0
    before: int | None = None
    for close in _instants(calendar, "close", later_than):
        # A week or month has ended when the next session is in another one.
        if period == "day":
            ended, before = ended + 1, close
        elif before is not None and _period(before, period) != _period(close, period):
            ended += 1
        if ended == number:
            return before
        before = close
    return None


def _instants(calendar: str, at: Literal["open", "close"], later_than: int) -> Iterator[int]:
    instant = next_session(calendar, at, later_than)
    while instant is not None:
        yield instant
        instant = next_session(calendar, at, instant)


def _period(close: int, period: str) -> tuple[int, int]:
    day = moment(close - 1)  # a session that ends at midnight is the day's before
    return day.isocalendar()[:2] if period == "week" else (day.year, day.month)
