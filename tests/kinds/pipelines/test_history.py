"""The pipelines' Python methods, as a backfill written against the contract calls them."""

from __future__ import annotations

import logging
import uuid
from datetime import UTC, datetime, timedelta

import pytest

from execlog.core.errors import InvalidError
from execlog.core.filter import Filter
from execlog.core.model import Status
from execlog.kinds.pipelines import PipelineHistory
from execlog.ledger import Ledger

DAY = 86_400


def now() -> datetime:
    return datetime.now(UTC)


def pages(entries: list[dict], *names: str) -> list[tuple]:
    return [tuple(entry[name] for name in names) for entry in entries]


def test_an_execution_is_as_the_contract_says(history):
    started = datetime(2024, 11, 13, 2, 0, tzinfo=UTC)
    execution_id = history.create_scheduler_execution_log(started_at=started, total_symbols=50, status="running")
    (running,) = history.get_execution_history(limit=20)
    assert (running["status"], running["completed_at"], running["success_rate"]) == ("running", None, 0.0)
    assert history.update_scheduler_execution_log(
        execution_id=execution_id,
        completed_at=datetime(2024, 11, 13, 2, 15, 30, tzinfo=UTC),
        successful_symbols=45,
        failed_symbols=5,
        total_records_processed=12_500,
        status="completed",
    )
    assert history.get_execution_history() == [
        {
            "execution_id": execution_id,
            "started_at": "2024-11-13T02:00:00Z",
            "completed_at": "2024-11-13T02:15:30Z",
            "duration_seconds": 930.0,
            "total_symbols": 50,
            "successful_symbols": 45,
            "failed_symbols": 5,
            "total_records_processed": 12_500,
            "status": "completed",
            "error_message": None,
            "success_rate": 90.0,
        }
    ]


def test_the_canonical_status_knows_what_the_word_hides(history):
    for failed, word in ((0, "completed"), (2, "completed"), (2, "failed")):
        id_ = history.create_scheduler_execution_log(now(), 2)
        history.update_scheduler_execution_log(id_, now(), 2 - failed, failed, 10, word, "no network")
    history.get_execution_history()
    found = history.ledger.store.find(Filter(kind="pipeline", sort="oldest")).entries
    assert [one.status for one in found] == [Status.SUCCEEDED, Status.PARTIAL, Status.FAILED]


def test_no_symbols_at_all_is_a_rate_of_zero(history):
    id_ = history.create_scheduler_execution_log(started_at=now(), total_symbols=0, status="running")
    history.update_scheduler_execution_log(id_, now(), 0, 0, 0, "completed", None)
    (entry,) = history.get_execution_history()
    assert (entry["total_symbols"], entry["success_rate"], entry["status"]) == (0, 0.0, "completed")


def test_a_naive_time_is_utc(history):
    id_ = history.create_scheduler_execution_log(datetime(2024, 11, 13, 2, 0), 1)  # noqa: DTZ001 - a naive time is the point
    history.update_scheduler_execution_log(id_, datetime(2024, 11, 13, 2, 0, 1, 500_000), 1, 0, 1)  # noqa: DTZ001 - a naive time is the point
    (entry,) = history.get_execution_history()
    assert (entry["started_at"], entry["completed_at"]) == ("2024-11-13T02:00:00Z", "2024-11-13T02:00:01.500000Z")
    assert entry["duration_seconds"] == 1.5


def test_another_zone_is_converted(history):
    zone = datetime.fromisoformat("2024-11-13T02:00:00+05:30")
    history.create_scheduler_execution_log(zone, 1)
    assert history.get_execution_history()[0]["started_at"] == "2024-11-12T20:30:00Z"


def test_progress_keeps_it_running(history):
    id_ = history.create_scheduler_execution_log(now(), 4)
    assert history.update_scheduler_execution_log(id_, None, 1, 1, 200, status="running")
    (entry,) = history.get_execution_history()
    assert pages([entry], "status", "successful_symbols", "failed_symbols", "completed_at") == [("running", 1, 1, None)]


