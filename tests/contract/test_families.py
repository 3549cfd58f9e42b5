"""What the families do by themselves, walked on every store: save, judge health and freshness, track queries."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

import execlog
from contract.golden import CONTRACT
from execlog.core.clock import SystemClock, micros
from execlog.core.model import Event, Status
from execlog.kinds.pipelines import PipelineHistory
from execlog.kinds.queries import ExecutionTracker
from execlog.kinds.workflows import ExecutionEngine, ExecutionHistoryService, Flow

FRESH, AGING = (CONTRACT["freshness"][band] for band in ("fresh", "aging"))
HEALTHY, DEGRADED = CONTRACT["health"]["words"]
COLUMNS: dict[str, Any] = {
    "user_id": "ann", "conversation_id": "talk", "query": "select 1", "database_type": "kdb",
    "query_complexity": "simple", "status": "failed", "execution_time": 0.5, "total_rows": 2**40, "returned_rows": 7,
    "page": 3, "page_size": 10, "error_message": "no such table", "error_type": "OperationalError",
    "started_at": datetime(2025, 11, 24, 12, 0, 0, tzinfo=UTC),
    "completed_at": datetime(2025, 11, 24, 12, 0, 0, 500_000, tzinfo=UTC),
    "connection_params": {"connection": "lake"}, "request_metadata": {"a": [1, None]},
    "response_metadata": {"bytes": 7},
}  # fmt: skip
"""A value for each keyword of the tracker's; the store gives the number `id`."""


class Standing(SystemClock):
    """A clock that always shows one time."""

    def __init__(self, at: int) -> None:
        self.at = at

    def now(self) -> int:
        return self.at


@pytest.mark.parametrize("in_background", [False, True], ids=["awaited", "in the background"])
def test_the_tracker_takes_every_column_as_a_keyword(ledger, client, monkeypatch, in_background):
    monkeypatch.setattr(execlog, "default_ledger", lambda: ledger)
    columns = COLUMNS | {"execution_id": "tracked"}
    assert {"id", *columns} == set(CONTRACT["sql"]["query_executions"])
    if in_background:
        ExecutionTracker.log_execution_background(**columns)
        assert ledger.flush()
    else:
        asyncio.run(ExecutionTracker.log_execution(**columns))
    (shown,) = client.get("/api/v1/executions/ann").json()["executions"]
    for name, value in columns.items():
        if isinstance(value, datetime):
            assert datetime.fromisoformat(shown[name]) == value, name
            assert shown[name].endswith("Z")
        else:
            assert shown[name] == value, name


def test_the_engine_saves_on_start_on_success_and_on_failure_unless_it_is_told_not_to(ledger, client):
    path, engine, seen = "/api/projects/shop/executions", ExecutionEngine(history=ledger), []

    def look() -> str:
        assert ledger.flush()
        seen.append(client.get(f"{path}/good").json()["status"])
        return "seen"

    def fail() -> None:
        raise ValueError("no such price")

    for id_, function in [("good", look), ("bad", fail)]:
        flow = Flow("saved")
        flow.python("step", function)
        engine.run(flow, project_id="shop", execution_id=id_)
        ExecutionEngine(history=ExecutionHistoryService(ledger)).run(
            flow, project_id="shop", execution_id=f"unsaved-{id_}", save_history=False
        )
    assert ledger.flush()
    good, bad = (client.get(f"{path}/{id_}").json() for id_ in ("good", "bad"))
    assert seen[0] == "running"
    (done,), (failed,) = good["steps"], bad["steps"]
    assert (good["status"], done["status"], done["output"]) == ("completed", "completed", "seen")
    assert (bad["status"], failed["status"]) == ("failed", "failed")
    assert all("no such price" in error for error in (bad["error"], failed["error"]))
    assert client.get(path).json()["total"] == 2


def test_freshness_is_judged_to_the_microsecond_when_it_is_read(ledger, client):
    now, history = datetime.now(UTC), PipelineHistory(ledger)
    ages = {
        "fresh": [FRESH - 1e-6, 0, -3600], "aging": [FRESH, AGING - 1e-6], "stale": [AGING, AGING * 400],
    }  # fmt: skip
    for band, seconds in ages.items():
        for number, age in enumerate(seconds):
            history.update_feature_freshness(f"{band}{number}", "1d", now - timedelta(seconds=age), 1)
    history.update_feature_freshness("missing0", "1d", now, 0)
    history.monitor([("missing1", "1d")])
    assert ledger.flush()
    ledger.clock = Standing(micros(now))
    report = client.get("/api/v1/admin/features/staleness").json()
    shown = {band: {one["symbol"]: one for one in entries} for band, entries in report["by_status"].items()}
    for band, seconds in ages.items():
        assert set(shown[band]) == {f"{band}{number}" for number in range(len(seconds))}
        for number, age in enumerate(seconds):
            assert int(shown[band][f"{band}{number}"]["staleness_seconds"]) == max(int(age), 0), (band, age)
    assert set(shown["missing"]) == {"missing0", "missing1"}
    assert {one["status"] for one in shown["missing"].values()} == {"missing"}
    assert report["summary"] == {
        "fresh_count": 3, "aging_count": 2, "stale_count": 2, "missing_count": 2, "total_monitored": 9,
    }  # fmt: skip
    ledger.clock = Standing(micros(now) + AGING * 1_000_000)
    later = client.get("/api/v1/admin/features/staleness").json()["summary"]
    assert (later["fresh_count"], later["aging_count"], later["stale_count"]) == (0, 1, 6)


def test_health_is_degraded_for_each_reason_and_healthy_again_without_it(ledger, client):
    history, now = PipelineHistory(ledger), datetime.now(UTC)
    day = timedelta(hours=CONTRACT["health"]["failure_hours"])

    def health() -> str:
        assert ledger.flush()
        answer = client.get("/api/v1/admin/scheduler-health").json()
        assert bool(answer["reasons"]) == (answer["status"] == DEGRADED)
        return answer["status"]

    def run(number: int, status: Status) -> None:
        at = micros(now) + number
        ledger.append(Event(id=f"p{number}", kind="pipeline", at=at, status=status, started_at=at, ended_at=at + 1))

    assert health() == HEALTHY
    for number, status in enumerate((Status.FAILED, Status.CRASHED)):
        run(2 * number, status)
        assert health() == DEGRADED, status
        run(2 * number + 1, Status.SUCCEEDED)
        assert health() == HEALTHY, status
    history.monitor([("AAPL", "1d")])
    assert health() == DEGRADED, "a pair without data"
    history.update_feature_freshness("AAPL", "1d", now - 2 * day, 10)
    assert health() == DEGRADED, "a stale pair"
    history.update_feature_freshness("AAPL", "1d", now - timedelta(hours=2), 10)
    assert health() == HEALTHY, "a pair that is aging"
    history.log_feature_computation_failure("AAPL", "1d", "no rows", failed_at=now - day - timedelta(minutes=1))
    assert health() == HEALTHY, "an old failure"
    history.log_feature_computation_failure("AAPL", "1d", "no rows", failed_at=now - timedelta(hours=1))
    assert health() == DEGRADED, "a failure of today"
    history.update_feature_freshness("AAPL", "1d", now, 10)
    assert health() == HEALTHY, "a failure that was resolved"
