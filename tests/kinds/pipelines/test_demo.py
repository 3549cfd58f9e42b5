"""The demo of pipelines, over real prices."""

from __future__ import annotations

import json
from contextlib import closing
from pathlib import Path

import pytest

from execlog.kinds.pipelines import SqliteWarehouse, run_pipeline_demo
from execlog.ledger import Ledger

pytest.importorskip("polars")
STOCKS = Path(__file__).parents[3] / "src/execlog/kinds/jobs/data/stocks.csv"


def test_the_demo_shows_a_gap_and_its_mending(tmp_path):
    with Ledger.open(home=tmp_path) as ledger:
        demo = run_pipeline_demo(ledger, STOCKS)
    assert list(demo.early.failures) == ["GOOG/1mo"]
    assert (demo.whole.succeeded, demo.whole.failures, demo.whole.rows) == (5, {}, 560)
    assert demo.health["status"] == "healthy"
    assert json.dumps(demo.health)
    with closing(SqliteWarehouse(demo.warehouse)) as warehouse:
        assert warehouse.sizes() == (560, demo.whole.values)