@pytest.mark.parametrize("id_", ["no-such-execution", "../../etc/passwd", "a/b", "", "x" * 101, None, 7])
def test_an_id_that_is_none_changes_nothing(history, id_, caplog):
    caplog.set_level(logging.ERROR, "execlog")
    assert history.update_scheduler_execution_log(id_, now(), 1, 0, 1, "completed") is False
    assert history.log_symbol_computation_status(id_, "AAPL", "stock", "1d", "completed") is False
    assert history.get_execution_history() == []


def test_an_id_of_ones_own_is_kept(history):
    assert history.create_scheduler_execution_log(now(), 1, execution_id="nightly-7") == "nightly-7"
    bad = history.create_scheduler_execution_log(now(), 1, execution_id="../7")
    assert bad != "../7"
    assert {entry["execution_id"] for entry in history.get_execution_history()} == {"nightly-7", bad}


@pytest.mark.parametrize("id_", [uuid.uuid4(), 7])
def test_an_id_need_not_be_a_text(history, ledger, id_):
    begun = datetime(2024, 11, 13, 2, 0, tzinfo=UTC)
    assert history.create_scheduler_execution_log(begun, 1, execution_id=id_) == str(id_)
    other = PipelineHistory(ledger)  # as another process has it
    assert other.log_symbol_computation_status(id_, "AAPL", status="in_progress", records_processed=5)
    assert other.log_symbol_computation_status(id_, "AAPL", features_computed=3)
    assert other.update_scheduler_execution_log(id_, begun + timedelta(seconds=60), successful_symbols=1)
    (entry,) = history.get_execution_history()
    assert (entry["execution_id"], entry["status"], entry["duration_seconds"]) == (str(id_), "completed", 60.0)
    (item,) = ledger.store.get(str(id_)).items
    assert (item.key, item.rows, item.data["features_computed"]) == ("AAPL/1d", 5, 3)


def test_another_process_may_end_it(history, ledger):
    id_ = history.create_scheduler_execution_log(datetime(2024, 11, 13, 2, 0, tzinfo=UTC), 1)
    other = PipelineHistory(ledger)
    assert other.update_scheduler_execution_log(id_, datetime(2024, 11, 13, 2, 1, tzinfo=UTC), 1, 0, 5)
    assert history.get_execution_history()[0]["duration_seconds"] == 60.0


def test_a_long_error_is_kept_as_far_as_it_can_be(history):
    id_ = history.create_scheduler_execution_log(now(), 1)
    history.update_scheduler_execution_log(id_, now(), 0, 1, 0, "failed", "x" * 100_000)
    message = history.get_execution_history()[0]["error_message"]
    assert 9_000 < len(message) <= 10_000
    assert message.endswith("[100000 characters in all]")
    assert history.ledger.stats().mended["truncated"] >= 1


@pytest.mark.parametrize(
    "given",
    [
        {"completed_at": "2024-11-13T02:00:00Z"},
        {"completed_at": object()},
        {"successful_symbols": "many"},
        {"successful_symbols": float("nan")},
        {"total_records_processed": 10**40},
        {"total_records_processed": -5},
        {"status": "done and dusted"},
        {"status": None},
        {"error_message": ValueError("\ud800 \0")},
    ],
)
def test_whatever_comes_in_the_outcome_is_recorded(history, given):
    id_ = history.create_scheduler_execution_log(now(), 1)
    assert history.update_scheduler_execution_log(id_, **given)
    (entry,) = history.get_execution_history()
    assert entry["completed_at"] is not None
    assert entry["status"] in {"completed", "failed"}


