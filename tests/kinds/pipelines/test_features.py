"""Features against values made another way: by hand, with the statistics module, in exact fractions, step by step."""

from __future__ import annotations

import math
import statistics
import sys
from fractions import Fraction
from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from execlog.core.errors import InvalidError, MissingExtraError
from execlog.kinds.pipelines.bars import Bar, RowSource, bars_of
from execlog.kinds.pipelines.features import DEFAULT, FORMULAS, FeatureError, compute, feature

pytest.importorskip("polars")
STOCKS = Path(__file__).parents[3] / "src/execlog/kinds/jobs/data/stocks.csv"
prices = st.lists(st.floats(0.01, 1e6), min_size=1, max_size=60)
anything = st.lists(st.floats(allow_nan=False, allow_infinity=False) | st.sampled_from([0.0, -1.0, 5.0]), max_size=40)


def bars(closes: list[float]) -> list[Bar]:
    return [Bar(number, close) for number, close in enumerate(closes)]


def series(closes: list[float], name: str) -> dict[int, float]:
    """Position → value; nothing where it cannot be computed at all."""
    try:
        return dict(compute(bars(closes), [name]).values.get(name, ()))
    except FeatureError:
        return {}


def log_returns(closes: list[float]) -> list[float]:
    return [math.log(after / before) for before, after in pairwise(closes)]


def test_values_by_hand():
    closes = [10.0, 12.0, 9.0, 9.0, 18.0]
    assert series(closes, "simple_return") == pytest.approx({1: 0.2, 2: -0.25, 3: 0.0, 4: 1.0})
    assert series(closes, "log_return") == pytest.approx({1: math.log(1.2), 2: math.log(0.75), 3: 0.0, 4: math.log(2)})
    assert series(closes, "sma_3") == pytest.approx({2: 31 / 3, 3: 10.0, 4: 12.0})
    assert series(closes, "ema_3") == pytest.approx({2: 31 / 3, 3: (31 / 3 + 9) / 2, 4: ((31 / 3 + 9) / 2 + 18) / 2})
    assert series(closes, "drawdown") == pytest.approx({0: 0.0, 1: 0.0, 2: -0.25, 3: -0.25, 4: 0.0})
    assert series(closes, "max_drawdown") == pytest.approx({0: 0.0, 1: 0.0, 2: -0.25, 3: -0.25, 4: -0.25})


def test_rsi_by_hand():
    # Changes +2 −3 0 +9; N = 2: first means over two, then half of the one before and half of the new.
    closes = [10.0, 12.0, 9.0, 9.0, 18.0]
    gain, loss = [1.0, 0.5, 4.75], [1.5, 0.75, 0.375]
    expected = {at: 100 - 100 / (1 + g / l) for at, g, l in zip((2, 3, 4), gain, loss, strict=True)}  # noqa: E741 - gain and loss, as in the formula
    assert series(closes, "rsi_2") == pytest.approx(expected)


def test_wilders_own_shape():
    """Only gains is 100, only losses is 0, no movement at all is undefined."""
    assert series([1.0, 2, 3, 4], "rsi_2") == {2: 100.0, 3: 100.0}
    assert series([4.0, 3, 2, 1], "rsi_2") == {2: 0.0, 3: 0.0}
    assert series([5.0] * 6, "rsi_2") == {}
    assert series([5.0, 5, 5, 6], "rsi_2") == {3: 100.0}


@given(prices, st.integers(2, 12))
def test_volatility_is_the_standard_deviation_of_log_returns(closes, window):
    returns = log_returns(closes)
    expected = {
        end: statistics.stdev(returns[end - window : end]) for end in range(window, len(closes))
    }  # returns[i] ends at close i + 1
    assert series(closes, f"volatility_{window}") == pytest.approx(expected, rel=1e-9, abs=1e-12)


@given(prices, st.integers(1, 12))
def test_a_moving_average_is_the_mean_of_its_window(closes, window):
    expected = {
        end: float(sum(map(Fraction, closes[end - window + 1 : end + 1])) / window)
        for end in range(window - 1, len(closes))
    }
    assert series(closes, f"sma_{window}") == pytest.approx(expected, rel=1e-12)


