"""Two backfills that do the same pair at the same time."""

from __future__ import annotations

from contextlib import closing

import pytest

from execlog.core.model import Status
from execlog.kinds.pipelines import Backfill, SqliteWarehouse
from execlog.kinds.pipelines.bars import Bar
from execlog.kinds.pipelines.features import compute
from execlog.ledger import Ledger
from execlog.store.pairs import Pair

pytest.importorskip("polars")
DAY = 86_400_000_000
EARLY = [Bar(at * DAY, 100.0 + at % 5) for at in range(30)]
LATE = [*EARLY[:-1], Bar(EARLY[-1].at, 50.0), Bar(30 * DAY, 110.0)]
"""A price was corrected, and one came."""


def test_the_features_of_all_bars_are_left(tmp_path):
    """One has read the bars when the other adds some, computes and ends: what the first keeps must not be the last."""
    place = tmp_path / "market.db"

    class Overtaken(SqliteWarehouse):
        overtaken = False

        def bars(self, pair):
            read = super().bars(pair)
            if not self.overtaken:
                self.overtaken = True
                other = Backfill(ledger, lambda *_: LATE, warehouse).run(["A"], ["1d"])
                assert other.status is Status.SUCCEEDED
            return read

    with (
        Ledger.open("memory://", home=tmp_path / "home") as ledger,
        closing(SqliteWarehouse(place)) as warehouse,
        closing(Overtaken(place)) as slow,
    ):
        report = Backfill(ledger, lambda *_: EARLY[:-1], slow).run(["A"], ["1d"])
        assert report.status is Status.SUCCEEDED
        assert warehouse.features(Pair("A", "1d")) == compute(LATE).values
        assert report.values == compute(LATE).count
