"""What is out of the usual in one run: rows, items, duration, tokens and cost beside those of its last good runs."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from datetime import datetime, timedelta

from msgspec import Struct

from execlog.core.clock import moment
from execlog.core.model import Execution, Status

ENOUGH = 5
"""Fewer good runs say nothing about what is usual."""
_LEAST_SECONDS = 0.5
_ENOUGH_ALIKE, _DAYS = 3, 3


class Unusual(Struct, frozen=True, kw_only=True):
    """A figure out of the usual: what it is, and what it was in the last good runs.

    name     rows, items, duration (seconds), tokens_input, tokens_output, or cost (US dollars)
    value    null where nothing was said although it always was
    usual    the median of the `runs` good ones; low and high, the least and the most
    """

    name: str
    value: float | None
    usual: float
    low: float
    high: float
    runs: int


_FIGURES: tuple[tuple[str, float, Callable[[Execution], float | None]], ...] = (
    ("rows", 0.1, lambda one: one.rows),
    ("items", 0.0, lambda one: one.counts.total or None),
    ("duration", 0.5, lambda one: one.seconds),
    ("tokens_input", 0.1, lambda one: one.tokens[0] if one.usage else None),
    ("tokens_output", 0.1, lambda one: one.tokens[1] if one.usage else None),
    ("cost", 0.1, lambda one: None if one.cost_nano is None else one.cost_nano / 1e9),
)
"""Name, how much of the usual it may always be beside it, and where it is."""
_TIMES: tuple[Callable[[datetime], str], ...] = (
    lambda at: f"between {at:%H}:00 and {at:%H}:59 UTC",
    lambda at: "on the last day of a month" if (at + timedelta(days=1)).day == 1 else "",
    lambda at: f"on a {at:%A}",
    lambda at: f"on day {at.day} of a month",
)


def unusual(execution: Execution, good: Sequence[Execution]) -> Iterator[Unusual]:
    """The figures that lie outside of what they were in the good runs by more than these lie apart.

    Of a run that did not succeed only those that are larger: that it did less is no wonder.
    """
    for name, share, figure in _FIGURES:
        known = sorted(value for one in good if (value := figure(one)) is not None)
        if len(known) < max(ENOUGH, len(good)):
            continue
        value, low, high, usual = figure(execution), known[0], known[-1], known[len(known) // 2]
        far = max(high - low, share * usual, _LEAST_SECONDS if name == "duration" else 0)
        succeeded = execution.status is Status.SUCCEEDED
        is_more = value is not None and value > high + far
        is_less = succeeded and (value is None or value < low - far)
        if is_more or is_less:
            yield Unusual(name=name, value=value, usual=usual, low=low, high=high, runs=len(known))


def same_time(execution: Execution, alike: Sequence[Execution], good: Sequence[Execution]) -> str | None:
    """The hour, weekday or day of the month at which all that failed so began, and hardly one that went well did."""
    bad = [moment(one.started_at or one.created_at) for one in (execution, *alike)]
    fine = [moment(one.started_at or one.created_at) for one in good]
    if len(bad) < _ENOUGH_ALIKE or len(fine) < ENOUGH or len({at.date() for at in bad}) < _DAYS:
        return None
    for when in _TIMES:
        said = {when(at) for at in bad}
        if len(said) == 1 and (one := said.pop()) and sum(when(at) == one for at in fine) * 10 <= len(fine):
            return one
    return None
