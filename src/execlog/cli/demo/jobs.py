"""The demo's jobs: five stocks, year by year, from a price feed on this machine."""

from __future__ import annotations

from pathlib import Path

from execlog.kinds.jobs import Fetch, Interval, Job, Retries

STOCKS = ("MSFT", "AMZN", "IBM", "GOOG", "AAPL")
YEARS = range(2000, 2011)
SOURCE = "feed"
TICK_SECONDS = 3.0
_SETTINGS = """\
# Written by `execlog demo`: where its jobs fetch prices. The feed ends with the demo.
[sources.{source}]
type = "http"
base_url = "{url}"
rate = 0
"""


def write_settings(home: Path, url: str) -> None:
    """Make the feed at this URL known to every process of the home."""
    (home / "execlog.toml").write_text(_SETTINGS.format(source=SOURCE, url=url), encoding="utf-8")


def backfill_of(year: int) -> Job:
    """The job that fetches a year of all stocks."""
    return Job(
        id=f"backfill-{year}",
        name=f"backfill {year}",
        description=f"Monthly closing prices of {year}",
        run=Fetch(source=SOURCE, start=f"{year}-01-01", end=f"{year}-12-31"),
        stocks=STOCKS,
        tags={"year": str(year)},
    )


def tick() -> Job:
    """The job that goes on: the newest prices, every few seconds."""
    return Job(
        id="tick",
        name="tick",
        description="The newest prices",
        run=Fetch(source=SOURCE, start="2010-01-01", end="2010-03-31"),
        stocks=STOCKS,
        trigger=Interval(TICK_SECONDS),
        retries=Retries(limit=1, backoff=1.0),
    )
