"""Recording queries that something else ran."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
import textwrap
from datetime import UTC, datetime
from urllib.parse import quote

import pytest

import execlog
from every_store import EVERY_STORE
from execlog.core.errors import InvalidError
from execlog.core.filter import Filter
from execlog.core.model import Status
from execlog.kinds.queries import ExecutionTracker
from execlog.ledger import Ledger


@pytest.fixture(params=EVERY_STORE)
def store_url(request, new_store_url):
    return new_store_url(request.param)


def read(ledger, execution_id):
    assert ledger.flush()
    return ledger.store.get(execution_id, kind="query")


def test_every_column_is_kept(ledger):
    started = datetime(2025, 11, 24, 10, 30, tzinfo=UTC)
    ExecutionTracker(ledger).log_execution_background(
        execution_id="exec-abc-123",
        query="SELECT * FROM users",
        database_type="starburst",
        status="success",
        user_id="user123",
        conversation_id="talk-1",
        query_complexity="simple",
        execution_time=0.234,
        total_rows=2**40,
        returned_rows=100,
        page=2,
        page_size=50,
        started_at=started,
        connection_params={"connection": "lake", "host": "lake.example"},
        request_metadata={"ip": "10.0.0.1"},
        response_metadata={"bytes": 12},
    )
    kept = read(ledger, "exec-abc-123")
    assert (kept.status, kept.actor, kept.engine, kept.rows) == (Status.SUCCEEDED, "user123", "starburst", 2**40)
    assert (kept.input, kept.duration, kept.subject) == ("SELECT * FROM users", 0.234, "lake")
    assert kept.started_at == int(started.timestamp() * 1e6)
    assert kept.ended_at == kept.started_at + 234_000
    assert kept.metadata == {
        "conversation_id": "talk-1",
        "query_complexity": "simple",
        "returned_rows": 100,
        "page": 2,
        "page_size": 50,
        "connection_params": {"connection": "lake", "host": "lake.example"},
        "request_metadata": {"ip": "10.0.0.1"},
        "response_metadata": {"bytes": 12},
    }


def test_awaiting_returns_when_it_can_be_read(ledger):
    execution_id = asyncio.run(ExecutionTracker(ledger).log_execution(query="select 1", database_type="kdb"))
    assert ledger.store.get(execution_id, kind="query").input == "select 1"


def test_the_class_records_into_the_default_ledger(tmp_path):
    before, execlog._default = execlog._default, None
    try:
        ledger = execlog.configure(Ledger.open("memory://", home=tmp_path))
        background = ExecutionTracker.log_execution_background(query="select 1", database_type="kdb")
        awaited = asyncio.run(ExecutionTracker.log_execution(query="select 2", database_type="kdb"))
        assert ledger.flush()
        assert {found.id for found in ledger.store.find(Filter(kind="query")).entries} == {background, awaited}
        ledger.close()
    finally:
        execlog._default = before


@pytest.mark.parametrize(
    ("columns", "status"),
    [
        ({}, Status.SUCCEEDED),
        ({"status": "success"}, Status.SUCCEEDED),
        ({"status": "failed"}, Status.FAILED),
        ({"status": "failed", "error_type": "Cancelled"}, Status.CANCELLED),
        ({"status": "timeout"}, Status.TIMED_OUT),
        ({"status": "error"}, Status.CRASHED),
        ({"status": "running"}, Status.RUNNING),
        ({"error": TimeoutError("x")}, Status.TIMED_OUT),
        ({"error": ConnectionResetError("gone")}, Status.CRASHED),
        ({"error": ValueError("the column timeout does not exist")}, Status.FAILED),
        ({"error_message": "Query timed out after 30s"}, Status.TIMED_OUT),
        ({"error_type": "SyntaxError", "error_message": "near 'timed out'"}, Status.FAILED),
        ({"status": "failed", "error_message": "Query timed out after 30s"}, Status.FAILED),
    ],
)
def test_what_was_said_decides_the_status(ledger, columns, status):
    tracker = ExecutionTracker(ledger)
    execution_id = tracker.log_execution_background(query="q", database_type="kdb", **columns)
    assert read(ledger, execution_id).status is status


@pytest.mark.parametrize(
    "columns",
    [
        {"status": "splendid"},
        {"execution_id": "../etc"},
        {"execution_id": "x" * 101},
        {"started_at": "yesterday-ish"},
        {"database_type": ""},
    ],
)
def test_a_record_that_cannot_be_is_refused_and_the_background_call_does_not_raise(ledger, columns):
    said = {"query": "q", "database_type": "kdb"} | columns
    with pytest.raises(InvalidError):
        asyncio.run(ExecutionTracker(ledger).log_execution(**said))
    assert ExecutionTracker(ledger).log_execution_background(**said) is None
    assert ledger.stats().refused == {"invalid": 1}


def test_columns_that_are_missing_do_not_raise_in_the_background(ledger):
    assert ExecutionTracker(ledger).log_execution_background(query="q") is None
    assert ledger.stats().refused == {"invalid": 1}


def test_values_that_cannot_be_stored_do_not_fail_the_record(ledger):
    execution_id = ExecutionTracker(ledger).log_execution_background(
        query="select '\0\ud800'",
        database_type="kdb",
        execution_time=float("nan"),
        total_rows=2**70,
        returned_rows=-1,
        page_size="many",
        request_metadata={"huge": 2**80, "deep": [[[object()]]]},
    )
    kept = read(ledger, execution_id)
    assert kept.status is Status.SUCCEEDED
    assert (kept.rows, kept.duration) == (None, None)
    assert "\0" not in kept.input
    said = ledger.stats().mended
    assert {why: said[why] for why in ("not_finite", "out_of_range", "field")} == {
        "not_finite": 1, "out_of_range": 2, "field": 1,
    }  # fmt: skip


@pytest.mark.parametrize("seconds", [float("inf"), -1, "soon"])
def test_durations_that_cannot_be_are_counted(ledger, seconds):
    ExecutionTracker(ledger).log_execution_background(query="q", database_type="kdb", execution_time=seconds)
    assert sum(ledger.stats().mended.values()) == 1


@pytest.mark.parametrize(
    ("given", "kept"),
    [("a/b", "a\ufffdb"), ("..", "\ufffd"), (".", "\ufffd"), ("u" * 120, "u" * 100), ("ann@x.org", "ann@x.org")],
)
def test_a_user_is_one_whose_route_there_is(ledger, client, given, kept):
    execution_id = ExecutionTracker(ledger).log_execution_background(query="q", database_type="kdb", user_id=given)
    assert read(ledger, execution_id).actor == kept
    assert ledger.stats().mended.get("id", 0) == (given != kept)
    assert client.get(f"/api/v1/executions/{quote(kept, safe='')}").json()["count"] == 1


def test_secrets_are_taken_out(ledger):
    execution_id = ExecutionTracker(ledger).log_execution_background(
        query="create user x with password 'hunter2' -- password=hunter2",
        database_type="postgres",
        connection_params={"password": "hunter2", "dsn": "postgresql://me:hunter2@host/db"},
        error_message="cannot connect to postgresql://me:hunter2@host/db",
        status="error",
    )
    kept = read(ledger, execution_id)
    assert "hunter2" not in repr((kept.metadata, kept.error))
    assert "password=hunter2" not in kept.input


def test_saving_again_is_an_update(ledger):
    tracker = ExecutionTracker(ledger)
    said = {"conversation_id": "talk", "page": 2, "request_metadata": {"a": 1}}
    tracker.log_execution_background(execution_id="one", query="q", database_type="kdb", status="running", **said)
    tracker.log_execution_background(execution_id="one", query="q", database_type="kdb", status="success", total_rows=3)
    tracker.log_execution_background(execution_id="one", query="q", database_type="kdb", status="running")
    assert (read(ledger, "one").status, read(ledger, "one").rows) == (Status.SUCCEEDED, 3)
    assert read(ledger, "one").metadata == said
    assert ledger.store.count(Filter(kind="query")) == 1


def test_what_returned_survives_a_kill(tmp_path):
    script = textwrap.dedent("""
        import os, signal
        from execlog.kinds.queries import ExecutionTracker
        from execlog.ledger import Ledger
        ledger = Ledger.open("memory://", home=os.environ["HOME_FOLDER"])
        tracker = ExecutionTracker(ledger)
        ids = [tracker.log_execution_background(query=f"q{n}", database_type="kdb") for n in range(200)]
        print(ledger.root, len(set(ids)), flush=True)
        os.kill(os.getpid(), signal.SIGKILL)
    """)
    environment = os.environ | {"HOME_FOLDER": str(tmp_path), "EXECLOG_DRAIN": "server"}
    done = subprocess.run(
        [sys.executable, "-c", script], env=environment, capture_output=True, text=True, check=False, timeout=60
    )
    assert done.returncode == -signal.SIGKILL, done.stderr
    root, count = done.stdout.split()
    assert int(count) == 200
    from pathlib import Path

    from execlog.recorder.home import Home
    from execlog.store.memory import MemoryStore

    store = MemoryStore()
    assert Home(Path(root), lambda: 0).visit(store, 1000, own=None, everyone=False) >= 200
    assert store.count(Filter(kind="query")) == 200


@pytest.mark.parametrize(
    "metadata",
    [
        {"a": {"b": {"password": "hunter2"}}},
        {"a": ["token=hunter2"]},
        {"a": [{"b": ["x", {"api_key": "hunter2"}]}]},
        {"a": ("x", ["postgresql://me:hunter2@host/db"])},
        {"password": ["hunter2"]},
    ],
)
def test_secrets_deep_inside_are_taken_out(ledger, metadata):
    execution_id = ExecutionTracker(ledger).log_execution_background(
        query="q", database_type="kdb", request_metadata=metadata | {"harmless": [1, ["two", {"three": 3}]]}
    )
    kept = read(ledger, execution_id).metadata["request_metadata"]
    assert "hunter2" not in repr(kept)
    assert kept["harmless"] == [1, ["two", {"three": 3}]]
