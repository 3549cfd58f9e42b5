"""What a batch of executions adds to the statistics, cell by cell.

The cells and sums are those of `core.rollup`, reached from rows instead of executions and without a step more than
needed: this runs for every execution that is stored. tests/stores/test_sqlite_buckets.py holds it to `rollup.gather`.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from functools import lru_cache
from typing import NamedTuple

from execlog.core.model import Status
from execlog.core.rollup import DAY, FINE, HOUR, LOG_GAMMA, LONGEST_MICROS, MINUTE, series_name
from execlog.store.sqlite.rows import Row

SECOND = 1_000_000
STATUSES = (Status.SUCCEEDED, Status.PARTIAL, Status.FAILED, Status.TIMED_OUT, Status.CANCELLED, Status.CRASHED)
TIMED, DURATION, MAX = 6, 7, 8
WIDTH = 13
_PLACES: dict[str, int] = {status: place for place, status in enumerate(STATUSES)}
_MINUTE, _HOUR, _DAY = MINUTE * SECOND, HOUR * SECOND, DAY * SECOND
_FEW = 12
Measured = tuple[int, int, int, int, int, int, int, Row]
"""Of an execution: place of its status, µs, the bin of that (-1: unknown), rows, tokens in and out, cost; its row."""


class Cell(NamedTuple):
    """Which cell, in the order of the table's key."""

    resolution: int
    start: int
    series: str


class Delta(NamedTuple):
    """What is added to one cell.

    sums     the six statuses, timed, duration_micros, max_micros, rows, tokens_input, tokens_output, cost_nano
    bins     of the durations, one each
    sample   one of the executions' rows: what the series is about
    """

    sums: Sequence[int]
    bins: list[int]
    sample: Row

    def plus(self, other: Delta) -> Delta:
        """Both together, as an hour has what its minutes have."""
        sums = [mine + theirs for mine, theirs in zip(self.sums, other.sums, strict=True)]
        sums[MAX] = max(self.sums[MAX], other.sums[MAX])
        return Delta(sums, self.bins + other.bins, self.sample)


def gather(rows: Iterable[Row]) -> dict[Cell, Delta]:
    """What the terminal ones among these executions' rows add."""
    minutes: dict[tuple[str, int], list[Measured]] = {}
    hours: dict[int, dict[str, list[Measured]]] = {}
    for row in rows:
        place = _PLACES.get(row[4])
        if place is not None:
            _sort_in(row, _measure(row, place), minutes, hours)
    deltas: dict[tuple[int, int, str], Delta] = {}
    for hour, groups in hours.items():
        for series, group in groups.items():
            deltas[HOUR, hour, series] = delta = _sum(group)
            _put(deltas, (DAY, hour - hour % _DAY, series), delta)
    for (kind, start), group in minutes.items():
        delta = _sum(group)
        for cell in _fine(kind, start):
            _put(deltas, cell, delta)
    return deltas  # pyright: ignore[reportReturnType] - a plain tuple is equal to its Cell, and quicker made


def _put(deltas: dict[tuple[int, int, str], Delta], cell: tuple[int, int, str], delta: Delta) -> None:
    there = deltas.get(cell)
    deltas[cell] = delta if there is None else there.plus(delta)


def _sort_in(
    row: Row,
    measured: Measured,
    minutes: dict[tuple[str, int], list[Measured]],
    hours: dict[int, dict[str, list[Measured]]],
) -> None:
    at = row[22]
    minute = row[2], at - at % _MINUTE
    group = minutes.get(minute)
    if group is None:
        group = minutes[minute] = []
    group.append(measured)
    hour = at - at % _HOUR
    of_hour = hours.get(hour)
    if of_hour is None:
        of_hour = hours[hour] = {}
    for series in _coarse(row[2], row[3], row[7], row[8], row[9]):
        group = of_hour.get(series)
        if group is None:
            of_hour[series] = [measured]
        else:
            group.append(measured)


def _sum(group: Sequence[Measured]) -> Delta:
    if len(group) == 1:
        place, micros, number, rows, tokens_input, tokens_output, cost, row = group[0]
        sums = [0, 0, 0, 0, 0, 0, 1, micros, micros, rows, tokens_input, tokens_output, cost]
        sums[place] = 1
        if number < 0:
            sums[TIMED] = 0
            return Delta(sums, [], row)
        return Delta(sums, [number], row)
    return _sum_few(group) if len(group) < _FEW else _sum_many(group)


def _sum_few(group: Sequence[Measured]) -> Delta:
    sums = [0] * WIDTH
    bins: list[int] = []
    total = greatest = 0
    for place, micros, number, rows, tokens_input, tokens_output, cost, _ in group:
        sums[place] += 1
        if number >= 0:
            bins.append(number)
            total += micros
            greatest = max(greatest, micros)
        sums[9] += rows
        if tokens_input or tokens_output or cost:
            sums[10] += tokens_input
            sums[11] += tokens_output
            sums[12] += cost
    sums[6], sums[7], sums[8] = len(bins), total, greatest
    return Delta(sums, bins, group[0][7])


def _sum_many(group: Sequence[Measured]) -> Delta:
    places, durations, numbers, *rest, samples = zip(*group, strict=True)
    bins = [number for number in numbers if number >= 0]
    statuses = [places.count(place) for place in range(6)]
    sums = [*statuses, len(bins), sum(durations), max(durations), *map(sum, rest)]
    return Delta(sums, bins, samples[0])


def _measure(row: Row, place: int) -> Measured:
    seconds = row[13]
    if seconds is None:
        if row[11] is None or row[12] is None:
            return place, 0, -1, row[14] or 0, row[27] or 0, row[28] or 0, row[29] or 0, row
        seconds = max(row[12] - row[11], 0) / 1_000_000
    micros = seconds * 1e6
    number = 0 if micros <= 1 else math.ceil(math.log(micros) / LOG_GAMMA)
    micros = min(int(micros + 0.5), LONGEST_MICROS)
    return place, micros, number, row[14] or 0, row[27] or 0, row[28] or 0, row[29] or 0, row


@lru_cache(maxsize=65_536)
def _coarse(kind: str, namespace: str, subject: str | None, actor: str | None, engine: str | None) -> tuple[str, ...]:
    """The series kept by the hour and the day, as `rollup.series_of` names them."""
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
def _fine(kind: str, start: int) -> tuple[tuple[int, int, str], ...]:
    """The cells that count what one kind did in one minute: its own and everybody's, of every resolution."""
    return tuple(
        (resolution, start - start % (resolution * SECOND), series)
        for series in (series_name("all"), series_name("kind", kind))
        for resolution in FINE
    )
