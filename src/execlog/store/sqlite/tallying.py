"""What a batch of executions adds to the statistics, cell by cell.

The cells and sums are those of `core.rollup`, reached from rows instead of executions and without a step more than
needed: this runs for every execution that is stored. tests/stores/test_sqlite_buckets.py holds it to `rollup.gather`.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from functools import lru_cache
from typing import NamedTuple

from execlog.core.model import Status
from execlog.core.rollup import DAY, HOUR, LOG_GAMMA, MINUTE, series_name
from execlog.store.sqlite.rows import Row

SECOND = 1_000_000
STATUSES = (Status.SUCCEEDED, Status.PARTIAL, Status.FAILED, Status.TIMED_OUT, Status.CANCELLED, Status.CRASHED)
TIMED, DURATION, MAX = 6, 7, 8
WIDTH = 13
_PLACES: dict[str, int] = {status: place for place, status in enumerate(STATUSES)}
_MINUTE, _HOUR = MINUTE * SECOND, HOUR * SECOND


class Cell(NamedTuple):
    """Which cell, in the order of the table's key."""

    resolution: int
    start: int
    series: str


class Delta:
    """What is added to one cell.

    sums     the six statuses, timed, duration_micros, max_micros, rows, tokens_input, tokens_output, cost_nano
    bins     of the durations, one each
    sample   one of the executions' rows: what the series is about
    """

    __slots__ = ("bins", "sample", "sums")

    def __init__(self, sample: Row) -> None:
        self.sums = [0] * WIDTH
        self.bins: list[int] = []
        self.sample = sample

    def count(self, place: int, measured: tuple[int, int, int, int, int, int]) -> None:
        """Count one execution: the place of its status, and what `_measure` says."""
        micros, number, rows, tokens_input, tokens_output, cost = measured
        sums = self.sums
        sums[place] += 1
        if number >= 0:
            sums[6] += 1
            sums[7] += micros
            sums[8] = max(sums[8], micros)
            self.bins.append(number)
        sums[9] += rows
        if tokens_input or tokens_output or cost:
            sums[10] += tokens_input
            sums[11] += tokens_output
            sums[12] += cost

    def add(self, other: Delta) -> None:
        """Add another cell's sums, as into an hour those of its minutes."""
        greatest = max(self.sums[MAX], other.sums[MAX])
        self.sums = [mine + theirs for mine, theirs in zip(self.sums, other.sums, strict=True)]
        self.sums[MAX] = greatest
        self.bins += other.bins


def gather(rows: Iterable[Row]) -> dict[Cell, Delta]:
    """What the terminal ones among these executions' rows add."""
    minutes: dict[tuple[str, int], Delta] = {}
    hours: dict[tuple[int, str], Delta] = {}
    for row in rows:
        place = _PLACES.get(row[4])
        if place is not None:
            _count(row, place, minutes, hours)
    deltas = {Cell(HOUR, start, series): delta for (start, series), delta in hours.items()}
    for (kind, start), delta in minutes.items():
        for cell in _fine(kind, start):
            if cell not in deltas:
                deltas[cell] = Delta(delta.sample)
            deltas[cell].add(delta)
    return deltas


def _count(row: Row, place: int, minutes: dict[tuple[str, int], Delta], hours: dict[tuple[int, str], Delta]) -> None:
    measured = _measure(row)
    at = row[22]
    minute = (row[2], at - at % _MINUTE)
    delta = minutes.get(minute)
    if delta is None:
        delta = minutes[minute] = Delta(row)
    delta.count(place, measured)
    hour = at - at % _HOUR
    for series in _coarse(row[2], row[3], row[7], row[8], row[9]):
        delta = hours.get((hour, series))
        if delta is None:
            delta = hours[hour, series] = Delta(row)
        delta.count(place, measured)


def _measure(row: Row) -> tuple[int, int, int, int, int, int]:
    """Duration in µs, its bin (-1: unknown), rows, tokens in, tokens out and cost."""
    seconds = row[13]
    if seconds is None and row[11] is not None and row[12] is not None:
        seconds = max(row[12] - row[11], 0) / 1_000_000
    if seconds is None:
        return 0, -1, row[14] or 0, row[27] or 0, row[28] or 0, row[29] or 0
    micros = seconds * 1e6
    number = 0 if micros <= 1 else math.ceil(math.log(micros) / LOG_GAMMA)
    return int(micros + 0.5), number, row[14] or 0, row[27] or 0, row[28] or 0, row[29] or 0


@lru_cache(maxsize=65_536)
def _coarse(kind: str, namespace: str, subject: str | None, actor: str | None, engine: str | None) -> tuple[str, ...]:
    """The series kept by the hour alone, as `rollup.series_of` names them."""
    series: list[str] = []
    if subject:
        series.append(series_name("subject", kind, namespace, subject))
    if namespace:
        series.append(series_name("namespace", kind, namespace))
    if actor:
        series.append(series_name("actor", kind, actor, engine))
    if engine:
        series.append(series_name("engine", kind, engine))
    return tuple(series)


@lru_cache(maxsize=4_096)
def _fine(kind: str, start: int) -> tuple[Cell, ...]:
    """The cells that count what one kind did in one minute: its own and everybody's minute, hour and day."""
    return tuple(
        Cell(resolution, start - start % (resolution * SECOND), series)
        for series in (series_name("all"), series_name("kind", kind))
        for resolution in (MINUTE, HOUR, DAY)
    )
