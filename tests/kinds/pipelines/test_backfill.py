"""The backfill: every pair tried, failures counted and left, resumed after a kill, never failed by its recording."""

from __future__ import annotations

import logging
import os
import signal
import threading
from collections import Counter
from contextlib import closing
from pathlib import Path

import msgspec
import pytest

from execlog.core.errors import ConflictError, InvalidError, NotFoundError, StoreError
from execlog.core.model import Status
from execlog.kinds.pipelines import (
    Backfill,
    PipelineHistory,
    RowSource,
    SqliteWarehouse,
    progress_of,
)
from execlog.kinds.pipelines.bars import Bar
from execlog.ledger import Ledger
from execlog.recorder.run import current_run
from execlog.store.pairs import Pair, pairs_of

pytest.importorskip("polars")
STOCKS = Path(__file__).parents[3] / "src/execlog/kinds/jobs/data/stocks.csv"
SYMBOLS = ["MSFT", "AMZN", "IBM", "GOOG", "AAPL"]
DEADLINE = 30.0


class FlakySource:
    """Gives twenty bars a pair; `faults` says how often a pair fails first, and of what."""

    def __init__(self, **faults: list[BaseException]) -> None:
        self.faults = faults
        self.calls: Counter[str] = Counter()
        self._lock = threading.Lock()

    def __call__(self, symbol, timeframe, start, end):
        with self._lock:
            self.calls[f"{symbol}/{timeframe}"] += 1
            fault = self.faults[symbol].pop(0) if self.faults.get(symbol) else None
        if fault is not None:
            raise fault
        return [Bar(at * 86_400_000_000, 100.0 + (7 * at) % 13) for at in range(20)]


@pytest.fixture
def warehouse(tmp_path):
    with closing(SqliteWarehouse(tmp_path / "market.db")) as opened:
        yield opened


@pytest.fixture
def whole(ledger):
    """An execution as the store has it."""

    def get(id_: str):
        assert ledger.flush()
        return ledger.store.get(id_, kind="pipeline")

    return get


def test_real_prices_fail_where_the_data_really_ends(ledger, history, warehouse, whole):
    backfill = Backfill(ledger, RowSource.of_csv(STOCKS), warehouse, asset_class="stock", delay=0)
    early = backfill.run(SYMBOLS, ["1mo"], start="2000-01-01", end="2003-12-31")
    why = "no rows for GOOG from 2000-01-01 until 2003-12-31; its first row is 2004-08-01"
    assert early.failures == {"GOOG/1mo": why}
    assert (early.status, early.succeeded, early.rows, early.inserted) == (Status.PARTIAL, 4, 192, 192)
    (entry,) = history.get_execution_history()
    assert {name: entry[name] for name in ("total_symbols", "successful_symbols", "failed_symbols", "status")} == {
        "total_symbols": 5, "successful_symbols": 4, "failed_symbols": 1, "status": "completed"
    }  # fmt: skip
    assert (entry["total_records_processed"], entry["success_rate"]) == (192, 80.0)
    assert [one["error"] for one in history.get_scheduler_health()["recent_failures"]] == [why]
    failed = whole(early.execution_id).items[3]
    assert (failed.key, failed.status, failed.attempt, failed.error.message) == ("GOOG/1mo", Status.FAILED, 1, why)

    later = backfill.run(SYMBOLS, ["1mo"])
    assert (later.status, later.rows, later.inserted) == (Status.SUCCEEDED, 560, 368)
    health = history.get_scheduler_health()
    assert (health["status"], health["total_symbols_monitored"]) == ("healthy", 5)
    items = {item.key: item for item in whole(later.execution_id).items}
    assert items["GOOG/1mo"].data == {
        "timeframe": "1mo", "asset_class": "stock", "retry_count": 0, "records_inserted": 68,
        "features_computed": 560, "data_point_count": 68, "last_bar_at": "2010-03-01T00:00:00Z",
    }  # fmt: skip
    assert warehouse.sizes() == (560, later.values)
    assert len(warehouse.features(Pair("GOOG", "1mo"))["sma_12"]) == 57