@given(prices, st.integers(1, 12))
def test_an_exponential_average_follows_its_recurrence(closes, window):
    alpha, expected = Fraction(2, window + 1), {}
    for at in range(window - 1, len(closes)):
        before = expected.get(at - 1)
        mean = sum(map(Fraction, closes[:window])) / window
        expected[at] = mean if before is None else alpha * Fraction(closes[at]) + (1 - alpha) * before
    assert series(closes, f"ema_{window}") == pytest.approx({at: float(one) for at, one in expected.items()}, rel=1e-9)


@given(prices, st.integers(1, 14))
def test_rsi_follows_wilders_recurrence(closes, window):
    changes = [Fraction(after) - Fraction(before) for before, after in pairwise(closes)]
    gains, losses = [max(one, 0) for one in changes], [max(-one, 0) for one in changes]
    expected: dict[int, float] = {}
    gain = loss = Fraction(0)
    for at in range(window, len(closes)):
        if at == window:
            gain, loss = sum(gains[:window], Fraction(0)) / window, sum(losses[:window], Fraction(0)) / window
        else:
            gain = (gain * (window - 1) + gains[at - 1]) / window
            loss = (loss * (window - 1) + losses[at - 1]) / window
        if gain + loss:
            expected[at] = float(100 * gain / (gain + loss))
    found = series(closes, f"rsi_{window}")
    assert found == pytest.approx(expected, rel=1e-6, abs=1e-6)
    assert all(0 <= value <= 100 for value in found.values())


@given(prices)
def test_drawdowns_look_back_to_the_highest_price(closes):
    down = {at: closes[at] / max(closes[: at + 1]) - 1 for at in range(len(closes))}
    assert series(closes, "drawdown") == pytest.approx(down)
    assert series(closes, "max_drawdown") == pytest.approx({at: min(list(down.values())[: at + 1]) for at in down})
    assert all(-1 < value <= 0 for value in series(closes, "drawdown").values())


@given(st.lists(st.floats(1, 100), min_size=1, max_size=60))
def test_returns_compound_to_the_whole(closes):
    simple, log = series(closes, "simple_return"), series(closes, "log_return")
    assert math.prod(1 + one for one in simple.values()) == pytest.approx(closes[-1] / closes[0], rel=1e-9)
    assert sum(log.values()) == pytest.approx(math.log(closes[-1] / closes[0]), abs=1e-9)


@given(anything, st.sampled_from([*DEFAULT, "sma_1", "ema_1", "rsi_1", "volatility_2"]))
def test_no_price_whatever_makes_a_value_that_is_no_number(closes, name):
    found = series(closes, name)
    assert all(math.isfinite(value) for value in found.values())
    assert all(at >= feature(name).needs - 1 for at in found)


@given(prices, st.floats(1e9, 1e15), st.integers(1, 6))
def test_an_outlier_leaves_no_trace_once_it_is_out_of_the_window(closes, outlier, window):
    assume(len(closes) > window)
    alone, after = series(closes, f"sma_{window}"), series([outlier, *closes], f"sma_{window}")
    assert {at: after[at + 1] for at in alone} == alone


@given(anything)
def test_a_smoothing_of_one_bar_is_the_price(closes):
    assert series(closes, "ema_1") == dict(enumerate(closes))


def test_a_feature_named_twice_is_computed_once():
    assert compute(bars([1.0, 2.0]), ["sma_2", "sma_2"]) == compute(bars([1.0, 2.0]), ["sma_2"])


@pytest.mark.parametrize("name", ["sma_200", "ema_200", "rsi_200", "volatility_200"])
def test_the_same_closes_give_the_same_values_to_the_last_bit(name):
    closes = [100 + 10 * math.sin(number) + number / 7 for number in range(2_000)]
    first = series(closes, name)
    assert all(series(closes, name) == first for _ in range(30))