def test_a_field_nobody_knows_does_not_cost_the_execution(history):
    id_ = history.create_scheduler_execution_log(now(), 3, colour="red", rows="many", params={"year": 2004}, engine=7)
    (entry,) = history.get_execution_history()
    assert (entry["execution_id"], entry["total_symbols"]) == (id_, 3)
    stored = history.ledger.store.get(id_, kind="pipeline", namespace="")
    assert (stored.name, stored.params, stored.engine) == ("backfill", {"year": 2004}, "7")
    assert stored.metadata == {"colour": "red", "rows": "many"}
    stats = history.ledger.stats()
    assert (stats.refused, stats.mended) == ({}, {"field": 3})


def test_a_failure_counts_until_a_later_computation_succeeds(history):
    id_ = history.create_scheduler_execution_log(now(), 1)
    history.log_feature_computation_failure("XYZ", "1h", "Division by zero in volatility", id_)
    history.log_feature_computation_failure("XYZ", "1h", "Division by zero in volatility", id_)
    health = history.get_scheduler_health()
    assert health["status"] == "degraded"
    assert [one["error"] for one in health["recent_failures"]] == ["Division by zero in volatility"] * 2
    assert health["recent_failures"][0].keys() == {"symbol", "timeframe", "error", "failed_at"}
    history.log_symbol_computation_status(
        id_, "XYZ", "stock", "1h", "completed", records_processed=60, features_computed=9
    )
    assert history.get_scheduler_health()["recent_failures"] == []
    history.log_feature_computation_failure("XYZ", "1h", "no route to host", id_)
    assert [one["error"] for one in history.get_scheduler_health()["recent_failures"]] == ["no route to host"]


def test_failures_are_counted_and_linked_until_a_success(history, ledger):
    ids = [history.log_feature_computation_failure("XYZ", "1h", f"attempt {number}") for number in range(3)]
    other = history.log_feature_computation_failure("XYZ", "1d", "another pair")
    ledger.flush()
    fourth = PipelineHistory(ledger).log_feature_computation_failure("XYZ", "1h", "another process's")
    history.update_feature_freshness("XYZ", "1h", now(), 100)
    ledger.flush()
    fresh = PipelineHistory(ledger).log_feature_computation_failure("XYZ", "1h", "after the success")
    ledger.flush()
    found = {one: ledger.store.get(one, kind="feature") for one in (*ids, other, fourth, fresh)}
    assert [found[one].metadata["retry_count"] for one in found] == [0, 1, 2, 0, 3, 0]
    assert [found[one].retry_of for one in found] == [None, ids[0], ids[1], None, ids[2], None]
    assert {found[one].root_id for one in (ids[1], ids[2], fourth)} == {ids[0]}


def test_a_retry_count_may_be_given(history, ledger):
    id_ = history.log_feature_computation_failure("XYZ", "1h", "boom", retry_count=7)
    ledger.flush()
    assert ledger.store.get(id_).metadata["retry_count"] == 7


def test_a_status_is_said_piece_by_piece(history, ledger):
    id_ = history.create_scheduler_execution_log(now(), 2)
    started = datetime(2024, 1, 1, tzinfo=UTC)
    history.log_symbol_computation_status(id_, "MSFT", "stock", "1d", "pending")
    history.log_symbol_computation_status(id_, "AAPL", "stock", "1d", "in_progress", started_at=started)
    history.log_symbol_computation_status(id_, "AAPL", timeframe="1d", status="in_progress", records_inserted=7)
    history.log_symbol_computation_status(
        id_,
        "AAPL",
        timeframe="1d",
        status="completed",
        records_processed=9,
        completed_at=started + timedelta(seconds=3),
    )
    ledger.flush()
    pending, done = ledger.store.get(id_).items
    assert (pending.key, pending.status, pending.started_at) == ("MSFT/1d", Status.QUEUED, None)
    assert (done.key, done.status, done.rows) == ("AAPL/1d", Status.SUCCEEDED, 9)
    assert done.ended_at - done.started_at == 3_000_000
    assert done.data == {"timeframe": "1d", "asset_class": "stock", "records_inserted": 7}


