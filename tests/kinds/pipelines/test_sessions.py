"""Freshness that knows an exchange's sessions: New York in the week of 2024-11-29, a short day after Thanksgiving."""

from __future__ import annotations

import sys
from datetime import UTC, datetime

import pytest

from execlog.core.errors import InvalidError, MissingExtraError
from execlog.kinds.pipelines import sessions
from execlog.kinds.pipelines.sessions import missing_since
from execlog.runner import calendars

pytest.importorskip("exchange_calendars")


def at(text: str) -> int:
    return round(datetime.fromisoformat(text).replace(tzinfo=UTC).timestamp() * 1e6)


@pytest.mark.parametrize(
    ("computed", "timeframe", "missing"),
    [
        # In UTC the sessions are 14:30 to 21:00; Thursday 28 is closed, Friday 29 ends at 18:00.
        ("2024-11-22T21:00", "1d", "2024-11-25T21:00"),  # at Friday's close: nothing is missing until Monday's
        ("2024-11-22T20:59", "1d", "2024-11-22T21:00"),  # a minute before it: Friday's bar is
        ("2024-11-24T12:00", "1d", "2024-11-25T21:00"),
        ("2024-11-27T22:00", "1d", "2024-11-29T18:00"),
        ("2024-11-25T22:00", "2d", "2024-11-27T21:00"),
        ("2024-11-22T22:00", "1wk", "2024-11-29T18:00"),
        ("2024-11-22T20:00", "1w", "2024-11-22T21:00"),
        ("2024-11-05T00:00", "1mo", "2024-11-29T18:00"),
        ("2024-11-29T18:00", "1M", "2024-12-31T21:00"),
        ("2024-11-22T16:10", "1h", "2024-11-22T16:30"),
        ("2024-11-22T16:30", "1h", "2024-11-22T17:30"),
        ("2024-11-22T20:45", "1h", "2024-11-22T21:00"),  # the last bar of a session is cut by its close
        ("2024-11-22T21:00", "1h", "2024-11-25T15:30"),
        ("2024-11-23T12:00", "5m", "2024-11-25T14:35"),
        ("2024-11-25T14:30", "15min", "2024-11-25T14:45"),
    ],
)
def test_when_the_first_bar_ended_that_is_lacking(computed, timeframe, missing):
    assert missing_since(at(computed), None, timeframe, "XNYS") == at(missing)


@pytest.mark.parametrize(
    ("short", "long"), [("30s", "30 seconds"), ("5m", "5minutes"), ("1h", "1Hour"), ("1w", "1week"), ("1M", "1month")]
)
def test_a_timeframe_may_be_written_out(short, long):
    computed = at("2024-11-22T15:00")
    assert (
        missing_since(computed, computed, long, "XNYS") == missing_since(computed, computed, short, "XNYS") is not None
    )


@pytest.mark.parametrize("timeframe", ["daily", "", "0d", "1y", "d", "1 fortnight", "-1d"])
def test_a_timeframe_that_is_not_understood_has_no_verdict(timeframe):
    assert missing_since(at("2024-11-22T21:00"), None, timeframe, "XNYS") is None


def test_a_calendar_there_is_not_has_no_verdict():
    assert missing_since(at("2024-11-22T21:00"), None, "1d", "XXXX") is None


def test_a_market_that_never_closes_has_a_bar_every_hour():
    assert missing_since(at("2024-11-24T10:10"), None, "1h", "24/7") == at("2024-11-24T11:00")
    assert missing_since(at("2024-11-24T10:10"), None, "1d", "24/7") == at("2024-11-25T00:00")


