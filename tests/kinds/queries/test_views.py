"""The queries' SQL names on SQLite and PostgreSQL: every column, from any client, the same as the API says."""

from __future__ import annotations

import sqlite3
from datetime import date, datetime

import psycopg
import pytest
from psycopg.rows import dict_row
from starlette.testclient import TestClient

from columns import typed
from execlog.kinds.queries import ExecutionTracker
from execlog.kinds.queries.routes import query_kind
from execlog.web.app import create_app

COLUMNS = [
    "id", "execution_id", "user_id", "conversation_id", "query", "database_type", "query_complexity", "status",
    "execution_time", "total_rows", "returned_rows", "page", "page_size", "error_message", "error_type", "started_at",
    "completed_at", "connection_params", "request_metadata", "response_metadata",
]  # fmt: skip


@pytest.fixture(params=["sqlite", pytest.param("postgres", marks=pytest.mark.postgres)])
def store_url(request, new_store_url):
    return new_store_url(request.param)


@pytest.fixture
def select(ledger, store_url):
    """A function that asks as a client of another language would: the file with the standard library, or the server."""

    def ask(sql, *values):
        assert ledger.flush()
        if store_url.startswith("postgresql:"):
            with psycopg.connect(store_url, row_factory=dict_row) as client:
                return client.execute(sql.replace("?", "%s"), values).fetchall()
        connection = sqlite3.connect(f"file:{store_url.removeprefix('sqlite:///')}?mode=ro", uri=True)
        try:
            connection.row_factory = sqlite3.Row
            return [typed(dict(row)) for row in connection.execute(sql, values)]
        finally:
            connection.close()

    return ask


@pytest.fixture
def log(ledger):
    tracker = ExecutionTracker(ledger)
    return lambda **said: tracker.log_execution_background(
        **({"query": "select 1", "database_type": "kdb", "user_id": "ann"} | said)
    )


def test_the_view_and_the_api_say_the_same(ledger, log, select):
    log(
        execution_id="whole",
        query="select 'größe'",
        conversation_id="talk",
        query_complexity="simple",
        execution_time=0.25,
        total_rows=2**40,
        returned_rows=10,
        page=3,
        page_size=10,
        started_at="2025-11-24T10:30:00.000001Z",
        connection_params={"connection": "lake"},
        request_metadata={"a": [1, {"b": None}]},
        response_metadata={"bytes": 7},
    )
    for word in ("failed", "timeout", "error"):
        log(execution_id=word, status=word, error_type="Kind", error_message="why", started_at="1969-12-31T23:59:59.5Z")
    log(execution_id="crashed", status="error")
    log(execution_id="cancelled", status="failed", error_type="Cancelled")
    log(execution_id="running", status="running")
    rows = {row["execution_id"]: row for row in select("select * from query_executions")}
    assert all(list(row) == COLUMNS for row in rows.values())
    assert "running" not in rows
    client = TestClient(create_app(ledger, [query_kind(ledger)]), base_url="http://localhost")
    told = client.get("/api/v1/executions/ann").json()["executions"]
    assert len(told) == len(rows) == 6
    for row in told:
        row |= {name: datetime.fromisoformat(row[name]) for name in ("started_at", "completed_at")}
        assert rows[row["execution_id"]] == row


def test_columns_can_be_selected_filtered_and_summed(log, select):
    for number in range(5):
        log(execution_id=f"e{number}", total_rows=2**40, status="success" if number else "timeout", user_id="bob")
    assert select("select count(*) n, sum(total_rows) s from query_executions where status = 'success'") == [
        {"n": 4, "s": 4 * 2**40}
    ]
    assert select("select execution_id from query_executions where user_id = ? and status = ?", "bob", "timeout") == [
        {"execution_id": "e0"}
    ]


def test_analytics_are_per_day_user_database_and_status(log, select):
    for day, status, seconds in [
        ("01", "success", 1.0),
        ("01", "success", 3.0),
        ("01", "failed", 5.0),
        ("02", "success", 7.0),
    ]:
        log(started_at=f"2025-01-{day}T23:59:59Z", status=status, execution_time=seconds, total_rows=10)
    log(started_at="2025-01-01T00:00:00Z", database_type="starburst", user_id="bob")
    found = select("select * from execution_analytics order by execution_date, user_id, status desc")
    assert found[0] == {
        "execution_date": date(2025, 1, 1), "user_id": "ann", "database_type": "kdb", "status": "success",
        "execution_count": 2, "avg_execution_time": 2.0, "min_execution_time": 1.0, "max_execution_time": 3.0,
        "total_rows": 20,
    }  # fmt: skip
    shown = [(row["execution_date"].day, row["user_id"], row["status"], row["execution_count"]) for row in found[1:]]
    assert shown == [
        (1, "ann", "failed", 1),
        (1, "bob", "success", 1),
        (2, "ann", "success", 1),
    ]


def test_recent_executions_are_ranked_per_user(log, select):
    for number in range(3):
        log(execution_id=f"a{number}", started_at=f"2025-01-0{number + 1}T00:00:00Z")
        log(execution_id=f"b{number}", started_at="2025-01-01T00:00:00Z", user_id="bob")
    found = select("select execution_id, rank from user_recent_executions where user_id = 'ann' order by rank")
    assert [tuple(row.values()) for row in found] == [("a2", 1), ("a1", 2), ("a0", 3)]
    newest = select("select user_id, execution_id from user_recent_executions where rank = 1 order by user_id")
    assert [row["execution_id"] for row in newest] == ["a2", "b2"]
    whole = select("select * from user_recent_executions limit 1")
    assert list(whole[0]) == [*COLUMNS, "rank"]


def test_the_newest_of_a_second_comes_first(log, select):
    for name, fraction in (("first", ""), ("third", ".9"), ("second", ".000001")):
        log(execution_id=name, started_at=f"2025-01-01T10:30:00{fraction}Z")
    ranked = select("select execution_id from user_recent_executions order by rank")
    sorted_ = select("select execution_id from query_executions order by started_at desc")
    assert [row["execution_id"] for row in ranked] == ["third", "second", "first"]
    assert sorted_ == ranked


def test_what_no_database_stores_does_not_keep_the_rest_from_being_read(log, select):
    log(execution_id="odd", request_metadata={"a\0": ["\ud800", float("nan"), 10**400, {"\0": "\0"}]})
    log(execution_id="plain", request_metadata={"n": 1})
    rows = {row["execution_id"]: row for row in select("select execution_id, request_metadata from query_executions")}
    assert rows["plain"]["request_metadata"] == {"n": 1}
    assert len(rows) == 2
