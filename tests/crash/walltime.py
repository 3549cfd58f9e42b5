"""When a cron expression is due in a time zone, reckoned from the zone's own changes and nothing else: slow and plain.

The policy (docs/how-to/schedule-jobs.md): an expression whose minute or hour begins with `*` goes by the wall clock as
it passes, so that what the clock repeats is due each time and what it leaves out is not. A fixed time is due once a
day: the first time the clock shows it; right after the gap where it never does.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta
from functools import cache
from itertools import pairwise
from typing import NamedTuple
from zoneinfo import ZoneInfo

MINUTE, DAY = 60, 86_400
LOOK = 6 * 3600


class Stretch(NamedTuple):
    """Seconds since 1970 from `start` up to `end`, in which the zone is `offset` seconds ahead of UTC."""

    start: int
    end: int
    offset: int


class Fields(NamedTuple):
    """What an expression allows, and whether it is of a fixed time."""

    minutes: frozenset[int]
    hours: frozenset[int]
    days: frozenset[int]
    weekdays: frozenset[int]
    fixed: bool

    def allows(self, moment: datetime) -> bool:
        return moment.minute in self.minutes and moment.hour in self.hours and self.allows_day(moment.date())

    def allows_day(self, day: date) -> bool:
        return day.day in self.days and day.isoweekday() % 7 in self.weekdays


def fields(expression: str) -> Fields:
    """Of an expression of five fields, in the little of their language that the tests use; every month is allowed."""
    minute, hour, day, _, weekday = expression.split()
    fixed = not minute.startswith("*") and not hour.startswith("*")
    return Fields(_set(minute, 0, 59), _set(hour, 0, 23), _set(day, 1, 31), _set(weekday, 0, 6), fixed)


def _set(field: str, first: int, last: int) -> frozenset[int]:
    if field.startswith("*"):
        return frozenset(range(first, last + 1, int(field.partition("/")[2] or 1)))
    return frozenset(int(part) for part in field.split(","))


@cache
def stretches(zone: str, start: int, end: int) -> tuple[Stretch, ...]:
    """The stretches of the zone between two moments."""
    info, found, began = ZoneInfo(zone), [], start
    for at in range(start, end, LOOK):
        later = min(at + LOOK, end)
        before = _offset(info, at)
        while _offset(info, later) != before:
            low, high = at, later
            while high - low > 1:
                middle = (low + high) // 2
                low, high = (middle, high) if _offset(info, middle) == before else (low, middle)
            found.append(Stretch(began, high, before))
            began = at = high  # noqa: PLW2901 - there may be a second change behind it
            before = _offset(info, at)
    return (*found, Stretch(began, end, _offset(info, end)))


def _offset(info: ZoneInfo, at: int) -> int:
    offset = datetime.fromtimestamp(at, info).utcoffset()
    assert offset is not None
    return round(offset.total_seconds())


def shown(at: int, offset: int) -> datetime:
    """The wall clock at a moment."""
    return datetime.fromtimestamp(at + offset, UTC).replace(tzinfo=None)


def reckon(expression: str, zone: str, start: int, end: int) -> list[int]:
    """The moments from `start` up to `end` at which the expression is due in the zone."""
    allowed, margin = fields(expression), 3 * DAY
    known = stretches(zone, start - margin, end + margin)
    found = _fixed(allowed, known) if allowed.fixed else _passing(allowed, known, start, end)
    return sorted({at for at in found if start <= at < end})


def _passing(allowed: Fields, known: tuple[Stretch, ...], start: int, end: int) -> Iterator[int]:
    for stretch in known:
        first = max(stretch.start, start)
        for at in range(first + -first % MINUTE, min(stretch.end, end), MINUTE):
            if allowed.allows(shown(at, stretch.offset)):
                yield at


def _fixed(allowed: Fields, known: tuple[Stretch, ...]) -> Iterator[int]:
    first, last = shown(known[0].start, known[0].offset).date(), shown(known[-1].end, known[-1].offset).date()
    # For each wall time it is enough to look at the stretch where the day is in full, or at two about a change.
    days = [first + timedelta(days=number) for number in range((last - first).days + 1)]
    place = 0
    for day in days:
        if not allowed.allows_day(day):
            continue
        midnight = round(datetime(day.year, day.month, day.day, tzinfo=UTC).timestamp())
        while place + 1 < len(known) and known[place].end + known[place].offset < midnight - 2 * DAY:
            place += 1
        near = known[place : place + 6]
        for hour in allowed.hours:
            for minute in allowed.minutes:
                yield from _once(midnight + hour * 3600 + minute * MINUTE, near)


def _once(wall: int, near: tuple[Stretch, ...]) -> Iterator[int]:
    for stretch in near:
        if stretch.start <= wall - stretch.offset < stretch.end:
            yield wall - stretch.offset
            return
    for before, behind in pairwise(near):
        if behind.start + before.offset <= wall < behind.start + behind.offset:
            yield behind.start
            return