@pytest.mark.parametrize(
    ("now", "status", "verdict", "lacking"),
    [
        ("2024-11-22T22:10", "fresh", "fresh", 0),
        ("2024-11-24T15:00", "aging", "fresh", 0),  # Sunday
        ("2024-11-25T20:59", "stale", "fresh", 0),
        ("2024-11-25T21:30", "stale", "fresh", 1_800),
        ("2024-11-26T10:00", "stale", "aging", 13 * 3_600),
        ("2024-11-26T21:00", "stale", "stale", 86_400),
    ],
)
def test_a_friday_close_is_not_stale_on_sunday(history, clock, now, status, verdict, lacking):
    history.monitor([("AAPL", "1d")], calendar="XNYS")
    computed = at("2024-11-22T22:00") if status != "aging" else at("2024-11-24T00:00")
    history.update_feature_freshness("AAPL", "1d", datetime.fromtimestamp(computed / 1e6, UTC), 250)
    history.ledger.flush()
    clock.at = at(now)
    report = history.get_feature_staleness_report()
    (entry,) = report["by_status"][status]
    assert (entry["status"], entry["calendar"], entry["calendar_status"]) == (status, "XNYS", verdict)
    assert entry["calendar_staleness_seconds"] == lacking
    assert report["summary"][f"{status}_count"] == 1  # the fixed labels stay what they are


@pytest.mark.parametrize(
    ("bar", "timeframe", "missing"),
    [
        ("2024-11-22T00:00", "1d", "2024-11-25T21:00"),  # Friday's bar as a day
        ("2024-11-22T05:00", "1d", "2024-11-25T21:00"),  # as New York's midnight
        ("2024-11-22T14:30", "1d", "2024-11-25T21:00"),  # as its open
        ("2024-11-27T00:00", "1d", "2024-11-29T18:00"),  # over the holiday, until the half day's close
        ("2024-11-25T00:00", "2d", "2024-11-29T18:00"),
        ("2024-11-18T00:00", "1wk", "2024-11-29T18:00"),
        ("2024-10-01T00:00", "1mo", "2024-11-29T18:00"),
        ("2024-11-22T20:30", "1h", "2024-11-25T15:30"),  # the day's last bar
        ("2024-11-22T19:30", "1h", "2024-11-22T21:00"),
        ("2024-11-29T17:55", "5m", "2024-12-02T14:35"),
        ("2024-11-01T19:55", "5m", "2024-11-04T14:35"),  # the clocks go back between
    ],
)
def test_a_feed_that_stopped_lacks_what_follows_its_last_bar(bar, timeframe, missing):
    computed = at("2025-01-02T12:00")  # again and again
    assert missing_since(computed, at(bar), timeframe, "XNYS") == at(missing)


def test_a_bar_that_had_not_ended_is_lacked_from_its_end_on():
    assert missing_since(at("2024-11-22T20:59"), at("2024-11-22T00:00"), "1d", "XNYS") == at("2024-11-22T21:00")
    assert missing_since(at("2024-11-22T15:10"), at("2024-11-22T14:30"), "1h", "XNYS") == at("2024-11-22T15:30")


def test_a_bar_that_had_not_begun_says_nothing():
    computed = at("2024-11-22T22:00")
    assert missing_since(computed, at("9000-01-01T00:00"), "1d", "XNYS") == at("2024-11-25T21:00")


@pytest.mark.parametrize(
    ("bar", "missing"),
    [
        ("2024-11-22T03:25", "2024-11-22T03:35"),
        ("2024-11-22T03:55", "2024-11-22T05:05"),  # the last bar before the break, 04:00 to 05:00
        ("2024-11-22T07:55", "2024-11-25T01:35"),
    ],
)
def test_nothing_is_lacked_while_a_market_has_its_break(bar, missing):
    assert missing_since(at("2024-11-26T12:00"), at(bar), "5m", "XHKG") == at(missing)


