"""A nightly backfill over a source of one's own, resumed where the night before ended.

The source makes its prices up, so that this runs anywhere, and breaks off until its marker file exists.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import execlog
from execlog.kinds.pipelines import Backfill, PipelineHistory, Progress, SqliteWarehouse

SYMBOLS = [f"STOCK{number}" for number in range(8)]
TIMEFRAMES = ["1d", "1wk"]
DAYS = {"1d": 1, "1wk": 7}


class Exchange:
    """A source: called with a symbol, a timeframe and a span of days, it gives rows with a time and a close."""

    def __init__(self, marker: Path) -> None:
        self._marker = marker
        self._is_up = marker.exists()

    def __call__(self, symbol: str, timeframe: str, start: str | None, end: str | None) -> Iterable[dict[str, object]]:
        """Sixty bars that end today; no connection for the later half of the symbols until the marker is there."""
        if symbol >= SYMBOLS[4] and not self._is_up:
            self._marker.touch()
            raise ConnectionError("the exchange does not answer")
        del start, end
        today = datetime.now(UTC).replace(hour=0, minute=0, second=0, microsecond=0)
        pitch = 5 + SYMBOLS.index(symbol)
        for bar in range(60):
            yield {
                "date": today - timedelta(days=(59 - bar) * DAYS[timeframe]),
                "close": 100 + 10 * math.sin(bar / pitch),
            }


def show(progress: Progress) -> None:
    """A line for each pair that is done."""
    rest = "?" if progress.eta is None else f"{progress.eta:.1f} s"
    print(f"  {progress.done:2} of {progress.total}, {progress.failed} failed, {rest} to go")


def main() -> None:
    """Do what is left to do."""
    ledger = execlog.default_ledger()
    home = ledger.settings.home
    warehouse = SqliteWarehouse(home / "market.db")
    source = Exchange(home / "exchange.up")
    backfill = Backfill(ledger, source, warehouse, attempts=2, delay=0.1, on_progress=show)
    report = backfill.run(SYMBOLS, TIMEFRAMES, name="nightly", resume="last")
    print(f"{report.status}: {report.before} done before, {report.succeeded} now, {len(report.failures)} failed")
    health = PipelineHistory(ledger).get_scheduler_health()
    print(health["status"], *health["reasons"], sep="\n- ")


if __name__ == "__main__":
    main()
