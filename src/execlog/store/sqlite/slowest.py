"""The slowest executions, without sorting all: only what is in cells whose greatest duration is great enough.

The sketch of the statistics tells, within 1 %, how long as many as are wanted took at the least. Which cells have one
that took so long is asked from days down to the finest there are, and only the executions in those are looked at.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import NamedTuple

import msgspec

from execlog.core.filter import Filter
from execlog.core.rollup import LOG_GAMMA, Bucket, Sketch, bin_of
from execlog.store.sql import queries
from execlog.store.sqlite import statistics
from execlog.store.sqlite.connection import Session
from execlog.store.sqlite.query import Bindings, Places, Question, same_but
from execlog.store.sqlite.series import Series, Window, cut, resolutions, serving
from execlog.store.sqlite.settling import kinds_of
from execlog.store.sqlite.statistics import FIRST, LAST
from execlog.store.sqlite.tallying import SECOND

FEW = 20_000
"""So many are sorted as quickly."""

MOST_CELLS, MOST_ROWS = 1_000, 100_000
"""Where more cells than these reach as far, or they have more executions, sorting all takes about as long."""

_ROUNDING = 1e-9
"""What a bin's edge may be off by, as a share of it."""

_SQL, _FILTER = queries("sqlite", "read"), queries("sqlite", "filter")
_decode_cells = msgspec.json.Decoder(list[tuple[int, int]]).decode
Look = tuple[list[Window], float]
"""Windows of time, and how many seconds what is looked for in them took at the least."""

Reaching = Callable[[int, Sequence[Window], int], Sequence[tuple[int, int]]]
"""(resolution, windows, µs): the cells in the windows with a duration that is so long, as (start, their executions)."""


class Slow(NamedTuple):
    """What to select a page from, with its bindings: executions that took `least` seconds.

    A page that is not full is the last one only where that is what the filter asked for.
    """

    source: str
    bindings: Bindings
    least: float


def source(session: Session, filter: Filter, places: Places, question: Question, bindings: Bindings) -> Slow | None:
    """What to select a page from; None where all executions are to be sorted."""
    counted = same_but(filter, min_duration=None)
    series = serving(counted, None, lambda: kinds_of(session), places)
    if not series:
        return None
    names = [entry.bounds for entry in series]

    def reaching(resolution: int, windows: Sequence[Window], micros: int) -> Sequence[tuple[int, int]]:
        asked = {"resolution": resolution, "windows": _bounded(windows), "series": names, "micros": micros}
        return _decode_cells(session.value(_SQL["cells_reaching"], asked))

    bucket = statistics.stats(session, counted, None)[0].bucket
    found = look(filter, series, bucket, bindings, reaching)
    if found is None:
        return None
    windows, least = found
    parts = {"source": question.source, "where": question.where}
    sql = _FILTER["from_slow"].format(**parts, open=_FILTER["open"], tail=_FILTER["tail"])
    return Slow(sql, {**bindings, "windows": _bounded(windows), "least": least}, least)


def _bounded(windows: Sequence[Window]) -> list[tuple[int, int]]:
    return [(FIRST if since is None else since, LAST if until is None else until) for since, until in windows]


def look(filter: Filter, series: Sequence[Series], bucket: Bucket, page: Bindings, reaching: Reaching) -> Look | None:
    """Where to look for a page of the slowest that the filter lets through; None where all are to be sorted.

    `series` and `bucket` count what the filter lets through, however long it took; `page` has its limit and offset, and
    as `after_value` the seconds that the page before ended with. All executions that have ended and took so long lie in
    the windows, and with those that are open they fill the page, or are all that took the filter's `min_duration`.
    """
    if bucket.total <= FEW or not bucket.sketch:
        return None
    least = _least(bucket, page["limit"] + page["offset"], page.get("after_value"), filter.min_duration)
    windows = None if least is None else _windows(filter, series, int(least * 1e6), reaching)
    return None if least is None or windows is None else (windows, least)


def _least(bucket: Bucket, wanted: int, below: float | None, least: float | None) -> float | None:
    """How long the slowest `wanted` below that took, or all that took `least`; None where it is no use to know."""
    sketch = Sketch()
    sketch.merge(bucket.sketch)
    top = math.inf if below is None else 0 if below <= 0 else bin_of(below)
    found = as_long = 0
    for number, times in sorted(sketch.counts().items(), reverse=True):
        low = _low(number)
        if least is not None and low <= least:
            return least
        as_long += times
        found += times if number < top else 0
        if as_long > MOST_ROWS:
            return None
        if found >= wanted:
            return low
    return least


def _low(number: int) -> float:
    """The seconds that a bin begins with."""
    return math.exp((number - 1) * LOG_GAMMA) / 1e6 * (1 - _ROUNDING) if number > 0 else 0.0


def _windows(filter: Filter, series: Sequence[Series], micros: int, reaching: Reaching) -> list[Window] | None:
    """The cells that reach a duration, and the edges of the window that are no cells; None where they are too many."""
    kept = resolutions(series, None)
    cells, chosen = cut((filter.since, filter.until), kept)
    windows: list[Window] = []
    executions = 0
    for resolution, finer in zip(kept, [*kept[1:], None], strict=True):
        windows += [window for at, window in cells if at == resolution]
        found = reaching(resolution, windows, micros) if windows else ()
        if len(found) > MOST_CELLS:
            return None
        windows = [(start, start + resolution * SECOND) for start, _ in found]
        number = sum(each for _, each in found)
        if finer is None or number <= len(found) * (resolution // finer):  # fewer executions than finer cells
            chosen += windows
            executions += number
            windows = []
    return None if executions > MOST_ROWS else chosen
