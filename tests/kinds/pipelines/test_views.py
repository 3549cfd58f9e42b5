"""The pipelines' SQL names on SQLite and PostgreSQL, as a client with a database tool of its own reads them."""

from __future__ import annotations

import contextlib
import subprocess
import sys
from datetime import UTC, datetime, timedelta

import apsw
import psycopg
import pytest
from psycopg.rows import dict_row

from columns import typed
from execlog.kinds.pipelines import PipelineHistory
from execlog.ledger import Ledger

COLUMNS = {
    "scheduler_execution_log": [
        "execution_id", "started_at", "completed_at", "total_symbols", "successful_symbols", "failed_symbols",
        "total_records_processed", "duration_seconds", "status", "error_message",
    ],
    "feature_computation_failures": [
        "symbol", "timeframe", "error_message", "execution_id", "retry_count", "resolved", "failed_at"
    ],
    "feature_freshness": [
        "symbol", "timeframe", "last_computed_at", "data_point_count", "status", "staleness_seconds", "updated_at"
    ],
    "symbol_computation_status": [
        "execution_id", "symbol", "asset_class", "timeframe", "status", "records_processed", "records_inserted",
        "features_computed", "started_at", "completed_at", "duration_seconds", "error_message",
    ],
}  # fmt: skip


def now() -> datetime:
    return datetime.now(UTC)


@pytest.fixture(params=["sqlite", pytest.param("postgres", marks=pytest.mark.postgres)])
def url(request, new_store_url):
    return new_store_url(request.param)


@pytest.fixture
def ledger(url, tmp_path):
    with Ledger.open(url, home=tmp_path / "home") as opened:
        yield opened


@pytest.fixture
def history(ledger):
    return PipelineHistory(ledger)


@pytest.fixture
def read(ledger, url):
    """Rows of a query as dicts, read with a plain connection to the file or the server."""

    def ask(sql: str) -> list[dict]:
        assert ledger.flush()
        if url.startswith("postgresql:"):
            with psycopg.connect(url, row_factory=dict_row) as client:
                return client.execute(sql).fetchall()
        path = url.removeprefix("sqlite:///")
        with contextlib.closing(apsw.Connection(path, flags=apsw.SQLITE_OPEN_READONLY)) as connection:
            cursor = connection.execute(sql)
            return [typed(dict(zip((c[0] for c in cursor.description), row, strict=True))) for row in cursor]

    return ask


@pytest.mark.parametrize("name", COLUMNS)
def test_every_column_can_be_selected(read, history, name):
    id_ = history.create_scheduler_execution_log(now(), 1)
    history.log_symbol_computation_status(id_, "AAPL", "stock", "1d", "failed", error_message="boom")
    columns = COLUMNS[name]
    assert list(read(f"select * from {name}")[0]) == columns
    for column in columns:
        assert len(read(f"select {column} from {name} where {column} is null or {column} = {column}")) == 1


@pytest.mark.parametrize("url", ["sqlite"], indirect=True)
def test_pythons_own_sqlite_reads_them_too(ledger, history, url):
    """In a process of its own: two SQLite libraries in one process would drop each other's locks."""
    history.create_scheduler_execution_log(datetime(2024, 11, 13, 2, tzinfo=UTC), 1)
    history.update_feature_freshness("AAPL", "1d", now(), 5)
    assert ledger.flush()
    script = "import sqlite3, sys; print(sqlite3.connect(sys.argv[1]).execute(sys.argv[2]).fetchone())"
    for name, count in zip(COLUMNS, (1, 0, 1, 0), strict=True):
        query = f"select count(*) from {name}"
        said = subprocess.check_output([sys.executable, "-c", script, url.removeprefix("sqlite:///"), query], text=True)
        assert said == f"({count},)\n"


def test_the_view_says_what_the_method_says(read, history, ledger):
    cases = [(0, 0, "completed", None), (50, 5, "completed", None), (3, 3, "failed", "no network")]
    for number, (total, failed, status, error) in enumerate(cases):
        at = datetime(2024, 11, 13, 2, number, 0, 123_456, tzinfo=UTC)
        id_ = history.create_scheduler_execution_log(at, total)
        ended = at + timedelta(seconds=930)
        history.update_scheduler_execution_log(id_, ended, total - failed, failed, 12_500, status, error)
    history.create_scheduler_execution_log(now(), 9)
    with ledger.run("features", kind="pipeline", metadata={"total_symbols": 1}) as run:
        for item in run.items(["AAPL/1d", "AAPL/1h"]):
            with item:
                item.rows(3)
    rows = read("select * from scheduler_execution_log order by started_at desc")
    entries = history.get_execution_history()
    assert len(rows) == len(entries) == 5
    for row, entry in zip(rows, entries, strict=True):
        del entry["success_rate"]
        for name in ("started_at", "completed_at"):
            entry[name] = entry[name] and datetime.fromisoformat(entry[name])
        assert row == entry


