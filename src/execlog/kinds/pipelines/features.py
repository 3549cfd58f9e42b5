"""Features over closing prices, on polars (extra `frames`).

Every value is computed from the closes alone and from no more of them than its formula says; what its formula leaves
undefined (a return on a price of zero, a window that is not full yet) is missing, never a number. Windows are computed
anew for each row, not from running sums: an outlier leaves no trace once it is out of the window. What is added is
always added in the same order, so the same closes give the same values.

p is a close, t counts bars, N is a feature's window.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from functools import cache
from typing import TYPE_CHECKING, Any

from msgspec import Struct

from execlog.core.errors import ExeclogError, InvalidError, MissingExtraError
from execlog.kinds.pipelines.bars import Bar

if TYPE_CHECKING:
    import polars as pl

MAX_WINDOW = 500
DEFAULT = (
    "simple_return",
    "log_return",
    "volatility_12",
    "sma_3",
    "sma_12",
    "ema_12",
    "rsi_14",
    "drawdown",
    "max_drawdown",
)
_NAME = re.compile(r"([a-z_]+?)(?:_(\d{1,4}))?")


class FeatureError(ExeclogError):
    """No feature could be computed from a series; the message says why. Trying again does not help."""

    retry = False


class Formula(Struct, frozen=True):
    """How a feature is defined, and by whom.

    more      how many closes beyond its window the first value needs
    shortest  the shortest window that means something; 0: the feature has none
    mean      the mean that the expression needs in each of its terms: worked out once, before it (`_mean_name`)
    """

    formula: str
    source: str
    more: int
    shortest: int
    expression: Callable[[int], pl.Expr]
    mean: Callable[[int], pl.Expr] | None = None


class Feature(Struct, frozen=True):
    """A feature as asked for, such as sma_12: its formula with its window filled in."""

    name: str
    window: int
    formula: Formula

    @property
    def needs(self) -> int:
        """How many closes there must be for the first value."""
        return max(self.window, 1) + self.formula.more


class Computed(Struct, frozen=True):
    """What came out: the values of each feature, oldest first, as (time in UTC µs, value).

    missing   why a feature has no value at all, by its name
    """

    values: dict[str, list[tuple[int, float]]]
    missing: dict[str, str]

    @property
    def count(self) -> int:
        """How many values there are."""
        return sum(map(len, self.values.values()))


def compute(bars: Sequence[Bar], names: Sequence[str] = DEFAULT) -> Computed:
    """The features over bars that are in order of time, one each. Raises InvalidError for a name that is no feature.

    Raises FeatureError where none of them has a value, MissingExtraError without polars.
    """
    polars = library()
    features = [feature(name) for name in dict.fromkeys(names)]
    enough = [one for one in features if len(bars) >= one.needs]
    missing = {one.name: _too_short(one, len(bars)) for one in features if len(bars) < one.needs}
    values: dict[str, list[tuple[int, float]]] = {}
    if enough:
        closes = polars.DataFrame({"p": [bar.close for bar in bars]}, schema={"p": polars.Float64})
        closes = closes.with_columns(_log_return(0).alias("r"))
        means = [one.formula.mean(one.window).alias(_mean_name(one.window)) for one in enough if one.formula.mean]
        expressions = [one.formula.expression(one.window).alias(one.name) for one in enough]
        table = closes.with_columns(means).select(expressions)
        for one in enough:
            column = table[one.name]
            found = [(bar.at, value) for bar, value in zip(bars, column, strict=True) if _is_number(value)]
            if found:
                values[one.name] = found
            else:
                missing[one.name] = "undefined for these prices"
    if not values:
        reasons = "; ".join(f"{name} {reason}" for name, reason in missing.items())
        raise FeatureError(f"no feature could be computed: {reasons or 'none was asked for'}")
    return Computed(values, missing)


@cache
def feature(name: str) -> Feature:
    """The feature of this name, such as drawdown or sma_12. Raises InvalidError."""
    parts = _NAME.fullmatch(name)
    formula = FORMULAS.get(parts[1]) if parts else None
    if parts is None or formula is None or bool(parts[2]) != bool(formula.shortest):
        known = ", ".join(base + ("_N" if one.shortest else "") for base, one in FORMULAS.items())
        raise InvalidError(f"{name!r:.60} is not a feature; known are {known}", field="features")
    window = int(parts[2] or 0)
    if formula.shortest and not formula.shortest <= window <= MAX_WINDOW:
        raise InvalidError(f"{name}: the window must be {formula.shortest} to {MAX_WINDOW}", field="features")
    return Feature(name, window, formula)


def library() -> Any:
    """Polars. Raises MissingExtraError where it is not installed."""
    try:
        import polars as pl
    except ImportError as error:
        raise MissingExtraError("frames", needed_for="computing features") from error
    return pl


def _too_short(one: Feature, closes: int) -> str:
    return f"needs {one.needs} closes, there are {closes}"


def _is_number(value: float | None) -> bool:
    return value is not None and value - value == 0


def _col(name: str = "p") -> pl.Expr:
    return library().col(name)


def _if(condition: pl.Expr, value: pl.Expr) -> pl.Expr:
    """The value where the condition holds, missing elsewhere."""
    return library().when(condition).then(value)


def _simple_return(_window: int) -> pl.Expr:
    before = _col().shift(1)
    return _if(before > 0, _col() / before - 1)


def _log_return(_window: int) -> pl.Expr:
    before = _col().shift(1)
    return _if((before > 0) & (_col() > 0), _col().log() - before.log())


def _sma(window: int) -> pl.Expr:
    return _mean(_col(), window)


def _volatility(window: int) -> pl.Expr:
    mean = _col(_mean_name(window))
    return (_total([(_col("r").shift(back) - mean) ** 2 for back in range(window)]) / (window - 1)).sqrt()


def _mean_return(window: int) -> pl.Expr:
    return _mean(_col("r"), window)


def _mean_name(window: int) -> str:
    return f"mean_{window}"


def _ema(window: int) -> pl.Expr:
    return _smoothed(_col(), window, window - 1, 2 / (window + 1))


def _rsi(window: int) -> pl.Expr:
    change = _col().diff()
    gains, losses = (_wilder(moved, window) for moved in (change.clip(lower_bound=0), (-change).clip(lower_bound=0)))
    return _if(gains + losses > 0, 100 * (gains / (gains + losses)))


def _wilder(moved: pl.Expr, window: int) -> pl.Expr:
    return _smoothed(moved, window, window, 1 / window)


def _smoothed(values: pl.Expr, window: int, first: int, alpha: float) -> pl.Expr:
    """Exponential smoothing that begins at row `first` with the mean of the window that ends there; missing before."""
    polars = library()
    if alpha == 1:
        return values  # polars would work it out as the one before and the difference, which rounds
    seed = values.slice(first - window + 1, window).mean()
    row = polars.int_range(polars.len())
    begun = polars.when(row == first).then(seed).when(row > first).then(values)
    return begun.ewm_mean(alpha=alpha, adjust=False, ignore_nulls=True)


def _drawdown(_window: int) -> pl.Expr:
    peak = _col().cum_max()
    return _if(peak > 0, _col() / peak - 1)


def _max_drawdown(_window: int) -> pl.Expr:
    return _drawdown(0).cum_min()


def _mean(values: pl.Expr, window: int) -> pl.Expr:
    return _total([values.shift(back) for back in range(window)]) / window


def _total(terms: Sequence[pl.Expr]) -> pl.Expr:
    """Their sum, missing where one is. Added in pairs: `sum_horizontal` adds in an order that its threads decide."""
    while len(terms) > 1:
        pairs = zip(terms[::2], terms[1::2], strict=False)
        terms = [one + other for one, other in pairs] + list(terms[len(terms) // 2 * 2 :])
    return terms[0]


FORMULAS: dict[str, Formula] = {
    "simple_return": Formula(
        "p(t) / p(t−1) − 1; missing after a price of 0 or less",
        "Campbell, Lo and MacKinlay: The Econometrics of Financial Markets (1997), section 1.4",
        1,
        0,
        _simple_return,
    ),
    "log_return": Formula(
        "ln p(t) − ln p(t−1); missing where a price is 0 or less",
        "Campbell, Lo and MacKinlay: The Econometrics of Financial Markets (1997), section 1.4",
        1,
        0,
        _log_return,
    ),
    "volatility": Formula(
        "the sample standard deviation (divisor N − 1) of the last N log returns, per bar, not annualised",
        "Hull: Options, Futures, and Other Derivatives, on estimating volatility from historical data",
        1,
        2,
        _volatility,
        _mean_return,
    ),
    "sma": Formula(
        "the arithmetic mean of the last N closes",
        "Murphy: Technical Analysis of the Financial Markets (1999), chapter 9",
        0,
        1,
        _sma,
    ),
    "ema": Formula(
        "e(t) = α p(t) + (1 − α) e(t−1) with α = 2 / (N + 1), begun with the mean of the first N closes",
        "Murphy: Technical Analysis of the Financial Markets (1999), chapter 9",
        0,
        1,
        _ema,
    ),
    "rsi": Formula(
        "100 g / (g + l), g and l the average gain and loss: the means over the first N changes, then "
        "(N − 1) / N of the one before plus 1 / N of the new; missing while prices have not moved at all",
        "Wilder: New Concepts in Technical Trading Systems (1978), section VI",
        1,
        1,
        _rsi,
    ),
    "drawdown": Formula(
        "p(t) / max(p(1) … p(t)) − 1; missing while no price was above 0",
        "Magdon-Ismail and Atiya: Maximum Drawdown, Risk Magazine 17 (2004)",
        0,
        0,
        _drawdown,
    ),
    "max_drawdown": Formula(
        "the lowest drawdown up to t",
        "Magdon-Ismail and Atiya: Maximum Drawdown, Risk Magazine 17 (2004)",
        0,
        0,
        _max_drawdown,
    ),
}
"""By the name before the window: simple_return, sma_12."""