@pytest.mark.parametrize("name", [base for base, one in FORMULAS.items() if one.shortest])
def test_the_work_grows_with_the_window_and_not_with_its_square(name):
    size = {window: len(str(FORMULAS[name].expression(window))) for window in (50, 100)}
    assert size[100] < 3 * size[50]


def test_volatility_over_a_year_of_days():
    closes = [100 + 10 * math.sin(number) for number in range(300)]
    expected = {end: statistics.stdev(log_returns(closes)[end - 252 : end]) for end in range(252, 300)}
    assert series(closes, "volatility_252") == pytest.approx(expected, rel=1e-12)


def test_division_by_zero_is_missing_and_not_a_number():
    closes = [0.0, 5.0, 0.0, 0.0, 2.0, -1.0, 3.0]
    assert series(closes, "simple_return") == {2: -1.0, 5: -1.5}
    assert series(closes, "log_return") == {}
    assert series(closes, "volatility_2") == {}
    assert 0 not in series(closes, "drawdown")


def test_a_window_with_a_gap_in_it_is_missing():
    closes = [1.0, 2.0, 0.0, 2.0, 4.0, 8.0, 8.0]
    assert series(closes, "volatility_2") == pytest.approx({5: 0.0, 6: statistics.stdev([math.log(2), 0.0])})


def test_a_series_that_is_too_short_says_so():
    computed = compute(bars([1.0, 2.0, 3.0]), ["sma_2", "volatility_12", "rsi_14"])
    assert computed.missing == {
        "volatility_12": "needs 13 closes, there are 3",
        "rsi_14": "needs 15 closes, there are 3",
    }
    assert computed.count == 2
    with pytest.raises(FeatureError, match="volatility_12 needs 13 closes, there are 3"):
        compute(bars([1.0, 2.0, 3.0]), ["volatility_12"])
    with pytest.raises(FeatureError, match="log_return undefined for these prices"):
        compute(bars([0.0, 0.0]), ["log_return"])
    with pytest.raises(FeatureError):
        compute([], DEFAULT)


@pytest.mark.parametrize("name", [f"{base}_3" if one.shortest else base for base, one in FORMULAS.items()])
def test_the_first_value_comes_with_the_close_it_needs(name):
    needs = feature(name).needs
    closes = [float(100 + (7 * at) % 5) for at in range(needs)]
    assert list(series(closes, name)) == [needs - 1]
    assert series(closes[:-1], name) == {}


@pytest.mark.parametrize(
    "name",
    ["sma", "sma_0", "sma_501", "volatility_1", "drawdown_5", "magic", "", "sma_x", "SMA_3", "sma_3_4", "sma_-1"],
)
def test_what_is_no_feature_is_refused(name):
    with pytest.raises(InvalidError) as raised:
        compute(bars([1.0]), [name])
    assert raised.value.field == "features"


def test_the_real_prices():
    """Apple's and Google's last values, from the file, by the definitions."""
    source = RowSource.of_csv(STOCKS)
    for symbol in source.symbols:
        found = bars_of(source(symbol, "1mo", None, None))
        closes = [bar.close for bar in found]
        computed = compute(found)
        assert computed.missing == {}
        last = {name: values[-1] for name, values in computed.values.items()}
        assert {at for at, _ in last.values()} == {found[-1].at}
        assert last["simple_return"][1] == pytest.approx(closes[-1] / closes[-2] - 1)
        assert last["sma_12"][1] == pytest.approx(statistics.fmean(closes[-12:]))
        assert last["volatility_12"][1] == pytest.approx(statistics.stdev(log_returns(closes)[-12:]))
        assert last["max_drawdown"][1] == pytest.approx(
            min(close / max(closes[: at + 1]) - 1 for at, close in enumerate(closes))
        )
    assert len(found) == 123


def test_without_polars_the_error_names_the_extra(monkeypatch):
    monkeypatch.setitem(sys.modules, "polars", None)
    with pytest.raises(MissingExtraError, match=r"execlog\[frames\]"):
        compute(bars([1.0]))
