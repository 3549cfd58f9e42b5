"""What is found out about queries beside the answer: complexity, tables, advice, and those slower than usual."""

from __future__ import annotations

import importlib.util
import time

import pytest

from execlog.core.model import Event, Status
from execlog.kinds.queries import analysis
from execlog.kinds.queries.analysis import Analysis, analyse
from execlog.kinds.queries.gateway import Query
from execlog.kinds.queries.insight import ENOUGH, Insight, Seen
from execlog.kinds.queries.lexer import POSTGRES, SQLITE, TRINO

NESTED = """
with recent as (select * from sales.orders where day > date '2024-01-01')
select c.name, sum(o.total) over (partition by c.region) from recent o
join crm.customers c on c.id = o.customer_id
left join (select region, avg(total) a from sales.orders group by region) r on r.region = c.region
where exists (select 1 from vip v where v.id = c.id)
"""


@pytest.mark.parametrize(
    ("query", "complexity", "tables"),
    [
        ("select a from t where b = 1", "simple", ("t",)),
        ("select 1", "simple", ()),
        ("select a, count(*) from t group by a", "simple", ("t",)),
        ("select a from t join u on t.id = u.id join v on v.id = u.id", "moderate", ("t", "u", "v")),
        (NESTED, "complex", ("crm.customers", "sales.orders", "vip")),
        ("select from from", None, ()),
        ("", None, ()),
    ],
)
def test_complexity_and_tables(query, complexity, tables):
    found = analyse(query, POSTGRES, "postgres")
    assert (found.complexity, found.tables) == (complexity, tables)


@pytest.mark.parametrize(
    ("query", "said"),
    [
        ("select * from t", "every column"),
        ("select a from t where b like '%x'", "LIKE"),
        ("select t.a from t, u", "join without a condition"),
        ("select t.a from t cross join u", "join without a condition"),
        ("select a from t where lower(b) = 'x'", "function of a column"),
        ("select a from t where b not in (select c from u)", "NOT EXISTS"),
    ],
)
def test_advice(query, said):
    assert any(said in sentence for sentence in analyse(query, POSTGRES, "postgres").suggestions)


@pytest.mark.parametrize(
    "query",
    [
        "select a from t where b like 'x%' and c = lower('X')",
        "select t.a from t, u where t.id = u.id",
        "select t.a from t join u using (id)",
        "select count(*) from t",
        "select a from t where b not in (1, 2)",
    ],
)
def test_no_advice_where_none_is_due(query):
    assert analyse(query, POSTGRES, "postgres").suggestions == ()


def test_without_sqlglot_there_is_a_fingerprint_still(monkeypatch):
    with_it = analyse("select a from t where b = 1", TRINO, "trino")
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    analysis._has_sqlglot.cache_clear()
    try:
        without = analyse("select a  from t where b = 2", TRINO, "trino")
    finally:
        monkeypatch.undo()
        analysis._has_sqlglot.cache_clear()
    assert without == Analysis(with_it.fingerprint)
    assert with_it.complexity == "simple"


def test_languages_that_are_not_sql_have_a_fingerprint():
    one = analyse('select from trade where sym=`AAPL, size>100, note="x y"', None, "")
    other = analyse('select  from trade where sym=`AAPL, size>2000, note="z"', None, "")
    third = analyse("select from trade where sym=`MSFT, size>100", None, "")
    assert one == other != third


def test_deep_and_long_queries_do_no_harm():
    assert analyse("select " + "(" * 5_000 + "1" + ")" * 5_000, SQLITE, "sqlite").fingerprint
    assert analyse("select 1 + " * 30_000 + "1", SQLITE, "sqlite").complexity is None


def test_what_sqlglot_says_of_a_query_is_not_logged(caplog):
    import logging

    analyse("create secret s (type s3, secret 'hunter2')", POSTGRES, "duckdb")
    assert "hunter2" not in caplog.text
    logging.getLogger("sqlglot").warning("of somebody else's query")
    assert "somebody else" in caplog.text


