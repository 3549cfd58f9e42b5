"""Rows of sources, and the warehouse they are kept in."""

from __future__ import annotations

import multiprocessing
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import dataclass
from datetime import UTC, date, datetime

import pytest

from execlog.core.errors import StoreError
from execlog.kinds.pipelines.bars import Bar, RowSource, SourceError, bars_of
from execlog.kinds.pipelines.warehouse import SqliteWarehouse
from execlog.recorder.fault import error_of
from execlog.store.pairs import Pair

DAY = 86_400_000_000
PAIR = Pair("BTC/USD", "1h")


@dataclass
class Price:
    """A row as other code has them."""

    date: str
    close: float
    volume: float | None = None


@pytest.mark.parametrize(
    ("row", "bar"),
    [
        ({"date": "1970-01-02", "close": 5}, Bar(DAY, 5.0)),
        ({"date": "Jan 2 1970", "price": "5.5"}, Bar(DAY, 5.5)),
        ({"date": "19700102", "close": 5.0, "price": 9.0}, Bar(DAY, 5.0)),
        ({"date": "1970-01-02T00:00:00+00:00", "close": 5}, Bar(DAY, 5.0)),
        ({"date": date(1970, 1, 2), "close": 5}, Bar(DAY, 5.0)),
        ({"timestamp": datetime(1970, 1, 2, 1, tzinfo=UTC), "close": 5}, Bar(DAY + DAY // 24, 5.0)),
        ({"time": datetime(1970, 1, 2), "close": 5}, Bar(DAY, 5.0)),  # noqa: DTZ001 - naive is UTC
        (
            {"at": DAY, "open": "", "high": None, "low": "1", "close": 2, "volume": 9},
            Bar(DAY, 2.0, low=1.0, volume=9.0),
        ),
        ({"at": 0, "close": 0}, Bar(0, 0.0)),
        ({"timestamp": 1_704_067_200, "close": 5}, Bar(19_723 * DAY, 5.0)),
        ({"time": 1_704_067_200.0, "close": 5}, Bar(19_723 * DAY, 5.0)),
        ({"timestamp": "1704067200", "close": 5}, Bar(19_723 * DAY, 5.0)),
        ({"date": 20_240_101, "close": 5}, Bar(19_723 * DAY, 5.0)),
        (Price("1970-01-02", 5, 7), Bar(DAY, 5.0, volume=7.0)),
        (Bar(DAY, 5.0), Bar(DAY, 5.0)),
    ],
)
def test_a_row_may_be_written_in_many_ways(row, bar):
    assert bars_of([row]) == [bar]


@pytest.mark.parametrize(
    ("row", "why"),
    [
        ({"date": "1970-01-02"}, "row 1 has no closing price"),
        ({"close": 5}, "row 1 has no time"),
        ({"date": "someday", "close": 5}, "row 1 is not a price: not a time: .* Unix seconds$"),
        ({"date": "1970-01-02", "close": "five"}, "row 1 is not a price"),
        ({"date": "1970-01-02", "close": "nan"}, "not a finite number"),
        ({"date": "1970-01-02", "close": 5, "volume": float("inf")}, "not a finite number"),
        ({"timestamp": 1_704_067_200_000, "close": 5}, "row 1 is not a price: not a time: .* Unix seconds$"),
        ({"at": 10**30, "close": 5}, "its time is not in the years 1 to 9999"),
        (Bar(10**30, 5.0), "its time is not in the years 1 to 9999"),
        (Bar(datetime(1970, 1, 2, tzinfo=UTC), 5.0), "its time is not in the years 1 to 9999"),
        (Bar(0, float("nan")), "not a finite number"),
        (Bar(0, 5.0, volume=-float("inf")), "not a finite number"),
        (Bar(0, 10**400), "not a finite number"),
        (Bar(0, "5"), "not a finite number"),
        (None, "row 1 has no time"),
        (("1970-01-02", 5), "row 1 has no time: it is a tuple without at, date, time or timestamp"),
    ],
)
def test_a_row_that_is_no_price_says_why(row, why):
    with pytest.raises(SourceError, match=why) as raised:
        bars_of([row])
    assert raised.value.retry is False
    assert "caused by" not in error_of(raised.value).message


def test_bars_are_in_order_and_the_later_row_holds():
    rows = [{"at": 2, "close": 1}, {"at": 1, "close": 2}, {"at": 2, "close": 3}]
    assert bars_of(rows) == [Bar(1, 2.0), Bar(2, 3.0)]


def test_a_source_may_give_nothing_at_all():
    assert bars_of(None) == bars_of([]) == []


def test_rows_at_hand_are_a_source():
    rows = [{"symbol": "A", "date": f"2004-0{month}-01", "close": month} for month in (1, 2, 3)]
    rows.append({"symbol": "A", "date": "2004-01-01", "close": 9, "timeframe": "1h"})
    source = RowSource(rows)
    assert [bar.close for bar in source("A", "1d", "2004-02-01", "2004-03-01")] == [2, 3]
    assert [bar.close for bar in source("A", "1h", None, "2004-01-31")] == [1, 9]
    with pytest.raises(
        SourceError, match="no rows for A from 2000-01-01 until 2000-12-31; its first row is 2004-01-01"
    ):
        source("A", "1d", "2000-01-01", "2000-12-31")
    with pytest.raises(SourceError, match="no rows for A from 2010-01-01"):
        source("A", "1d", "2010-01-01", None)
    with pytest.raises(SourceError, match="unknown symbol B"):
        source("B", "1d", None, None)


def test_rows_may_name_their_timeframe_or_none():
    rows = [
        {"symbol": "A", "date": "2004-01-01", "close": 1, "timeframe": ""},
        {"symbol": "B", "date": "2004-01-01", "close": 2, "timeframe": "1h"},
    ]
    source = RowSource(rows)
    assert [bar.close for bar in source("A", "1d", None, None)] == [1]
    with pytest.raises(SourceError, match="B has no rows on 1d, only on 1h"):
        source("B", "1d", None, None)


def test_blanks_around_a_symbol_at_hand_are_none_of_it():
    assert RowSource([{"symbol": " A ", "date": "2004-01-01", "close": 1}]).symbols == ["A"]


@pytest.mark.parametrize("row", [{"date": "2004-01-01", "close": 1}, {"symbol": " ", "date": "2004-01-01", "close": 1}])
def test_a_row_at_hand_without_a_symbol_is_named(row):
    with pytest.raises(SourceError, match="row 2 has no symbol"):
        RowSource([{"symbol": "A", "date": "2004-01-01", "close": 1}, row])


@pytest.fixture
def warehouse(tmp_path):
    with closing(SqliteWarehouse(tmp_path / "folder" / "market.db")) as opened:
        yield opened


def test_what_is_new_or_other_is_counted(warehouse):
    assert warehouse.insert(PAIR, [Bar(1, 1.0), Bar(2, 2.0)]) == 2
    assert warehouse.insert(PAIR, [Bar(1, 1.0), Bar(2, 2.0)]) == 0
    assert warehouse.insert(PAIR, [Bar(2, 2.0, volume=5.0), Bar(3, 3.0)]) == 2
    assert warehouse.insert(PAIR, []) == 0
    assert warehouse.insert(Pair("BTC/USD", "1d"), [Bar(1, 9.0)]) == 1
    assert warehouse.bars(PAIR) == [Bar(1, 1.0), Bar(2, 2.0, volume=5.0), Bar(3, 3.0)]


def test_features_change_as_a_whole(warehouse):
    assert warehouse.keep(PAIR, ["sma_2", "drawdown"], {"sma_2": [(1, 0.5), (2, 1.5)], "drawdown": [(1, 0.0)]}) == 3
    assert warehouse.keep(PAIR, ["sma_2"], {"sma_2": [(2, 7.0)]}) == 1
    assert warehouse.features(PAIR) == {"drawdown": [(1, 0.0)], "sma_2": [(2, 7.0)]}
    assert warehouse.features(PAIR, "sma_2") == {"sma_2": [(2, 7.0)]}
    assert warehouse.keep(PAIR, ["sma_2"], {}) == 0
    assert warehouse.features(PAIR) == {"drawdown": [(1, 0.0)]}
    assert warehouse.sizes() == (0, 1)


def test_threads_share_it(warehouse):
    def fill(number: int) -> int:
        return sum(warehouse.insert(Pair("S", f"{number}d"), [Bar(at, 1.0)]) for at in range(20))

    with ThreadPoolExecutor(8) as pool:
        assert list(pool.map(fill, range(8))) == [20] * 8
    assert warehouse.sizes() == (160, 0)


def _insert(warehouse: SqliteWarehouse) -> None:
    warehouse.insert(PAIR, [Bar(2, 2.0)])


def test_a_forked_process_opens_its_own(warehouse):
    warehouse.insert(PAIR, [Bar(1, 1.0)])
    child = multiprocessing.get_context("fork").Process(target=_insert, args=(warehouse,))
    child.start()
    child.join(30)
    assert child.exitcode == 0
    assert len(warehouse.bars(PAIR)) == 2


def test_a_place_that_cannot_be_written_is_known_at_once(tmp_path):
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(StoreError):
        SqliteWarehouse(tmp_path / "file" / "market.db")
