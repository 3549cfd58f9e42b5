"""Prices from Yahoo Finance, through the package yfinance (extra `yfinance`)."""

from __future__ import annotations

from collections.abc import Callable
from datetime import date, timedelta
from typing import Any

from execlog.core.errors import MissingExtraError
from execlog.kinds.jobs.prices import Price
from execlog.kinds.jobs.sources import FetchError, YfinanceConfig, nothing_between, price_of

Ticker = Callable[[str], Any]
"""What gives a symbol's history: `yfinance.Ticker`."""

_COLUMNS = {"open": "Open", "high": "High", "low": "Low", "close": "Close", "volume": "Volume"}


class YfinanceSource:
    """A `Source` over yfinance. Prices are as traded, not adjusted for later splits and dividends."""

    def __init__(self, config: YfinanceConfig, ticker: Ticker | None = None) -> None:
        """`ticker` stands in for `yfinance.Ticker`. Raises MissingExtraError without the extra."""
        self._config = config
        self._ticker = ticker or _load()

    def fetch(self, symbol: str, start: str, end: str) -> list[Price]:
        """The prices of a symbol between two days. Raises FetchError, or TimeoutError."""
        after_end = (date.fromisoformat(end) + timedelta(days=1)).isoformat()
        try:
            frame = self._ticker(symbol).history(
                start=start,
                end=after_end,
                interval=self._config.interval,
                auto_adjust=False,
                actions=False,
                timeout=self._config.timeout,
            )
        except Exception as error:
            if "timeout" in type(error).__name__.lower() or "timed out" in str(error).lower():
                raise TimeoutError(f"Connection timeout after {self._config.timeout:g}s") from error
            raise FetchError(f"{type(error).__name__}: {error}") from error
        prices = [
            price_of(
                {"date": day.date().isoformat()} | {name: row[column] for name, column in _COLUMNS.items()}, number
            )
            for number, (day, row) in enumerate(frame.iterrows(), start=1)
            if row["Close"] == row["Close"]
        ]
        if not prices:
            raise FetchError(nothing_between(symbol, start, end))
        return prices


def _load() -> Ticker:
    try:
        import yfinance  # pyright: ignore[reportMissingTypeStubs] - it has none
    except ImportError as error:
        raise MissingExtraError("yfinance", needed_for="fetching prices from Yahoo Finance") from error
    yfinance.config.debug.hide_exceptions = False  # otherwise a refused request looks like a symbol without prices
    return yfinance.Ticker
