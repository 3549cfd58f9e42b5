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
    assert missing_since(at(computed), timeframe, "XNYS") == at(missing)


@pytest.mark.parametrize(
    ("short", "long"), [("30s", "30 seconds"), ("5m", "5minutes"), ("1h", "1Hour"), ("1w", "1week"), ("1M", "1month")]
)
def test_a_timeframe_may_be_written_out(short, long):
    computed = at("2024-11-22T15:00")
    assert missing_since(computed, long, "XNYS") == missing_since(computed, short, "XNYS") is not None


@pytest.mark.parametrize("timeframe", ["daily", "", "0d", "1y", "d", "1 fortnight", "-1d"])
def test_a_timeframe_that_is_not_understood_has_no_verdict(timeframe):
    assert missing_since(at("2024-11-22T21:00"), timeframe, "XNYS") is None


def test_a_calendar_there_is_not_has_no_verdict():
    assert missing_since(at("2024-11-22T21:00"), "1d", "XXXX") is None


def test_a_market_that_never_closes_has_a_bar_every_hour():
    assert missing_since(at("2024-11-24T10:10"), "1h", "24/7") == at("2024-11-24T11:00")
    assert missing_since(at("2024-11-24T10:10"), "1d", "24/7") == at("2024-11-25T00:00")


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
