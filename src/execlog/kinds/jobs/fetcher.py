"""Fetching: from a configured source into the table `prices`."""

from __future__ import annotations

from datetime import date, timedelta
from functools import lru_cache
from pathlib import Path
from typing import Any

import msgspec
from msgspec import Struct

from execlog.core.clock import Clock, SystemClock, moment
from execlog.core.codec import convert
from execlog.core.errors import InvalidError, SettingsError
from execlog.core.settings import section
from execlog.kinds.jobs.prices import price_table
from execlog.kinds.jobs.sources import CsvConfig, HttpConfig, Source, SourceConfig, YfinanceConfig
from execlog.runner.actions import ItemResult, Task
from execlog.runner.job import Fetch

SAMPLE = Path(__file__).parent / "data" / "stocks.csv"
_CONFIG: Any = SourceConfig


class Fetcher(Struct, frozen=True):
    """Runs the fetch of one stock: from its source into the table `prices`. Picklable, so that processes can run it."""

    sources: dict[str, SourceConfig]
    prices: Path

    def __call__(self, task: Task) -> ItemResult:
        """What became of the fetch; `rows` is how many rows were kept. Raises what the source raises."""
        action, symbol = task.action, task.item
        if not isinstance(action, Fetch) or symbol is None:
            raise InvalidError("a fetch needs a stock", field="stocks")
        clock = SystemClock()
        start, end = days_of(action, clock)
        source = open_source(config_of(self.sources, action.source))
        prices = source.fetch(symbol, start, end)
        table = price_table(self.prices)
        rows = table.keep(symbol, prices, source=action.source, fetched_at=clock.now())
        span = {"first": prices[0].date, "last": prices[-1].date}
        return ItemResult(rows=rows, output=span)


def days_of(action: Fetch, clock: Clock) -> tuple[str, str]:
    """The first and the last day of a fetch."""
    end = action.end or moment(clock.now()).date().isoformat()
    start = action.start or (date.fromisoformat(end) - timedelta(days=action.days)).isoformat()
    return start, end


def configured_sources(home: Path) -> dict[str, SourceConfig]:
    """The sources of the configuration file, besides `sample` (the prices shipped with execlog) and `yfinance`."""
    named: dict[str, Any] = section(home, "sources")
    sources: dict[str, SourceConfig] = {"sample": CsvConfig(str(SAMPLE)), "yfinance": YfinanceConfig()}
    for name, fields in named.items():
        try:
            sources[name] = convert(fields, _CONFIG)
        except InvalidError as error:
            raise SettingsError(f"[sources.{name}]: {error}") from error
    return sources


def config_of(sources: dict[str, SourceConfig], name: str) -> SourceConfig:
    """The source of this name. Raises InvalidError naming those there are."""
    if name not in sources:
        known = ", ".join(sorted(sources)) or "none"
        raise InvalidError(f"there is no source {name!r}; configured are {known}", field="run.source")
    return sources[name]


def open_source(config: SourceConfig) -> Source:
    """The source so configured, one a process, so that its rate limit holds over all threads."""
    return _open(msgspec.json.encode(config))


@lru_cache(maxsize=64)
def _open(encoded: bytes) -> Source:
    config: SourceConfig = msgspec.json.decode(encoded, type=_CONFIG)
    if isinstance(config, HttpConfig):
        from execlog.kinds.jobs.http_source import HttpSource

        return HttpSource(config)
    if isinstance(config, CsvConfig):
        from execlog.kinds.jobs.csv_source import CsvSource

        return CsvSource(config)
    from execlog.kinds.jobs.yfinance_source import YfinanceSource

    return YfinanceSource(config)
