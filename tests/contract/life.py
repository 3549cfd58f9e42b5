"""Executions of each family, said through its own Python API: the same whenever and wherever they are said."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta

import msgspec

from execlog.core.clock import micros
from execlog.core.model import TERMINAL, Error, Event, Item, Status
from execlog.kinds.jobs import ExecutionHistoryRegistry, JobExecutionRecord
from execlog.kinds.pipelines import PipelineHistory
from execlog.kinds.queries import ExecutionTracker
from execlog.kinds.workflows import ExecutionHistoryService
from execlog.ledger import Ledger

BEGAN = datetime(2025, 11, 24, 23, 59, 58, 500_000, tzinfo=UTC)
"""Half past a second, shortly before midnight."""


def live(ledger: Ledger) -> None:
    """A little of everything, now."""
    now = datetime.now(UTC)
    _live_jobs(ledger, now)
    _live_workflows(ledger, now)
    pipelines = PipelineHistory(ledger)
    backfill = pipelines.create_scheduler_execution_log(now, total_symbols=2)
    pipelines.log_feature_computation_failure("GOOG", "1d", "no rows", backfill)
    pipelines.log_symbol_computation_status(backfill, "AAPL", "stock", "1d", "completed", 10, 10, 5, now, now, 0.5)
    for symbol, age in [("AAPL", timedelta()), ("IBM", timedelta(hours=2)), ("ORCL", timedelta(days=2))]:
        pipelines.update_feature_freshness(symbol, "1d", now - age, 10)
    pipelines.monitor([("MSFT", "1d")])
    assert pipelines.update_scheduler_execution_log(backfill, now, 1, 1, 10, "completed")
    columns = {"query": "select 1", "database_type": "kdb", "user_id": "ann", "execution_time": 0.5, "total_rows": 1}
    asyncio.run(ExecutionTracker(ledger).log_execution(execution_id="query-real", status="success", **columns))
    assert ledger.flush()


def _live_jobs(ledger: Ledger, now: datetime) -> None:
    record = JobExecutionRecord(
        execution_id="job-real",
        job_id="nightly",
        job_name="Nightly",
        start_time=now,
        end_time=now,
        status="partial_success",
        fetched_stocks=["AAPL"],
        failed_stocks=["GOOGL"],
        errors=["Failed to fetch GOOGL: Connection timeout after 30s"],
        total_stocks=2,
        duration_seconds=1.5,
        triggered_by="manual",
        metadata={"year": 2003},
    )
    registry = ExecutionHistoryRegistry(ledger)
    assert registry.save_execution(record)
    assert registry.save_execution(msgspec.structs.replace(record, execution_id="job-second"))


def _live_workflows(ledger: Ledger, now: datetime) -> None:
    times = {"startedAt": now.isoformat(), "completedAt": now.isoformat(), "duration": 500}
    spent = {"tokenUsage": {"input": 100, "output": 50, "total": 150}, "costUSD": 0.001}
    failed = {"status": "failed", "error": "no such price"}
    whole = {
        "workflow": {"name": "report", "steps": [{"id": "ask", "type": "llm", "optional": True}]},
        "input": {"symbol": "AAPL"},
        "output": {"words": ["up"]},
        "steps": [{"id": "ask"} | failed | times | spent],
        "logs": [{"level": "info", "message": "asked", "timestamp": now.isoformat()}],
    }
    service = ExecutionHistoryService(ledger)
    assert service.save_execution("shop", {"id": "workflow-failed"} | failed | times)
    assert service.save_execution("shop", {"id": "workflow-real", "status": "completed"} | times | spent | whole)


def live_variously(ledger: Ledger, now: datetime) -> None:
    """What the SQL names have columns for: every status, what was said and what was not."""
    _backfill(ledger, now)
    _query(ledger)
    for place, status in enumerate(Status):
        ended = {"ended_at": micros(BEGAN) + place, "duration": place / 8} if status in TERMINAL else {}
        error = Error("Refused", f"why\n'{place}'") if place % 2 else None
        times = {} if status is Status.QUEUED else {"started_at": micros(BEGAN) - place}
        items = tuple(
            Item(key=f"S{number}/1d", at=micros(BEGAN), status=said, error=error) for number, said in enumerate(Status)
        )
        common = {"at": micros(BEGAN) + place, "status": status, "error": error, **ended, **times}
        ledger.append(Event(id=f"pipeline-{status}", kind="pipeline", items=items, **common))
        ledger.append(Event(id=f"query-{status}", kind="query", actor="bob", rows=place, **common))
    assert ledger.flush()


def _backfill(ledger: Ledger, now: datetime) -> None:
    pipelines, ended = PipelineHistory(ledger), BEGAN + timedelta(seconds=2.25)
    id_ = pipelines.create_scheduler_execution_log(BEGAN, 4, execution_id="backfill")
    pipelines.create_scheduler_execution_log(BEGAN, 1, execution_id="going")
    for symbol, word in [("AAPL", "completed"), ("BTC/USD", "failed"), ("GOOG", "in_progress"), ("MSFT", "pending")]:
        error = "no rows: größe" if word == "failed" else None
        pipelines.log_symbol_computation_status(
            id_, symbol, "stock", "1h", word, 2**40, 90, 9, BEGAN, ended, 0.125, error, retry_count=2
        )
    pipelines.log_symbol_computation_status("going", "AAPL", status="completed", started_at=BEGAN, completed_at=ended)
    for number in range(3):
        failed_at = BEGAN + timedelta(minutes=number)
        pipelines.log_feature_computation_failure("GOOG", "1d", f"failure {number}", id_, failed_at=failed_at)
    pipelines.update_feature_freshness("GOOG", "1d", BEGAN + timedelta(hours=1), 10)
    pipelines.log_feature_computation_failure("GOOG", "1d", "again", failed_at=BEGAN + timedelta(hours=2))
    for symbol, age in [("AGING", timedelta(hours=5)), ("FRESH", timedelta(minutes=5)), ("AHEAD", timedelta(hours=-5))]:
        pipelines.update_feature_freshness(symbol, "1d", now - age, 7)
    pipelines.update_feature_freshness("EMPTY", "1d", BEGAN, 0)
    pipelines.monitor([("NEVER", "5m")])
    assert pipelines.update_scheduler_execution_log(id_, ended, 3, 1, 2**40, "failed", "the disk is full")


def _query(ledger: Ledger) -> None:
    columns = {
        "query": "select 'größe'",
        "database_type": "kdb",
        "user_id": "ann",
        "conversation_id": "talk",
        "query_complexity": "simple",
        "total_rows": 2**40,
        "returned_rows": 10,
        "page": 3,
        "page_size": 10,
        "connection_params": {"connection": "lake"},
        "request_metadata": {"a": [1, {"b": None}, "ü"]},
        "response_metadata": {"bytes": 7},
    }
    log = ExecutionTracker(ledger).log_execution_background
    for number, word in enumerate(["success", "failed", "timeout", "error", "success"]):
        said = {"error_type": "Kind", "error_message": "why"} if word != "success" else {}
        begun = BEGAN + timedelta(seconds=number)
        log(execution_id=f"told-{number}", status=word, started_at=begun, execution_time=number / 8, **columns, **said)
    log(execution_id="bare", query="", database_type="duckdb", started_at=BEGAN, completed_at=BEGAN)