def test_a_pair_is_tried_again_and_each_failure_counts(ledger, history, warehouse, whole):
    source = FlakySource(
        A=[TimeoutError("slow"), ConnectionError("gone")], B=[OSError("x"), OSError("y"), OSError("z")]
    )
    report = Backfill(ledger, source, warehouse, attempts=3, delay=0.001).run(["A", "B", "C"], ["1d"])
    assert source.calls == {"A/1d": 3, "B/1d": 3, "C/1d": 1}
    assert report.failures == {"B/1d": "z"}
    items = {item.key: item for item in whole(report.execution_id).items}
    assert [(items[key].attempt, items[key].data["retry_count"]) for key in ("A/1d", "B/1d", "C/1d")] == [
        (3, 2), (3, 2), (1, 0)
    ]  # fmt: skip
    failures = pairs_of(ledger.store).failures(since=0, limit=10)
    told = sorted((one.symbol, one.retry_count, one.error_message, one.resolved) for one in failures)
    assert told == [
        ("A", 0, "slow", True), ("A", 1, "gone", True), ("B", 0, "x", False), ("B", 1, "y", False), ("B", 2, "z", False)
    ]  # fmt: skip
    assert {one.execution_id for one in failures} == {report.execution_id}


def test_what_cannot_succeed_is_not_tried_again(ledger, warehouse):
    class Refused(Exception):  # noqa: N818 - its name is what is shown
        retry = False

    source = FlakySource(A=[Refused("no such key")])
    backfill = Backfill(ledger, source, warehouse, features=["volatility_50"], attempts=5, delay=9)
    report = backfill.run(["A", "B"], ["1d"])
    assert source.calls == {"A/1d": 1, "B/1d": 1}
    assert report.failures == {
        "A/1d": "no such key",
        "B/1d": "no feature could be computed: volatility_50 needs 51 closes, there are 20",
    }
    assert report.status is Status.FAILED


def test_when_all_fail_the_execution_says_why(ledger, history, warehouse):
    source = FlakySource(A=[OSError("no network")] * 3, B=[OSError("no network")] * 3)
    Backfill(ledger, source, warehouse, delay=0).run(["A", "B"], ["1d"])
    (entry,) = history.get_execution_history()
    assert (entry["status"], entry["error_message"]) == ("failed", "all 2 pairs failed; A/1d: no network")


def test_features_that_cannot_be_computed_are_named(ledger, warehouse, whole):
    report = Backfill(ledger, FlakySource(), warehouse, features=["sma_2", "rsi_40"]).run(["A"], ["1d"])
    (item,) = whole(report.execution_id).items
    assert item.data["missing"] == {"rsi_40": "needs 41 closes, there are 20"}
    assert (report.status, report.values) == (Status.SUCCEEDED, 19)


def test_fetching_alone_makes_nothing_fresh(ledger, history, warehouse):
    report = Backfill(ledger, FlakySource(), warehouse, features=()).run(["A"], ["1d"])
    assert (report.inserted, report.values) == (20, 0)
    summary = history.get_feature_staleness_report()["summary"]
    assert (summary["fresh_count"], summary["missing_count"]) == (0, 0)


def test_fetching_alone_that_succeeds_in_the_end_is_healthy(ledger, history, warehouse):
    source = FlakySource(A=[OSError("slow")], B=[OSError("down"), OSError("down")])
    backfill = Backfill(ledger, source, warehouse, features=(), attempts=2, delay=0)
    assert backfill.run(["A", "B"], ["1d"]).failures == {"B/1d": "down"}
    assert ledger.flush()
    assert [one.symbol for one in pairs_of(ledger.store).failures(since=0, limit=10)] == ["B"]
    backfill.run(["B"], ["1d"], resume="last")
    assert ledger.flush()
    assert [one.resolved for one in pairs_of(ledger.store).failures(since=0, limit=10)] == [True]
    assert history.get_scheduler_health()["status"] == "healthy"


