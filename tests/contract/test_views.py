"""The SQL names of the contract on SQLite and PostgreSQL: every view and column, and the same values on both."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import apsw
import psycopg
import pytest

from columns import typed
from contract.golden import CONTRACT
from contract.life import live_variously
from execlog.ledger import Ledger

VIEWS = CONTRACT["sql"]
KEYS = {
    "feature_computation_failures": ("symbol", "execution_id", "failed_at"),
    "feature_freshness": ("symbol", "timeframe"),
    "symbol_computation_status": ("execution_id", "symbol"),
    "execution_analytics": ("execution_date", "user_id", "database_type", "status"),
}
"""What tells the rows of a view apart, where it is not an execution's id."""
SECONDS = 30
"""How much later the second store may hear of a pair, and be asked about it."""
Ask = Callable[[str], list[dict[str, Any]]]


def ask_sqlite(path: str) -> Ask:
    def ask(sql: str) -> list[dict[str, Any]]:
        with contextlib.closing(apsw.Connection(path, flags=apsw.SQLITE_OPEN_READONLY)) as connection:
            cursor = connection.execute(sql)
            return [typed(dict(zip([c[0] for c in cursor.description], row, strict=True))) for row in cursor]

    return ask


def ask_postgres(url: str) -> Ask:
    def ask(sql: str) -> list[dict[str, Any]]:
        with psycopg.connect(url, row_factory=psycopg.rows.dict_row) as connection:
            return connection.execute(sql).fetchall()

    return ask


@pytest.fixture
def databases(tmp_path, empty_postgres_url) -> dict[str, Ask]:
    """How to ask SQLite and PostgreSQL, which were told the same."""
    path, now = tmp_path / "history.db", datetime.now(UTC)
    for number, url in enumerate([f"sqlite:///{path}", empty_postgres_url]):
        with Ledger.open(url, home=tmp_path / str(number)) as ledger:
            live_variously(ledger, now)
    return {"sqlite": ask_sqlite(str(path)), "postgres": ask_postgres(empty_postgres_url)}


@pytest.mark.postgres
def test_every_view_has_every_column(databases):
    for name, ask in databases.items():
        for view, columns in VIEWS.items():
            rows = ask(f"select * from {view}")
            assert list(rows[0]) == columns, (name, view)
            for column in columns:
                asked = ask(f"select {column} from {view}")
                assert len(asked) == len(rows), (name, view, column)
                assert any(row[column] is not None for row in asked), (name, view, column)


@pytest.mark.postgres
def test_every_column_has_the_same_values(databases):
    for view, columns in VIEWS.items():
        one, other = (sorted_rows(ask, view) for ask in databases.values())
        assert len(one) == len(other), view
        for here, there in zip(one, other, strict=True):
            for column in set(columns) - {"id"}:  # the store's own number
                assert same(column, here[column], there[column]), (view, column, here, there)


@pytest.mark.postgres
def test_a_pair_within_an_execution_has_the_contracts_word(databases):
    words = CONTRACT["words"]["item"]
    for name, ask in databases.items():
        for status in CONTRACT["words"]["order"]:
            rows = ask(f"select * from symbol_computation_status where execution_id = 'pipeline-{status}'")
            assert {row["symbol"]: row["status"] for row in rows} == {
                f"S{number}": word for number, word in enumerate(words)
            }, (name, status)


@pytest.mark.postgres
def test_postgres_types_the_columns_as_its_clients_do(databases):
    """What is asked of tables with instants and JSON in them may be asked of the views."""
    ask = databases["postgres"]
    for sql in (
        "select count(*) from query_executions where started_at < now() - interval '7 days'",
        "select count(*) from query_executions where connection_params @> '{}' and request_metadata ->> 'a' is null",
        "select sum(execution_count) from execution_analytics where execution_date < current_date + 1",
        "select count(*) from user_recent_executions where completed_at - started_at < interval '1 hour'",
        "select date_trunc('day', started_at), max(completed_at - started_at) from scheduler_execution_log group by 1",
        "select count(*) from feature_computation_failures where failed_at < now() and not resolved",
        "select count(*) from feature_freshness where updated_at > now() - interval '1 day'",
        "select count(*) from symbol_computation_status where started_at is null or started_at < now()",
    ):
        assert next(iter(ask(sql)[0].values())), sql


def sorted_rows(ask: Ask, view: str) -> list[dict[str, Any]]:
    keys = KEYS.get(view, ("execution_id",))
    rows = {tuple(str(row[key]) for key in keys): row for row in ask(f"select * from {view}")}
    assert len(rows) == ask(f"select count(*) as n from {view}")[0]["n"], f"{view}: {keys} do not tell rows apart"
    return [rows[key] for key in sorted(rows)]


def same(column: str, here: Any, there: Any) -> bool:
    """Whether two values are the same, or near each other where they depend on when a store was asked or told."""
    if column == "staleness_seconds" and here is not None:
        return abs(here - there) <= SECONDS
    if column == "updated_at":
        return abs(here - there).total_seconds() <= SECONDS
    return here == there