def test_times_are_exact_to_the_microsecond(read, history):
    for at in (
        datetime(2024, 11, 13, 2, 0, 0, 5, tzinfo=UTC),
        datetime(1969, 12, 31, 23, 59, 59, 999_999, tzinfo=UTC),
        datetime(1, 1, 1, tzinfo=UTC),
    ):
        id_ = history.create_scheduler_execution_log(at, 0)
        (row,) = read(f"select started_at from scheduler_execution_log where execution_id = '{id_}'")
        assert row["started_at"] == at


@pytest.mark.parametrize(
    ("word", "shown"),
    [("pending", "pending"), ("in_progress", "in_progress"), ("completed", "completed"), ("failed", "failed")],
)
def test_a_symbols_status(read, history, word, shown):
    id_ = history.create_scheduler_execution_log(now(), 1)
    started = datetime(2024, 11, 13, 2, tzinfo=UTC)
    history.log_symbol_computation_status(
        id_, "BTC/USD", "crypto", "1h", word, 100, 90, 9, started, started + timedelta(seconds=2.5), None, "why"
    )
    (row,) = read("select * from symbol_computation_status")
    ended = word in {"completed", "failed"}
    assert row == {
        "execution_id": id_,
        "symbol": "BTC/USD",
        "asset_class": "crypto",
        "timeframe": "1h",
        "status": shown,
        "records_processed": 100,
        "records_inserted": 90,
        "features_computed": 9,
        "started_at": started,
        "completed_at": started + timedelta(seconds=2.5) if ended else None,
        "duration_seconds": 2.5 if ended else None,
        "error_message": "why",
    }


def test_failures_are_resolved_by_a_later_success(read, history):
    id_ = history.create_scheduler_execution_log(now(), 1)
    history.log_feature_computation_failure("XYZ", "1h", "Division by zero in volatility", id_)
    history.log_symbol_computation_status(id_, "XYZ", "stock", "1h", "failed", error_message="the same, as the pair's")
    history.log_symbol_computation_status(id_, "ABC", "stock", "1h", "failed", error_message="said by its item alone")
    history.log_feature_computation_failure("XYZ", "1h", "again")
    sql = """
    select symbol, error_message, execution_id, retry_count, resolved from feature_computation_failures
    order by symbol, failed_at
    """
    expected = [
        ("ABC", "said by its item alone", id_, 0, 0),
        ("XYZ", "Division by zero in volatility", id_, 0, 0),
        ("XYZ", "again", None, 1, 0),
    ]
    assert [tuple(row.values()) for row in read(sql)] == expected
    history.update_feature_freshness("XYZ", "1h", now() - timedelta(hours=1), 9)  # an earlier one resolves nothing
    assert [row["resolved"] for row in read(sql)] == [0, 0, 0]
    history.update_feature_freshness("XYZ", "1h", now(), 9)
    assert [row["resolved"] for row in read(sql)] == [0, 1, 1]
    history.log_feature_computation_failure("XYZ", "1h", "and again")
    assert [row["resolved"] for row in read(sql)] == [0, 1, 1, 0]


def test_freshness_is_worked_out_when_it_is_read(read, history):
    for timeframe, age, points in (("1m", 10, 5), ("2m", 3_601, 5), ("3m", 86_401, 5), ("4m", 10, 0), ("5m", -99, 5)):
        history.update_feature_freshness("AAPL", timeframe, now() - timedelta(seconds=age), points)
    history.monitor([("IBM", "1d"), ("GONE", "1d")])
    history.release([("GONE", "1d")])
    rows = read("select * from feature_freshness order by symbol, timeframe")
    assert [row["status"] for row in rows] == ["fresh", "aging", "stale", "missing", "fresh", "missing"]
    ages = [row["staleness_seconds"] for row in rows]
    assert [age is not None and age // 10 for age in ages] == [1, 360, 8640, 1, 0, False]
    assert rows[5]["last_computed_at"] is None
    assert all(abs(row["updated_at"] - now()) < timedelta(seconds=30) for row in rows)


def test_removing_a_history_does_not_make_features_disappear(read, history, ledger):
    from execlog.core.filter import Filter

    id_ = history.create_scheduler_execution_log(now(), 1)
    history.log_symbol_computation_status(id_, "AAPL", "stock", "1d", "completed", 100, 100, 9)
    ledger.flush()
    assert ledger.store.delete(Filter(kind="pipeline")) == 1
    assert read("select status, data_point_count from feature_freshness") == [
        {"status": "fresh", "data_point_count": 100}
    ]
    assert read("select * from scheduler_execution_log") == read("select * from symbol_computation_status") == []