def test_symbols_over_several_timeframes(ledger, history, warehouse, whole):
    class OneBad(FlakySource):
        def __call__(self, symbol, timeframe, start, end):
            if (symbol, timeframe) == ("B", "1h"):
                raise ValueError("no hourly prices")
            return super().__call__(symbol, timeframe, start, end)

    report = Backfill(ledger, OneBad(), warehouse, attempts=1).run(["A", "B", "A"], ["1d", "1h"])
    (entry,) = history.get_execution_history()
    assert (entry["total_symbols"], entry["successful_symbols"], entry["failed_symbols"]) == (2, 1, 1)
    execution = whole(report.execution_id)
    assert (execution.total, execution.counts.total, execution.counts.failed) == (4, 4, 1)
    assert execution.params["symbols"] == ["A", "B"]


def test_at_most_so_many_at_once(ledger, warehouse):
    now, most, lock = 0, 0, threading.Lock()
    together = threading.Barrier(3, timeout=DEADLINE)

    def source(symbol, timeframe, start, end):
        nonlocal now, most
        with lock:
            now, most = now + 1, max(most, now + 1)
        together.wait()  # three are here at once, or this breaks
        with lock:
            now -= 1
        return [Bar(1, 1.0)]

    report = Backfill(ledger, source, warehouse, features=["drawdown"], limit=3).run(
        [f"S{n}" for n in range(9)], ["1d"]
    )
    assert (report.succeeded, most) == (9, 3)


def test_what_a_source_runs_is_nested(ledger, warehouse, whole):
    seen = []

    def source(symbol, timeframe, start, end):
        seen.append(current_run().id)
        return [Bar(1, 1.0)]

    report = Backfill(ledger, source, warehouse, features=["drawdown"]).run(["A"], ["1d"])
    assert seen == [report.execution_id]


def test_progress_comes_with_an_eta(ledger, warehouse, whole):
    told = []
    backfill = Backfill(
        ledger, FlakySource(B=[ValueError("x")]), warehouse, attempts=1, limit=1, on_progress=told.append
    )
    report = backfill.run(["A", "B", "C", "D"], ["1d"])
    assert [(one.done, one.succeeded, one.failed, one.total) for one in told] == [
        (1, 1, 0, 4), (2, 1, 1, 4), (3, 2, 1, 4), (4, 3, 1, 4)
    ]  # fmt: skip
    for one in told[:-1]:
        assert one.eta == pytest.approx(one.elapsed / one.done * (4 - one.done))
    assert told[-1].eta == 0.0
    execution = whole(report.execution_id)
    final = progress_of(execution, now=0)
    assert (final.done, final.total, final.eta) == (4, 4, 0.0)
    assert final.elapsed == pytest.approx(execution.duration, abs=0.01)


def test_progress_that_is_watched_from_outside(ledger, whole):
    with ledger.run("slow", kind="pipeline", total=10) as run:
        for number in range(4):
            run.succeed_item(f"S{number}/1d")
        execution = whole(run.id)
        seen = progress_of(execution, now=execution.started_at + 8_000_000)
        assert (seen.done, seen.total, seen.elapsed, seen.eta) == (4, 10, 8.0, 12.0)
        assert progress_of(msgspec.structs.replace(execution, counts=type(execution.counts)()), now=0).eta is None


def test_a_callback_that_fails_changes_nothing(ledger, warehouse, caplog):
    caplog.set_level(logging.CRITICAL, "execlog")
    report = Backfill(ledger, FlakySource(), warehouse, on_progress=lambda _: 1 / 0).run(["A"], ["1d"])
    assert report.succeeded == 1


