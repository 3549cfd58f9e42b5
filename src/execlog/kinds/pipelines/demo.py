"""The demo's pipeline: a backfill with features over real prices, whose gap is mended by the next one.

Without polars it really fetches and inserts, and computes no features.
"""

from __future__ import annotations

import importlib.util
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from msgspec import Struct

from execlog.core.errors import ExeclogError
from execlog.kinds.pipelines.backfill import Backfill, Report
from execlog.kinds.pipelines.bars import RowSource
from execlog.kinds.pipelines.features import DEFAULT
from execlog.kinds.pipelines.history import PipelineHistory
from execlog.kinds.pipelines.warehouse import SqliteWarehouse
from execlog.ledger import Ledger

TIMEFRAME = "1mo"
WAREHOUSE = "market.db"


class PipelineDemo(Struct, frozen=True, kw_only=True):
    """What the demo's two backfills did; `health` is what the admin route says after them.

    features    the names that were computed; () without polars
    """

    early: Report
    whole: Report
    health: dict[str, Any]
    warehouse: Path
    features: tuple[str, ...]


def run_pipeline_demo(ledger: Ledger, rows: Path | str | Iterable[Mapping[str, Any]]) -> PipelineDemo:
    """What two backfills over monthly closes did: 2000 to 2003, where GOOG has no prices yet and fails, then all years.

    `rows` is a CSV file with the columns symbol, date and price, or such rows. Bars and features are kept in
    `market.db` in the ledger's home; features only where polars (extra `frames`) is installed.
    """
    source = RowSource.of_csv(rows) if isinstance(rows, Path | str) else RowSource(rows)
    place = ledger.settings.home / WAREHOUSE
    warehouse = SqliteWarehouse(place)
    try:
        backfill = Backfill(
            ledger,
            source,
            warehouse,
            features=DEFAULT if has_frames() else (),
            delay=0.1,
            asset_class="stock",
            calendar=_calendar(),
        )
        early = backfill.run(source.symbols, [TIMEFRAME], start="2000-01-01", end="2003-12-31", name="monthly-features")
        whole = backfill.run(source.symbols, [TIMEFRAME], name="monthly-features")
    finally:
        warehouse.close()
    health = PipelineHistory(ledger).get_scheduler_health()
    return PipelineDemo(early=early, whole=whole, health=health, warehouse=place, features=backfill.features)


def has_frames() -> bool:
    """Whether the library that features are computed with is installed."""
    return importlib.util.find_spec("polars") is not None


def _calendar() -> str | None:
    """The stocks' calendar, where the extra `calendars` is installed."""
    from execlog.runner.calendars import check_calendar

    try:
        check_calendar("XNYS")
    except ExeclogError:
        return None
    return "XNYS"
