"""Prices from a CSV file, read again when it changes."""

from __future__ import annotations

import csv
import threading
from collections import defaultdict
from pathlib import Path

from execlog.kinds.jobs.prices import Price
from execlog.kinds.jobs.sources import CsvConfig, FetchError, nothing_between, price_of


class CsvSource:
    """A `Source` over a CSV file."""

    def __init__(self, config: CsvConfig) -> None:
        self._config = config
        self._path = Path(config.path)
        self._lock = threading.Lock()
        self._read_at: tuple[int, int] | None = None
        self._prices: dict[str, list[Price]] = {}
        self._faults: dict[str, FetchError] = {}

    def fetch(self, symbol: str, start: str, end: str) -> list[Price]:
        """The prices of a symbol between two days. Raises FetchError."""
        known = self.prices()
        if symbol in self._faults:
            raise FetchError(str(self._faults[symbol]))
        if symbol not in known:
            raise FetchError(f"unknown symbol {symbol}")
        found = [price for price in known[symbol] if start <= price.date <= end]
        if not found:
            raise FetchError(nothing_between(symbol, start, end, known[symbol][0].date))
        return found

    def prices(self) -> dict[str, list[Price]]:
        """All prices by symbol, oldest first, without what is wrong with some."""
        path = self._path
        try:
            stat = path.stat()
            stamp = stat.st_mtime_ns, stat.st_size
            with self._lock:
                if self._read_at != stamp:
                    self._prices, self._faults = self._load()
                    self._read_at = stamp
                return self._prices
        except (OSError, UnicodeDecodeError, csv.Error) as error:
            raise FetchError(f"{path.name} cannot be read: {error}") from error

    def _load(self) -> tuple[dict[str, list[Price]], dict[str, FetchError]]:
        """The prices by symbol, and the first row of a symbol that is none."""
        config = self._config
        prices: defaultdict[str, list[Price]] = defaultdict(list)
        faults: dict[str, FetchError] = {}
        with self._path.open(encoding="utf-8-sig", newline="") as file:
            reader = csv.DictReader(file)
            missing = {config.symbol, config.date, config.close} - set(reader.fieldnames or ())
            if missing:
                raise FetchError(f"{self._path.name} has no column {', '.join(sorted(missing))}")
            for number, row in enumerate(reader, start=2):
                named = {**row, "date": row[config.date], "close": row[config.close]}
                try:
                    prices[row[config.symbol]].append(price_of(named, number))
                except FetchError as error:
                    faults.setdefault(row[config.symbol], FetchError(f"{self._path.name}: {error}"))
        return {symbol: sorted(rows, key=lambda price: price.date) for symbol, rows in prices.items()}, faults