def test_the_gateway_records_it_beside_the_answer(gateway, recorded):
    query = "select * from t where a = 7"
    first = gateway.execute(Query(query=query, connection="file"))
    assert gateway.insight.settle(10)
    kept = recorded(first.execution_id)
    assert (kept.metadata["query_complexity"], kept.metadata["tables"]) == ("simple", ["t"])
    assert kept.metadata["fingerprint"] == analysis.fingerprint_of(query, SQLITE)
    assert "every column" in kept.metadata["suggestions"][0]
    assert kept.metadata["returned_rows"] == 1
    # From now on it is known before the query runs.
    second = gateway.execute(Query(query=query, connection="file"))
    assert second.part.total_rows == 1
    assert recorded(second.execution_id).metadata["query_complexity"] == "simple"


def test_another_value_is_not_analysed_anew(gateway, monkeypatch):
    looked = []
    real = analysis.look_closer
    monkeypatch.setattr(analysis, "look_closer", lambda *words: looked.append(words) or real(*words))
    for number in range(5):
        gateway.execute(Query(query=f"select b from t where a = {number}", connection="file"))
    assert gateway.insight.settle(10)
    assert len(looked) == 1


def test_a_table_that_is_a_literal_is_its_own_query_s(gateway, recorded):
    ids = [
        gateway.execute(Query(query=f"from '{name}.csv'", connection="duck")).execution_id for name in ("one", "two")
    ]
    assert gateway.insight.settle(5)
    assert [recorded(id_).metadata["tables"] for id_ in ids] == [["one.csv"], ["two.csv"]]


def test_queries_slower_than_usual_are_noticed(gateway):
    said = []
    insight = Insight(said.append, lambda: 1)
    connector = gateway.connections["file"].connector

    def ran(seconds, query="select a from t where b = 1", status=Status.SUCCEEDED):
        event = Event(id="x", kind="query", at=0, status=status, subject="file", input=query, duration=seconds,
                      metadata={"response_metadata": {"bytes": 1}})  # fmt: skip
        insight.note(Seen(event, connector, insight.known(query, connector)))
        assert insight.settle(10)
        return (said[-1].metadata or {}).get("response_metadata", {}).get("anomaly") if said else None

    for _ in range(ENOUGH):
        assert ran(0.2) is None
    assert ran(0.55) is None
    found = ran(2.0)
    assert (found["seconds"], found["usual_p95"]) == (2.0, 0.2)
    assert found["times"] >= 3
    said.clear()
    assert ran(2.0, query="select other from t") is None
    assert ran(9.0, status=Status.TIMED_OUT) is None
    insight.close()


def test_too_many_waiting_are_passed_over(gateway, monkeypatch):
    monkeypatch.setattr("execlog.kinds.queries.insight.WAITING", 3)
    insight = Insight(lambda event: None, lambda: 1)
    monkeypatch.setattr(insight, "_start", lambda: None)
    event = Event(id="x", kind="query", at=0, input="select 1")
    for _ in range(10):
        insight.note(Seen(event, gateway.connections["file"].connector, None))
    assert insight._waiting.qsize() == 3


def test_one_that_cannot_be_understood_does_not_end_the_thinking(gateway, monkeypatch):
    def broken(*_):
        raise RuntimeError("a bug in a parser")

    monkeypatch.setattr(analysis, "look_closer", broken)
    gateway.execute(Query(query="select 1", connection="file"))
    assert gateway.insight.settle(10)
    monkeypatch.undo()
    gateway.execute(Query(query="select 2, 3", connection="file"))
    assert gateway.insight.settle(10)
    assert gateway.insight.known("select 2, 3", gateway.connections["file"].connector) is not None


@pytest.mark.parametrize("nest", [("array[", "]"), ("x::int[", "]"), ("struct (", ")")])
def test_what_would_take_sqlglot_minutes_is_not_looked_at_closer(nest):
    opening, closing = nest
    before = time.monotonic()
    found = analyse("select " + opening * 24 + "1" + closing * 24, POSTGRES, "postgres")
    assert time.monotonic() - before < 5
    assert (len(found.fingerprint), found.complexity) == (16, None)
    usual = "select " + "(" * 12 + "array[1], array[array[2]]" + ")" * 12 + " from t"
    assert analyse(usual, POSTGRES, "postgres").tables == ("t",)