def test_computing_says_how_fresh_a_pair_is(history):
    id_ = history.create_scheduler_execution_log(now(), 1)
    said = {"status": "completed", "completed_at": now() - timedelta(hours=2), "records_processed": 250}
    history.log_symbol_computation_status(id_, "AAPL", "stock", "1d", features_computed=9, **said)
    history.log_symbol_computation_status(id_, "IBM", "stock", "1d", features_computed=0, **said)
    report = history.get_feature_staleness_report()
    assert pages(report["by_status"]["aging"], "symbol", "timeframe", "data_point_count") == [("AAPL", "1d", 250)]
    assert pages(report["by_status"]["missing"], "symbol", "last_computed_at") == [("IBM", None)]


@pytest.mark.parametrize(
    ("age", "points", "band"),
    [
        (0, 10, "fresh"),
        (3_590, 10, "fresh"),
        (3_600, 10, "aging"),
        (86_390, 10, "aging"),
        (86_400, 10, "stale"),
        (10, 0, "missing"),
        (90_000, 0, "missing"),
        (-86_400, 10, "fresh"),
    ],
)
def test_freshness_follows_from_the_time(history, age, points, band):
    at = now() - timedelta(seconds=age)
    assert history.update_feature_freshness("AAPL", "1d", at, points, status="fresh", staleness_seconds=0)
    report = history.get_feature_staleness_report()
    assert report["summary"] == {
        "fresh_count": 0, "aging_count": 0, "stale_count": 0, "missing_count": 0, "total_monitored": 1
    } | {f"{band}_count": 1}  # fmt: skip
    (entry,) = report["by_status"][band]
    assert entry["status"] == band
    assert max(age, 0) <= entry["staleness_seconds"] < max(age, 0) + 10
    assert entry["data_point_count"] == points


def test_freshness_may_be_corrected(history):
    history.update_feature_freshness("AAPL", "1d", now() + timedelta(days=999), 100)
    history.update_feature_freshness("AAPL", "1d", now() - timedelta(days=2), 50)
    (entry,) = history.get_feature_staleness_report()["by_status"]["stale"]
    assert entry["data_point_count"] == 50
    history.update_feature_freshness("AAPL", "1d", None, 0)
    assert pages(history.get_feature_staleness_report()["by_status"]["missing"], "last_computed_at") == [(None,)]


def test_what_is_monitored_is_registered(history):
    assert history.monitor([("AAPL", "1d"), ("AAPL", "1h"), ("BTC/USD", "1h"), ("AAPL", "1d")]) == 3
    assert history.monitor([("AAPL", "1d")]) == 0
    report = history.get_feature_staleness_report()
    assert report["summary"]["missing_count"] == report["summary"]["total_monitored"] == 3
    assert pages(report["by_status"]["missing"], "symbol", "timeframe", "staleness_seconds") == [
        ("AAPL", "1d", None),
        ("AAPL", "1h", None),
        ("BTC/USD", "1h", None),
    ]
    assert history.get_scheduler_health()["total_symbols_monitored"] == 2
    assert history.release([("AAPL", "1h"), ("IBM", "1d")]) == 1
    history.update_feature_freshness("AAPL", "1h", now(), 5)
    assert history.get_feature_staleness_report()["summary"]["total_monitored"] == 2
    assert history.monitor([("AAPL", "1h")]) == 1
    assert history.get_feature_staleness_report()["summary"]["fresh_count"] == 1


def test_a_pair_that_fails_is_monitored_too(history):
    history.log_feature_computation_failure("XYZ", "daily", "boom")
    assert pages(history.get_feature_staleness_report()["by_status"]["missing"], "symbol", "timeframe") == [
        ("XYZ", "daily")
    ]


def test_health_of_nothing_is_healthy(history):
    health = history.get_scheduler_health()
    assert (health["status"], health["last_execution"], health["reasons"]) == ("healthy", None, [])