@pytest.mark.parametrize(
    ("now", "verdict", "lacking"),
    [
        ("2024-11-24T15:00", "fresh", 0),  # Sunday
        ("2024-11-25T21:30", "fresh", 1_800),
        ("2024-11-26T10:00", "aging", 13 * 3_600),
        ("2024-11-26T21:00", "stale", 86_400),
    ],
)
def test_a_dead_feed_is_seen_though_it_is_computed_again_and_again(history, clock, now, verdict, lacking):
    friday = datetime(2024, 11, 22, tzinfo=UTC)
    history.monitor([("AAPL", "1d"), ("IBM", "1d")], calendar="XNYS")
    clock.at = at(now)
    id_ = history.create_scheduler_execution_log(total_symbols=1)
    history.log_symbol_computation_status(
        id_, "AAPL", "stock", "1d", records_processed=250, features_computed=9, last_bar_at=friday
    )
    history.update_feature_freshness("IBM", "1d", data_point_count=250, last_bar_at=friday.date())
    fresh = history.get_feature_staleness_report()["by_status"]["fresh"]
    assert [one["last_bar_at"] for one in fresh] == ["2024-11-22T00:00:00Z"] * 2
    assert {(one["calendar_status"], one["calendar_staleness_seconds"]) for one in fresh} == {(verdict, lacking)}


def test_pairs_whose_feed_stopped_are_found_among_the_fresh_ones(history, client, clock):
    clock.at = at("2024-11-26T22:00")
    tuesday, friday = datetime(2024, 11, 26, tzinfo=UTC), datetime(2024, 11, 22, tzinfo=UTC)
    history.monitor([(f"S{number}", "1d") for number in range(9)], calendar="XNYS")
    for number in range(8):
        bar = friday if number in {5, 6, 7} else tuesday
        history.update_feature_freshness(f"S{number}", "1d", data_point_count=250, last_bar_at=bar)
    history.update_feature_freshness("BTC", "1d", data_point_count=250)
    history.ledger.flush()

    def listed(**asked):
        report = history.get_feature_staleness_report(**asked)
        answer = client.get("/api/v1/admin/features/staleness", params=asked).json()
        assert report["by_status"] == answer["by_status"]
        assert (report["summary"]["fresh_count"], report["summary"]["missing_count"]) == (9, 1)
        return [one["symbol"] for one in report["by_status"]["fresh"] + report["by_status"]["missing"]]

    assert listed(limit=2, calendar_status="stale") == ["S5", "S6"]
    assert listed(calendar_status="stale") == ["S5", "S6", "S7"]
    assert listed(calendar_status="fresh") == ["S0", "S1", "S2", "S3", "S4"]
    assert listed(calendar_status="missing") == ["S8"]
    assert len(listed()) == 10
    with pytest.raises(InvalidError, match="fresh, aging, stale, missing"):
        history.get_feature_staleness_report(calendar_status="old")


def test_a_pair_without_a_calendar_has_no_verdict(history):
    history.update_feature_freshness("BTC", "1h", datetime.now(UTC), 5)
    history.monitor([("ETH", "1h")], calendar="24/7")
    report = history.get_feature_staleness_report()
    assert report["by_status"]["fresh"][0]["calendar_status"] is None
    assert report["by_status"]["missing"][0]["calendar_status"] == "missing"


def test_a_calendar_that_is_none_is_refused(history):
    with pytest.raises(InvalidError):
        history.monitor([("AAPL", "1d")], calendar="XXXX")


def test_without_the_extra_there_is_no_verdict_and_no_error(history, monkeypatch):
    history.monitor([("AAPL", "1d")], calendar="XNYS")
    history.update_feature_freshness("AAPL", "1d", datetime.now(UTC), 5)
    monkeypatch.setitem(sys.modules, "exchange_calendars", None)
    calendars._instants.cache_clear()
    sessions._checked.cache_clear()
    (entry,) = history.get_feature_staleness_report()["by_status"]["fresh"]
    assert (entry["calendar"], entry["calendar_status"]) == ("XNYS", None)
    with pytest.raises(MissingExtraError):
        history.monitor([("IBM", "1d")], calendar="XNYS")
