"""Bars of prices, and where they come from: anything that gives rows for a symbol, a timeframe and a span of days."""

from __future__ import annotations

import csv
import math
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any, Protocol, cast

from msgspec import Struct

from execlog.core.clock import MAX_AT, MIN_AT, micros, moment, parse_when
from execlog.core.errors import ExeclogError, InvalidError

_OTHER_DAYS = ("%b %d %Y", "%Y%m%d", "%m/%d/%Y")
_FIGURES = ("open", "high", "low", "volume")
_TIMES = ("at", "date", "time", "timestamp")


class SourceError(ExeclogError):
    """A source gave nothing, or something that is no price; trying again does not help."""

    retry = False


class Bar(Struct, frozen=True, omit_defaults=True):
    """Prices over one period; `at` is when it began, UTC µs. All figures are finite."""

    at: int
    close: float
    open: float | None = None
    high: float | None = None
    low: float | None = None
    volume: float | None = None


class Source(Protocol):
    """Gives prices: a function or an object that can be called. It is called from several threads at once.

    What it raises fails the pair, and is tried again unless the exception has an attribute `retry` that is False.
    """

    def __call__(self, symbol: str, timeframe: str, start: str | None, end: str | None, /) -> Iterable[Any] | None:
        """Rows from day `start` to day `end` ("2004-08-19", both included; None: no limit), in any order.

        A row is a `Bar`, or a mapping or an object with a time (`at`, `date`, `time` or `timestamp`: a datetime, a
        date, text, or Unix seconds; an integer `at` is UTC µs, as a Bar's), `close` (or `price`), and, where they are
        known, `open`, `high`, `low` and `volume`. None stands for no rows.
        """
        ...


class RowSource:
    """A `Source` over rows at hand, each with a `symbol` and, where there is more than one, a `timeframe`."""

    def __init__(self, rows: Iterable[Mapping[str, Any]]) -> None:
        self._bars: dict[str, list[tuple[str | None, Bar]]] = {}
        for number, row in enumerate(rows, 1):
            frame, symbol = row.get("timeframe") or None, row.get("symbol")
            name = "" if symbol is None else str(symbol).strip()
            if not name:
                raise SourceError(f"row {number} has no symbol")
            self._bars.setdefault(name, []).append((frame, bar_of(row, number)))

    @classmethod
    def of_csv(cls, path: Path | str) -> RowSource:
        """A source over a CSV file with the columns symbol, date and price (or close)."""
        with Path(path).open(encoding="utf-8-sig", newline="") as file:
            return cls(csv.DictReader(file))

    @property
    def symbols(self) -> list[str]:
        """The symbols there are rows of, sorted."""
        return sorted(self._bars)

    def __call__(self, symbol: str, timeframe: str, start: str | None, end: str | None, /) -> list[Bar]:
        """The bars of a pair between two days; raises SourceError where there are none."""
        known = [bar for frame, bar in self._bars.get(symbol, ()) if frame in {None, timeframe}]
        found = [bar for bar in known if is_within(bar, start, end)]
        if found:
            return found
        if not known:
            frames = sorted({str(frame) for frame, _ in self._bars.get(symbol, ())})
            there = f"{symbol} has no rows on {timeframe}, only on {', '.join(frames)}"
            raise SourceError(there if frames else f"unknown symbol {symbol}")
        first = min(bar.at for bar in known)
        raise SourceError(nothing_between(symbol, start, end, first))


def bars_of(rows: Iterable[Any] | None) -> list[Bar]:
    """The bars of a source's rows (None: none), oldest first; of two at one time the later row holds.

    Raises SourceError.
    """
    if rows is None:
        return []
    bars = {bar.at: bar for bar in (bar_of(row, number) for number, row in enumerate(rows, 1))}
    return [bars[at] for at in sorted(bars)]


def bar_of(row: Any, number: int = 1) -> Bar:
    """The bar in a row. Raises SourceError naming the row where it is none."""
    if isinstance(row, Bar):
        return _checked(row, number)
    get = _getter(row)
    try:
        name, at = next((name, at) for name in _TIMES if (at := get(name)) not in {None, ""})
        close = _figure(get("close"))
        close = _figure(get("price")) if close is None else close
        if close is None:
            raise SourceError(f"row {number} has no closing price")
        at = at if name == "at" and type(at) is int else time_of(at)
        return _checked(Bar(at, close, *(_figure(get(name)) for name in _FIGURES)), number)
    except StopIteration:
        looked = f"{', '.join(_TIMES[:-1])} or {_TIMES[-1]}"
        raise SourceError(f"row {number} has no time: it is a {type(row).__name__} without {looked}") from None
    except (TypeError, ValueError, OverflowError, InvalidError) as error:
        raise SourceError(f"row {number} is not a price: {error}") from None


def time_of(value: Any) -> int:
    """UTC µs of a datetime, a date, text in one of the usual ways of writing them, or Unix seconds."""
    if isinstance(value, datetime):
        return micros(value)
    if isinstance(value, date):
        return micros(datetime(value.year, value.month, value.day, tzinfo=UTC))
    text = str(value).strip()
    for pattern in _OTHER_DAYS:
        try:
            return micros(datetime.strptime(text, pattern).replace(tzinfo=UTC))
        except ValueError:
            continue
    return parse_when(text, now=None)


def day_of(at: int) -> str:
    """The day of an instant, as 2004-08-19."""
    return moment(at).date().isoformat()


def is_within(bar: Bar, start: str | None, end: str | None) -> bool:
    """Whether a bar is on or between two days."""
    day = day_of(bar.at)
    return (start is None or day >= start) and (end is None or day <= end)


def nothing_between(symbol: str, start: str | None, end: str | None, first: int | None = None) -> str:
    """The reason given where a source has no rows of a symbol in a span."""
    span = " ".join(word for word in (start and f"from {start}", end and f"until {end}") if word)
    hint = (
        f"; its first row is {day_of(first)}" if first is not None and end is not None and day_of(first) > end else ""
    )
    return f"no rows for {symbol} {span}".rstrip() + hint


def _getter(row: Any) -> Callable[[str], Any]:
    """How a field of a row is read: None where there is no such."""
    return cast("Mapping[str, Any]", row).get if isinstance(row, Mapping) else lambda name: getattr(row, name, None)


def _checked(bar: Bar, number: int) -> Bar:
    """The bar. Raises SourceError where its time or a figure is none: a Bar of the caller's may hold anything."""
    others: Sequence[Any] = [value for value in (bar.open, bar.high, bar.low, bar.volume) if value is not None]
    if not all(isinstance(value, int | float) and abs(value) <= sys.float_info.max for value in (bar.close, *others)):
        raise SourceError(f"row {number} is not a price: a figure of it is not a finite number")
    if type(bar.at) is not int or not MIN_AT <= bar.at <= MAX_AT:
        raise SourceError(f"row {number} is not a price: its time is not in the years 1 to 9999: {bar.at!r:.60}")
    return bar


def _figure(value: Any) -> float | None:
    if value is None or value == "":
        return None
    figure = float(value)
    if not math.isfinite(figure):
        raise ValueError(f"{value!r} is not a finite number")
    return figure
