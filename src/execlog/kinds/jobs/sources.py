"""Where prices come from: one method behind one name, configured under `[sources.NAME]` of execlog.toml."""

from __future__ import annotations

import math
from datetime import datetime
from typing import Annotated, Any, Protocol
from urllib.parse import quote, urlsplit

from msgspec import Meta, Struct

from execlog.core.errors import ExeclogError
from execlog.kinds.jobs.prices import Price

_DAY_FORMATS = ("%Y-%m-%d", "%b %d %Y", "%Y%m%d", "%m/%d/%Y")


class FetchError(ExeclogError):
    """A source could not give what was asked for; the message says why."""


class Source(Protocol):
    """Gives prices."""

    def fetch(self, symbol: str, start: str, end: str) -> list[Price]:
        """The prices of a symbol from day `start` to day `end`, both included, oldest first; at least one.

        Raises FetchError when there are none or the source refuses, TimeoutError when it does not answer in time.
        """
        ...


class HttpConfig(Struct, frozen=True, tag="http", forbid_unknown_fields=True):
    """A source behind HTTP that answers JSON ({"rows": [{"date", "close", …}]}, or the list alone) or CSV.

    path       appended to `base_url`, with {symbol}, {start} and {end} filled in
    timeout    of one request, seconds
    rate       most requests a second, over all threads of a process; 0: no limit
    retries    of 429, 5xx and broken connections, after Retry-After or else `backoff` seconds, doubled each time
    max_wait   longest wait between tries; a source that asks for more fails at once

    What is waited for the rate or between tries does not count against an item's time, except in processes.
    """

    base_url: Annotated[str, Meta(pattern="^https?://")]
    path: str = "/prices?symbol={symbol}&start={start}&end={end}"
    timeout: Annotated[float, Meta(gt=0)] = 30.0
    rate: Annotated[float, Meta(ge=0)] = 10.0
    retries: Annotated[int, Meta(ge=0, le=20)] = 3
    backoff: Annotated[float, Meta(ge=0)] = 0.5
    max_wait: Annotated[float, Meta(ge=0)] = 30.0
    headers: dict[str, str] = {}

    def __post_init__(self) -> None:
        """Raises ValueError for an address with a password, which no error is to show, and a path that is none."""
        if "@" in urlsplit(self.base_url).netloc:
            raise ValueError("base_url: a user or password in it is not sent; an Authorization in `headers` is")
        try:
            self.filled("A", "2000-01-01", "2000-12-31")
        except (LookupError, ValueError, AttributeError) as error:
            places = "{symbol}, {start} and {end} are filled in; braces of its own are doubled"
            raise ValueError(f"path {self.path!r}: {places} ({type(error).__name__}: {error})") from error

    def filled(self, symbol: str, start: str, end: str) -> str:
        """The path of one request."""
        return self.path.format(symbol=quote(symbol, safe=""), start=quote(start), end=quote(end))


class CsvConfig(Struct, frozen=True, tag="csv", forbid_unknown_fields=True):
    """A CSV file with a header; `symbol`, `date` and `close` name its columns."""

    path: str
    symbol: str = "symbol"
    date: str = "date"
    close: str = "price"


class YfinanceConfig(Struct, frozen=True, tag="yfinance", forbid_unknown_fields=True):
    """Yahoo Finance through the package yfinance (extra `yfinance`)."""

    interval: str = "1d"
    timeout: Annotated[float, Meta(gt=0)] = 30.0


SourceConfig = HttpConfig | CsvConfig | YfinanceConfig


def day_of(text: str) -> str:
    """A day as 2004-08-19, from that or one of the other usual ways of writing it. Raises FetchError."""
    text = text.strip()
    for pattern in _DAY_FORMATS:
        try:
            return datetime.strptime(text, pattern).date().isoformat()  # noqa: DTZ007 - a day has no zone
        except ValueError:
            continue
    try:
        return datetime.fromisoformat(text).date().isoformat()
    except ValueError:
        raise FetchError(f"{text[:40]!r} is not a day") from None


def price_of(row: dict[str, Any], number: int) -> Price:
    """The price in a row of a source's answer. Raises FetchError naming the row that is none."""
    try:
        figures = {name: _figure(row.get(name)) for name in ("open", "high", "low", "volume")}
        close = _figure(row["close"] if row.get("close") not in {None, ""} else row["price"])
        day = day_of(str(row["date"]))
    except (KeyError, TypeError, ValueError, FetchError) as error:
        raise FetchError(f"row {number} is not a price ({type(error).__name__}: {error})") from error
    if close is None:
        raise FetchError(f"row {number} has no closing price")
    return Price(date=day, close=close, **figures)


def nothing_between(symbol: str, start: str, end: str, first: str | None = None) -> str:
    """The reason given for an empty answer."""
    hint = f"; its first row is {first}" if first is not None and first > end else ""
    return f"no rows for {symbol} between {start} and {end}{hint}"


def _figure(value: Any) -> float | None:
    if value is None or value == "":
        return None
    figure = float(value)
    if not math.isfinite(figure):
        raise ValueError(f"{value!r} is not a finite number")
    return figure
