"""The source over the yfinance package, with a stand-in for what it downloads."""

import sys

import pytest

from execlog.core.errors import MissingExtraError
from execlog.kinds.jobs.prices import Price
from execlog.kinds.jobs.sources import FetchError, YfinanceConfig
from execlog.kinds.jobs.yfinance_source import YfinanceSource

YEAR = ("2000-01-01", "2000-12-31")


class Ticker:
    """Stands where yfinance.Ticker does, with a real data frame as yfinance gives it."""

    asked = {}  # noqa: RUF012 - looked at by the test

    def __init__(self, symbol):
        self.symbol = symbol

    def history(self, **asked):
        import pandas as pd

        Ticker.asked = asked
        if self.symbol == "SLOW":
            raise ConnectionError("Operation timed out after 30000 milliseconds")
        if self.symbol == "GONE":
            raise ValueError("possibly delisted")
        days = pd.DatetimeIndex(["2000-01-03", "2000-01-04"], tz="America/New_York", name="Date")
        rows = [] if self.symbol == "NONE" else [[1.0, 2.0, 0.5, 1.5, 1.4, 100], [float("nan")] * 6]
        columns = ["Open", "High", "Low", "Close", "Adj Close", "Volume"]
        return pd.DataFrame(rows, index=days[: len(rows)], columns=columns)


def test_yfinance_s_frames_are_read():
    source = YfinanceSource(YfinanceConfig(), Ticker)
    assert source.fetch("A", "2000-01-03", "2000-01-04") == [Price("2000-01-03", 1.5, 1.0, 2.0, 0.5, 100.0)]
    assert (Ticker.asked["start"], Ticker.asked["end"]) == ("2000-01-03", "2000-01-05")
    assert (Ticker.asked["auto_adjust"], Ticker.asked["timeout"]) == (False, 30.0)
    with pytest.raises(TimeoutError, match="Connection timeout after 30s"):
        source.fetch("SLOW", *YEAR)
    with pytest.raises(FetchError, match="ValueError: possibly delisted"):
        source.fetch("GONE", *YEAR)
    with pytest.raises(FetchError, match="no rows for NONE"):
        source.fetch("NONE", *YEAR)


def test_the_real_package_is_loaded_and_told_not_to_hide_errors():
    yfinance = pytest.importorskip("yfinance", reason="the extra yfinance is not installed")
    assert YfinanceSource(YfinanceConfig())._ticker is yfinance.Ticker
    assert yfinance.config.debug.hide_exceptions is False


def test_without_the_extra_the_error_names_it(monkeypatch):
    monkeypatch.setitem(sys.modules, "yfinance", None)
    with pytest.raises(MissingExtraError, match=r"execlog\[yfinance\]"):
        YfinanceSource(YfinanceConfig())