def test_symbols_are_counted_as_symbols_while_it_runs_and_after_it_was_stopped(ledger, history, warehouse):
    stop, seen = threading.Event(), []

    def look(progress):
        (entry,) = history.get_execution_history()
        seen.append(tuple(entry[name] for name in ("successful_symbols", "failed_symbols", "total_records_processed")))
        if progress.done == 5:
            stop.set()

    source = FlakySource(B=[OSError("x")])
    backfill = Backfill(ledger, source, warehouse, limit=1, attempts=1, on_progress=look)
    backfill.run(["A", "B", "C", "D"], ["1d", "1h"], stop=stop)
    assert seen == [(0, 0, 20), (1, 0, 40), (1, 1, 40), (1, 1, 60), (1, 1, 80)]
    (entry,) = history.get_execution_history()
    assert (entry["status"], entry["total_symbols"], entry["successful_symbols"], entry["failed_symbols"]) == (
        "failed", 4, 1, 1
    )  # fmt: skip
    assert (entry["success_rate"], entry["total_records_processed"]) == (25.0, 80)


def test_stopping_leaves_the_rest_for_later(ledger, history, warehouse, whole):
    stop = threading.Event()
    source = FlakySource()
    backfill = Backfill(ledger, source, warehouse, limit=1, on_progress=lambda seen: seen.done == 2 and stop.set())
    report = backfill.run(["A", "B", "C", "D"], ["1d"], stop=stop)
    assert (report.status, report.succeeded) == (Status.CANCELLED, 2)
    execution = whole(report.execution_id)
    assert (execution.status, execution.error.message) == (Status.CANCELLED, "stopped after 2 of 4 pairs")

    rest = backfill.run(["A", "B", "C", "D"], ["1d"], resume="last")
    assert (rest.before, rest.succeeded, rest.status) == (2, 2, Status.SUCCEEDED)
    assert set(source.calls.values()) == {1}
    resumed = whole(rest.execution_id)
    assert (resumed.retry_of, resumed.root_id, resumed.total) == (report.execution_id, report.execution_id, 2)
    assert (progress_of(resumed, now=0).done, progress_of(resumed, now=0).total) == (4, 4)

    assert backfill.run(["A", "B", "C", "D"], ["1d"], resume="last").before == 0  # that one was complete: a new one


def test_ctrl_c_ends_it_after_the_pairs_under_way(ledger, history, warehouse, whole):
    symbols, stop, calls = [f"S{number:02}" for number in range(40)], threading.Event(), []

    def source(symbol, *_):
        calls.append(symbol)
        if len(calls) == 3:
            os.kill(os.getpid(), signal.SIGINT)
        if len(calls) >= 3:
            assert stop.wait(DEADLINE)
        return [Bar(at * 86_400_000_000, 100.0 + at) for at in range(20)]

    with pytest.raises(KeyboardInterrupt):
        Backfill(ledger, source, warehouse, limit=2, delay=0).run(symbols, ["1d"], stop=stop)
    assert len(calls) <= 4
    (entry,) = history.get_execution_history()
    execution = whole(entry["execution_id"])
    assert execution.status is Status.CANCELLED
    assert {item.key for item in execution.items} == {f"{symbol}/1d" for symbol in calls}
    assert {item.status for item in execution.items} <= {Status.SUCCEEDED, Status.CANCELLED}  # polars may be at one


def test_resuming_what_had_failures_does_only_those(ledger, warehouse):
    source = FlakySource(B=[OSError("x")], D=[OSError("x"), OSError("y")])
    backfill = Backfill(ledger, source, warehouse, attempts=1)
    first = backfill.run(["A", "B", "C", "D"], ["1d"])
    assert sorted(first.failures) == ["B/1d", "D/1d"]
    second = backfill.run(["A", "B", "C", "D"], ["1d"], resume=first.execution_id)
    assert (second.before, second.succeeded, sorted(second.failures)) == (2, 1, ["D/1d"])
    third = backfill.run(["A", "B", "C", "D"], ["1d"], resume=second.execution_id)
    assert (third.before, third.succeeded, third.failures) == (3, 1, {})
    assert source.calls == {"A/1d": 1, "B/1d": 2, "C/1d": 1, "D/1d": 3}


