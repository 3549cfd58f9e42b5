"""The pipelines' routes, over the app."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

BASE = "/api/v1/admin"
NAMES = {
    "scheduler-health": {
        "status", "timestamp", "last_execution", "stale_features_count", "recent_failures", "total_symbols_monitored",
        "reasons",
    },
    "features/staleness": {"timestamp", "summary", "by_status"},
    "scheduler/execution-history": {"timestamp", "executions"},
}  # fmt: skip


def now() -> datetime:
    return datetime.now(UTC)


@pytest.fixture
def lived(history):
    """A history as a few days of backfills leave it."""
    for day in range(30, 0, -1):
        at = now() - timedelta(days=day)
        id_ = history.create_scheduler_execution_log(at, 50)
        history.update_scheduler_execution_log(id_, at + timedelta(seconds=930), 45, 5, 12_500, "completed")
    for number in range(8):
        for ages in (100, 4_000, 100_000):
            at = now() - timedelta(seconds=ages * (1 + number / 10))
            history.update_feature_freshness(f"S{number}", f"{ages}m", at, 250)
        history.monitor([(f"S{number}", "1w")])
    history.log_feature_computation_failure("XYZ", "1h", "Division by zero in volatility", id_)
    assert history.ledger.flush()
    return id_


@pytest.mark.parametrize("path", NAMES)
def test_an_empty_history_has_every_field(client, path):
    answer = client.get(f"{BASE}/{path}")
    assert answer.status_code == 200
    assert answer.json().keys() == NAMES[path]


def test_health_is_as_the_contract_says(client, lived):
    health = client.get(f"{BASE}/scheduler-health").json()
    assert health["status"] == "degraded"
    assert datetime.fromisoformat(health["timestamp"]) - now() < timedelta(seconds=5)
    assert health["timestamp"].endswith("Z")
    last = health["last_execution"]
    assert last.keys() == {
        "execution_id", "started_at", "completed_at", "status", "successful_symbols", "failed_symbols"
    }  # fmt: skip
    assert (last["execution_id"], last["status"]) == (lived, "completed")
    assert (last["successful_symbols"], last["failed_symbols"]) == (45, 5)
    assert health["stale_features_count"] == 8
    (failure,) = health["recent_failures"]
    assert failure.keys() == {"symbol", "timeframe", "error", "failed_at"}
    assert (failure["symbol"], failure["error"]) == ("XYZ", "Division by zero in volatility")
    assert health["total_symbols_monitored"] == 9
    assert health["reasons"] == [
        "8 features have not been computed for a day or longer",
        "9 monitored pairs have no data",
        "1 failed within 24 hours and not succeeded since",
    ]


def test_staleness_counts_all_and_lists_some(client, lived):
    report = client.get(f"{BASE}/features/staleness", params={"limit": 3}).json()
    assert report["summary"] == {
        "fresh_count": 8, "aging_count": 8, "stale_count": 8, "missing_count": 9, "total_monitored": 33
    }  # fmt: skip
    assert list(report["by_status"]) == ["fresh", "aging", "stale", "missing"]
    for band in ("fresh", "aging", "stale"):
        entries = report["by_status"][band]
        assert [entry["symbol"] for entry in entries] == ["S7", "S6", "S5"]  # the stalest first
        assert {entry["status"] for entry in entries} == {band}
        ages = [entry["staleness_seconds"] for entry in entries]
        assert ages == sorted(ages, reverse=True)
        assert entries[0].keys() >= {
            "symbol", "timeframe", "last_computed_at", "staleness_seconds", "status", "data_point_count"
        }  # fmt: skip
        assert entries[0]["data_point_count"] == 250
    missing = report["by_status"]["missing"]
    assert [(one["symbol"], one["last_computed_at"], one["staleness_seconds"]) for one in missing] == [
        ("S0", None, None), ("S1", None, None), ("S2", None, None)
    ]  # fmt: skip


def test_fifty_are_listed_unless_said(client, history):
    history.monitor([(f"S{number:03}", "1d") for number in range(60)])
    assert len(client.get(f"{BASE}/features/staleness").json()["by_status"]["missing"]) == 50


def test_the_history_is_newest_first(client, lived):
    entries = client.get(f"{BASE}/scheduler/execution-history").json()["executions"]
    assert len(entries) == 20
    assert entries[0]["execution_id"] == lived
    assert [entry["started_at"] for entry in entries] == sorted((e["started_at"] for e in entries), reverse=True)
    entry = entries[0]
    assert list(entry) == [
        "execution_id", "started_at", "completed_at", "duration_seconds", "total_symbols", "successful_symbols",
        "failed_symbols", "total_records_processed", "status", "error_message", "success_rate",
    ]  # fmt: skip
    assert (entry["duration_seconds"], entry["success_rate"], entry["error_message"]) == (930.0, 90.0, None)
    assert len(client.get(f"{BASE}/scheduler/execution-history?limit=1000").json()["executions"]) == 30


@pytest.mark.parametrize("path", ["features/staleness", "scheduler/execution-history"])
@pytest.mark.parametrize("limit", ["0", "-1", "1001", "many", "1.5", "99999999999999999999"])
def test_a_limit_out_of_range_is_422(client, path, limit):
    answer = client.get(f"{BASE}/{path}", params={"limit": limit})
    assert answer.status_code == 422
    assert answer.headers["content-type"] == "application/problem+json"


@pytest.mark.parametrize(
    ("ahead", "band", "seconds"),
    [
        (-5_000_000, "fresh", 0),
        (0, "fresh", 0),
        (3_599_999_999, "fresh", 3_599),
        (3_600_000_000, "aging", 3_600),
        (86_399_999_999, "aging", 86_399),
        (86_400_000_000, "stale", 86_400),
    ],
)
def test_the_limits_are_exact_to_the_microsecond(client, history, clock, ahead, band, seconds):
    at = datetime(2024, 11, 13, 19, 30, 17, 123_456, tzinfo=UTC)
    history.update_feature_freshness("AAPL", "1d", at, 250)
    history.ledger.flush()
    clock.at = round(at.timestamp() * 1e6) + ahead
    report = client.get(f"{BASE}/features/staleness").json()
    assert report["summary"][f"{band}_count"] == report["summary"]["total_monitored"] == 1
    (entry,) = report["by_status"][band]
    assert (entry["status"], entry["staleness_seconds"]) == (band, seconds)
    assert entry["last_computed_at"] == "2024-11-13T19:30:17.123456Z"


def test_routes_read_what_no_method_wrote(client, ledger):
    ledger.record("nightly", kind="pipeline", status="failed", error="the disk is full")
    ledger.flush()
    assert client.get(f"{BASE}/scheduler-health").json()["reasons"] == ["the last execution failed: the disk is full"]
    (entry,) = client.get(f"{BASE}/scheduler/execution-history").json()["executions"]
    assert (entry["status"], entry["error_message"], entry["success_rate"]) == ("failed", "the disk is full", 0.0)
