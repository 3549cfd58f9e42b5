"""Sessions of stock exchanges, from exchange_calendars (extra `calendars`). Instants are UTC µs."""

from __future__ import annotations

import warnings
from bisect import bisect_right
from functools import lru_cache
from typing import Any, Literal

from execlog.core.clock import moment
from execlog.core.errors import InvalidError, MissingExtraError

_LOOK_AHEAD = 2
"""Years without a session after which a calendar counts as ended."""


def check_calendar(name: str) -> None:
    """Nothing, if there is such a calendar. Raises InvalidError, or MissingExtraError without the extra."""
    known = _library().get_calendar_names(include_aliases=True)
    if name not in known:
        near = [other for other in known if other.startswith(name[:2].upper())]
        hint = f"; near it: {', '.join(near[:8])}" if near else ""
        raise InvalidError(
            f"{name!r} is not a calendar of exchange_calendars, e.g. XNYS{hint}", field="trigger.calendar"
        )


def next_session(name: str, at: Literal["open", "close"], later_than: int) -> int | None:
    """The first open or close of the exchange later than `later_than`; None where its calendar knows no more."""
    year = moment(later_than).year
    for candidate in range(year, year + _LOOK_AHEAD + 1):
        instants = _instants(name, candidate)[0 if at == "open" else 1]
        place = bisect_right(instants, later_than)
        if place < len(instants):
            return instants[place]
    return None


def next_stretch(name: str, later_than: int) -> tuple[int, int] | None:
    """The begin and end of the stretch of trading, open or break to break or close, that ends first after `later_than`.

    None where the calendar knows no more.
    """
    year = moment(later_than).year
    for candidate in range(year, year + _LOOK_AHEAD + 1):
        begins, ends = _instants(name, candidate)[2:]
        place = bisect_right(ends, later_than)
        if place < len(ends):
            return begins[place], ends[place]
    return None


@lru_cache(maxsize=256)
def _instants(name: str, year: int) -> tuple[tuple[int, ...], ...]:
    """The opens and the closes of the sessions of a year, the begins and the ends of its stretches of trading.

    () each for a year outside what the calendar can know.

    One day to either side: a session belongs to its exchange's day, which may begin in the UTC year before.
    """
    library = _library()
    with warnings.catch_warnings():
        # pandas announces a change of `.values` that exchange_calendars has yet to follow; it is not ours to act on.
        warnings.simplefilter("ignore")
        try:
            calendar: Any = library.get_calendar(name, start=f"{year - 1}-12-25", end=f"{year + 1}-01-07")
        except (library.errors.NoSessionsError, ValueError, OverflowError):
            return (), (), (), ()
    opens, closes, breaks, ends = (
        tuple(int(nanos) // 1_000 for nanos in column)
        for column in (
            calendar.opens_nanos, calendar.closes_nanos, calendar.break_starts_nanos, calendar.break_ends_nanos,
        )
    )  # fmt: skip
    # A session without a break has times before all others there.
    between = [(begun, ended) for opened, begun, ended in zip(opens, breaks, ends, strict=True) if begun > opened]
    begins = sorted((*opens, *(ended for _, ended in between)))
    return opens, closes, tuple(begins), tuple(sorted((*closes, *(begun for begun, _ in between))))


def _library() -> Any:
    try:
        import exchange_calendars  # pyright: ignore[reportMissingTypeStubs] - it has none
    except ImportError as error:
        raise MissingExtraError("calendars", needed_for="a trigger at an exchange's sessions") from error
    return exchange_calendars
