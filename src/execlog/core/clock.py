"""Time: passed in as a `Clock`, kept as integer microseconds UTC, printed as ISO 8601."""

from __future__ import annotations

import re
import time
from datetime import UTC, datetime, timedelta
from typing import Protocol

from execlog.core.errors import InvalidError

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_UNIX = re.compile(r"-?[0-9]{1,12}(\.[0-9]{1,9})?")
_SPAN = re.compile(r"([0-9]{1,9})(s|m|h|d|w)")
_SECONDS = {"s": 1, "m": 60, "h": 3600, "d": 86_400, "w": 604_800}
_MINUTE, _HOUR, _DAY = 60, 3_600, 86_400
_UNITS = (("d", _DAY, "h", _HOUR), ("h", _HOUR, "min", _MINUTE), ("min", _MINUTE, "s", 1))
MIN_AT = -62_135_596_800_000_000
MAX_AT = 253_402_300_799_999_999


class Clock(Protocol):
    """Where the time comes from."""

    def now(self) -> int:
        """UTC µs."""
        ...

    def monotonic(self) -> float:
        """Seconds on a clock that never goes back."""
        ...


class SystemClock:
    """The machine's clocks."""

    def now(self) -> int:
        """UTC µs."""
        return time.time_ns() // 1000

    def monotonic(self) -> float:
        """Seconds on a clock that never goes back."""
        return time.monotonic()


def micros(moment: datetime) -> int:
    """UTC µs of a datetime; a naive one is read as UTC."""
    aware = moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment
    since = aware - _EPOCH
    return (since.days * 86_400 + since.seconds) * 1_000_000 + since.microseconds  # three times as quick as dividing


def moment(at: int) -> datetime:
    """The aware UTC datetime of `at` µs."""
    return _EPOCH + timedelta(microseconds=at)


def span(seconds: float) -> str:
    """A duration for people, in the unit that fits with three figures; beyond a minute in its two largest units."""
    # What three figures would round up to a whole one of the next unit is said in that.
    if seconds < 0.9995e-3:  # noqa: PLR2004 - a millisecond
        return f"{seconds * 1e6:.3g} µs" if seconds else "0 s"
    if seconds < 0.9995:  # noqa: PLR2004 - a second
        return f"{seconds * 1e3:.3g} ms"
    if seconds < _MINUTE - 0.05:
        return f"{seconds:.3g} s"
    whole = round(seconds)
    for unit, size, smaller, small in _UNITS:
        if whole >= size:
            rest = whole % size // small
            return f"{whole // size} {unit} {rest} {smaller}" if rest else f"{whole // size} {unit}"
    return f"{whole} s"


def iso(at: int | None, *, offset: str = "Z") -> str | None:
    """ISO 8601 of `at` µs, with `Z` (or without an offset for the clients that expect it so); None for None."""
    if at is None:
        return None
    plain = moment(at).replace(tzinfo=None)
    return plain.isoformat(timespec="microseconds" if plain.microsecond else "seconds") + offset


def parse_when(text: str, *, now: int | None) -> int:
    """UTC µs of an ISO 8601 time (naive is UTC), Unix seconds, or a span back from `now` ("90s", "15m", "24h", "7d").

    Raises InvalidError for anything else, and for a time outside the years 1 to 9999.
    """
    text = text.strip()
    if now is not None and (span := _SPAN.fullmatch(text)):
        return max(now - int(span[1]) * _SECONDS[span[2]] * 1_000_000, MIN_AT)
    try:
        at = int(float(text) * 1_000_000) if _UNIX.fullmatch(text) else micros(_iso(text))
    except (ValueError, OverflowError) as error:
        ways = "Unix seconds" if now is None else "Unix seconds, or a span (7d)"
        message = f"not a time: {text[:60]!r}; write ISO 8601 (2026-01-31T06:00:00Z), {ways}"
        raise InvalidError(message) from error
    if not MIN_AT <= at <= MAX_AT:
        message = f"time out of range: {text[:60]!r}; years 1 to 9999"
        raise InvalidError(message)
    return at


def parse_seconds(text: str) -> float:
    """Seconds of "1.5", "250ms", "90s", "15m", "24h", "7d" or "2w". Raises ValueError for anything else."""
    text = text.strip().lower()
    for unit, factor in (("ms", 1e-3), ("s", 1.0), ("m", 60.0), ("h", 3_600.0), ("d", 86_400.0), ("w", 604_800.0)):
        if text.endswith(unit):
            return _amount(text[: -len(unit)]) * factor
    return _amount(text)


def _amount(text: str) -> float:
    value = float(text)
    if not 0 <= value < 1e12:  # noqa: PLR2004 - no span is longer
        raise ValueError(text)
    return value


def _iso(text: str) -> datetime:
    return datetime.fromisoformat(text.replace(" ", "+") if "T" in text and " " in text else text)