@pytest.mark.parametrize("word", ["failed", "crashed"])
def test_a_failed_last_execution_degrades(history, word):
    id_ = history.create_scheduler_execution_log(now() - timedelta(hours=1), 3)
    history.update_scheduler_execution_log(id_, now(), 1, 2, 10, word, "the disk is full")
    health = history.get_scheduler_health()
    assert health["status"] == "degraded"
    assert health["reasons"] == [f"the last execution {word}: the disk is full"]
    assert health["last_execution"]["status"] == "failed"
    id_ = history.create_scheduler_execution_log(now(), 3)
    health = history.get_scheduler_health()
    assert (health["status"], health["last_execution"]["execution_id"]) == ("healthy", id_)


def test_stale_and_missing_features_degrade(history):
    history.update_feature_freshness("AAPL", "1d", now() - timedelta(days=3), 10)
    history.monitor([("IBM", "1d")])
    health = history.get_scheduler_health()
    assert (health["status"], health["stale_features_count"]) == ("degraded", 1)
    assert health["reasons"] == [
        "1 feature has not been computed for a day or longer",
        "1 monitored pair has no data",
    ]


def test_an_old_failure_does_not_degrade(history, clock):
    history.log_feature_computation_failure("XYZ", "1d", "boom")
    history.release([("XYZ", "1d")])
    assert history.get_scheduler_health()["status"] == "degraded"
    history.release([("XYZ", "1d")])
    assert history.get_scheduler_health()["reasons"] == ["1 failed within 24 hours and not succeeded since"]
    clock.ahead = DAY + 1
    assert history.get_scheduler_health()["status"] == "healthy"


def test_items_of_any_pipeline_count(history, ledger):
    with ledger.run("features", kind="pipeline") as run:
        for item in run.items(["AAPL/1d", "IBM/1d", "not a pair"]):
            with item:
                item.rows(40)
                if item.value == "IBM/1d":
                    raise ZeroDivisionError("volatility of nothing")
    health = history.get_scheduler_health()
    assert [(one["symbol"], one["error"]) for one in health["recent_failures"]] == [("IBM", "volatility of nothing")]
    (entry,) = history.get_execution_history()
    assert pages([entry], "total_symbols", "successful_symbols", "failed_symbols", "status") == [(3, 2, 1, "completed")]
    report = history.get_feature_staleness_report()
    assert pages(report["by_status"]["fresh"], "symbol", "data_point_count") == [("AAPL", 40)]
    assert pages(report["by_status"]["missing"], "symbol") == [("IBM",)]


@pytest.mark.parametrize("limit", [0, -1, 1_001])
def test_a_limit_out_of_range_is_refused(history, limit):
    with pytest.raises(InvalidError):
        history.get_execution_history(limit)
    with pytest.raises(InvalidError):
        history.get_feature_staleness_report(limit=limit)


def test_nothing_is_raised_when_nothing_can_be_recorded(tmp_path, caplog):
    """The journal's folder is a file, and the store's too: the backfill goes on."""
    caplog.set_level(logging.CRITICAL, "execlog")
    for name in ("journal", "store"):
        (tmp_path / name).write_text("in the way")
    ledger = Ledger.open(f"sqlite:///{tmp_path / 'store' / 'history.db'}", home=tmp_path)
    history = PipelineHistory(ledger)
    id_ = history.create_scheduler_execution_log(now(), 1)
    assert len(id_) == 36
    history.log_feature_computation_failure("AAPL", "1d", "boom", id_)
    history.log_symbol_computation_status(id_, "AAPL", "stock", "1d", "completed", 1, 1, 1)
    history.update_feature_freshness("AAPL", "1d", now(), 5)
    history.update_scheduler_execution_log(id_, now(), 1, 0, 1)
    assert sum(ledger.stats().refused.values()) >= 5
    ledger.close(timeout=0.1)