def test_only_the_same_plan_can_be_resumed(ledger, warehouse):
    backfill = Backfill(ledger, FlakySource(B=[OSError("x")]), warehouse, attempts=1)
    first = backfill.run(["A", "B"], ["1d"])
    with pytest.raises(ConflictError, match="another plan"):
        backfill.run(["A", "B"], ["1d"], start="2020-01-01", resume=first.execution_id)
    assert backfill.run(["A"], ["1d"], resume="last").before == 0
    with pytest.raises(NotFoundError):
        backfill.run(["A"], ["1d"], resume="no such one")
    with ledger.run("backfill", kind="pipeline"), pytest.raises(ConflictError, match="still running"):
        backfill.run(["A"], ["1d"], resume="last")


@pytest.mark.parametrize(
    "wrong",
    [
        {"symbols": [""]},
        {"timeframes": ["1/d"]},
        {"timeframes": [""]},
        {"start": "2020-01-02", "end": "2020-01-01"},
    ],
)
def test_a_plan_that_cannot_be_is_refused(ledger, warehouse, wrong):
    with pytest.raises(InvalidError):
        Backfill(ledger, FlakySource(), warehouse).run(**{"symbols": ["A"], "timeframes": ["1d"]} | wrong)


def test_settings_that_cannot_be_are_refused(ledger, warehouse):
    for wrong in ({"limit": 0}, {"attempts": 0}, {"features": ["magic"]}):
        with pytest.raises(InvalidError):
            Backfill(ledger, FlakySource(), warehouse, **wrong)


def test_nothing_to_do_is_done(ledger, history, warehouse):
    report = Backfill(ledger, FlakySource(), warehouse).run([], ["1d"])
    assert (report.status, report.succeeded) == (Status.SUCCEEDED, 0)
    assert history.get_execution_history()[0]["success_rate"] == 0.0


def test_a_warehouse_that_fails_fails_the_pair(ledger, warehouse):
    class Full(SqliteWarehouse):
        def insert(self, pair, bars):
            if pair.symbol == "A":
                raise StoreError("database or disk is full", retry=False)
            return super().insert(pair, bars)

    with closing(Full(warehouse.path)) as full:
        report = Backfill(ledger, FlakySource(), full, delay=0).run(["A", "B"], ["1d"])
    assert (report.failures, report.succeeded) == ({"A/1d": "database or disk is full"}, 1)


def test_it_goes_on_with_the_store_down_and_nothing_is_lost(tmp_path, warehouse, caplog):
    caplog.set_level(logging.ERROR, "execlog")
    place = tmp_path / "db"
    place.mkdir()  # a folder where the database should be
    with Ledger.open(f"sqlite:///{place}", home=tmp_path / "home") as ledger:
        source = FlakySource(B=[OSError("x")] * 3)
        report = Backfill(ledger, source, warehouse, delay=0).run(["A", "B"], ["1d"])
        assert (report.succeeded, report.failures) == (1, {"B/1d": "x"})
        place.rmdir()
        assert ledger.flush(DEADLINE)
        (entry,) = PipelineHistory(ledger).get_execution_history()
        assert (entry["execution_id"], entry["successful_symbols"], entry["failed_symbols"]) == (
            report.execution_id,
            1,
            1,
        )
        assert len(pairs_of(ledger.store).failures(since=0, limit=10)) == 3


def test_it_goes_on_when_nothing_can_be_recorded_at_all(tmp_path, warehouse, caplog):
    caplog.set_level(logging.CRITICAL, "execlog")
    (tmp_path / "journal").write_text("in the way")
    ledger = Ledger.open("memory://", home=tmp_path)
    report = Backfill(ledger, FlakySource(B=[OSError("x")]), warehouse, attempts=1).run(["A", "B"], ["1d"])
    assert (report.succeeded, report.failures) == (1, {"B/1d": "x"})
    assert warehouse.sizes()[0] == 20
    ledger.close(timeout=0.1)
