"""The demo's queries over the real prices."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import pytest

import execlog
from execlog.core.filter import Filter
from execlog.kinds.queries import demo

CSV = Path(execlog.__file__).parent / "kinds" / "jobs" / "data" / "stocks.csv"


@pytest.mark.parametrize("with_duckdb", [True, False])
def test_the_demo_shows_every_end_a_query_can_have(ledger, monkeypatch, with_duckdb):
    if not with_duckdb:
        monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    ran = demo.run_query_demo(ledger, CSV)
    assert {one.connection for one in ran} == ({"prices", "analytics"} if with_duckdb else {"prices"})
    ended = {(one.connection, one.title): one for one in ran}
    assert ended["prices", "a join that would take hours"].status == "timeout"
    assert ended["prices", "a column that is not there"].status == "failed"
    assert ended["prices", "a read-only connection stays as it is"].status == "failed"
    assert ended["prices", "monthly returns"].total_rows == 5
    assert ended["prices", "mean price of the last year, month by month"].total_rows == 560
    if with_duckdb:
        assert ended["analytics", "correlations"].total_rows == 10
        assert ended["analytics", "a file that is none of its business"].status == "failed"
    assert sum(one.status == "success" for one in ran) == (6 if with_duckdb else 3)
    assert ledger.flush()
    assert ledger.store.count(Filter(kind="query")) == len(ran)


def test_both_databases_agree_on_the_returns(ledger):
    from execlog.kinds.queries.gateway import Query

    with demo.demo_gateway(ledger, CSV) as gateway:
        answers = [
            gateway.execute(Query(query=demo._RETURNS, connection=name)).part.values()
            for name in (demo.SQLITE, demo.DUCKDB)
        ]
    assert answers[0] == answers[1]
    assert {row[0] for row in answers[0]} == {"AAPL", "AMZN", "GOOG", "IBM", "MSFT"}
