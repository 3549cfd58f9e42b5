"""Statistics that are added up as executions end: buckets, and a mergeable sketch of their durations.

A bucket is one cell of one series (everything, a kind, a subject, a namespace, an actor on an engine, an engine) over
one hour or day of `created_at`; of everything and of a kind also over a minute, ten minutes and six hours, because most
cells of a window lie at its two edges. Only terminal executions count. Everything summed is an integer, so that
buckets are the same whether built in one batch or in any split. Counts are taken out again by subtraction; a maximum
has no inverse, so a store looks it up again where the execution taken out was the greatest.

The sketch is DDSketch (Masson, Rim, Lee: "DDSketch: a fast and fully-mergeable quantile sketch with relative-error
guarantees", VLDB 2019) with logarithmic bins of relative error α = 1 %.
"""

from __future__ import annotations

import math
from array import array
from bisect import bisect_left
from collections.abc import Iterable, Iterator, Sequence
from functools import lru_cache
from itertools import accumulate
from typing import NamedTuple

import msgspec
from msgspec import Struct

from execlog.core.errors import CodecError
from execlog.core.model import TERMINAL, Execution, Status

ALPHA = 0.01
_GAMMA = (1 + ALPHA) / (1 - ALPHA)
LOG_GAMMA = math.log(_GAMMA)
_SPARSE, _DENSE = b"\0", b"\1"
_DENSE_BELOW, _SETTLE_AFTER = 2**20, 2**12 - 1
_HIGHEST = 2**12 - 1
"""No duration is in a higher bin: sketches at rest write a bin with two of 64 digits."""
_ROUNDING = 1e-6
"""What a product of a share and a count may be too great by: 0.07 · 100 is a little more than 7."""
_THREE_BYTES = 2**8
_LONGER = 2
"""How much longer than the sparse form the dense one may be, which is merged ten times as fast."""

MINUTE, TEN_MINUTES, HOUR, SIX_HOURS, DAY = 60, 600, 3_600, 21_600, 86_400
SEPARATOR = "\x1f"
LONGEST_MICROS = 10**15
"""No duration counts for more than 31 years, so that thousands of any add up within 64 bits."""

COARSE, FINE = (HOUR, DAY), (MINUTE, TEN_MINUTES, HOUR, SIX_HOURS, DAY)


def bin_of(seconds: float) -> int:
    """The number of the bin a duration falls into; 0 is one microsecond and below."""
    micros = seconds * 1e6
    return 0 if micros <= 1 else math.ceil(math.log(micros) / LOG_GAMMA)


@lru_cache(maxsize=4096)
def value_of(number: int) -> float:
    """The duration in seconds that stands for a bin: within 1 % of every duration in it."""
    return 0.0 if number <= 0 else 2 * _GAMMA ** min(number, _HIGHEST) / (_GAMMA + 1) / 1e6


class Sketch:
    """How durations are distributed: counts by bin. Merging adds counts, so order and grouping do not matter."""

    __slots__ = ("_dense", "_merged", "bins")

    def __init__(self, bins: dict[int, int] | None = None) -> None:
        self.bins: dict[int, int] = bins if bins is not None else {}
        self._dense = 0
        self._merged = 0

    def add(self, number: int, times: int = 1) -> None:
        """Count a bin `times` more."""
        self.bins[number] = self.bins.get(number, 0) + times

    def merge(self, encoded: bytes) -> None:
        """Take in an encoded sketch. Raises CodecError for bytes that are none."""
        kind, body = encoded[:1], encoded[1:]
        if kind == _DENSE:
            # Counts in 32-bit lanes of one big integer: merging a thousand bins is a single addition. No lane can run
            # over into the next: each count is below _DENSE_BELOW, and they are settled in time.
            offset = int.from_bytes(body[:2], "little")
            self._dense += int.from_bytes(body[2:], "little") << (32 * offset)
            self._merged += 1
            if self._merged >= _SETTLE_AFTER:
                self._settle()
        elif kind == _SPARSE:
            bins = self.bins
            for number, times in msgspec.msgpack.decode(body, type=dict[int, int]).items():
                bins[number] = bins.get(number, 0) + times
        else:
            message = f"sketch format {kind!r} is unknown here"
            raise CodecError(message)

    def encode(self) -> bytes:
        """The sketch as bytes, the same for equal sketches."""
        lanes = self._lanes()
        if lanes is not None:
            raw = lanes.tobytes()
            low = (len(raw) - len(raw.lstrip(b"\0"))) // 4
            width, filled = len(lanes) - low, len(lanes) - lanes.count(0)
            # Such a bin takes the sparse form four bytes or more, of which its number alone takes three.
            if low >= _THREE_BYTES and 4 * width + 3 <= _LONGER * 4 * filled and max(lanes) < _DENSE_BELOW:
                return _DENSE + low.to_bytes(2, "little") + raw[4 * low :]
        self._settle()
        if not self.bins:
            return b""
        low, high = min(self.bins), max(self.bins)
        sparse = _SPARSE + msgspec.msgpack.encode(dict(sorted(self.bins.items())))
        if 4 * (high - low + 1) + 3 > _LONGER * len(sparse) or max(self.bins.values()) >= _DENSE_BELOW:
            return sparse
        lanes = array("I", bytes(4 * (high - low + 1)))
        for number, times in self.bins.items():
            lanes[number - low] = times
        return _DENSE + low.to_bytes(2, "little") + lanes.tobytes()

    def counts(self) -> dict[int, int]:
        """How many durations lie in each bin."""
        self._settle()
        return self.bins

    def quantiles(self, *shares: float) -> list[float | None]:
        """The durations in seconds that these shares (0 to 1) do not exceed, within 1 %; None for an empty sketch.

        By nearest rank: of n durations the one at place ceil(share · n), so that "95 % within" is true of few as well.
        """
        numbers: Sequence[int]
        lanes = self._lanes()
        if lanes is not None:
            numbers, totals = range(len(lanes)), list(accumulate(lanes))
        else:
            self._settle()
            numbers = sorted(self.bins)
            totals = list(accumulate(self.bins[number] for number in numbers))
        if not totals or not totals[-1]:
            return [None for _ in shares]
        places = [max(1, math.ceil(share * totals[-1] - _ROUNDING)) for share in shares]
        return [value_of(numbers[min(bisect_left(totals, place), len(totals) - 1)]) for place in places]

    def _lanes(self) -> array[int] | None:
        """The counts from bin 0 to the last that has one, where they are in that form but for what is easily added."""
        if not self._dense:
            return None
        lanes = array("I", self._dense.to_bytes(-(-self._dense.bit_length() // 32) * 4, "little"))
        bins = self.bins
        if bins:
            # Of bytes that were damaged there may be any number, anywhere.
            if min(bins) < 0 or max(bins) > _HIGHEST or min(bins.values()) < 0 or sum(bins.values()) >= _DENSE_BELOW:
                return None
            lanes.extend([0] * (max(bins) + 1 - len(lanes)))
            for number, times in bins.items():
                lanes[number] += times
        return lanes

    def _settle(self) -> None:
        if not self._dense:
            return
        lanes = array("I", self._dense.to_bytes(-(-self._dense.bit_length() // 32) * 4, "little"))
        self._dense = self._merged = 0
        bins = {number: times for number, times in enumerate(lanes) if times}
        for number, times in self.bins.items():
            bins[number] = bins.get(number, 0) + times
        self.bins = bins


class Cell(NamedTuple):
    """Which bucket: the series' name, seconds per cell, and the cell's start (UTC µs)."""

    series: str
    resolution: int
    start: int


class Bucket(Struct, kw_only=True):
    """What the executions of one cell (or of several, merged) come to.

    duration_micros and max_micros are over the `timed` executions whose duration is known; cost_nano is in 10⁻⁹ USD.
    """

    succeeded: int = 0
    partial: int = 0
    failed: int = 0
    timed_out: int = 0
    cancelled: int = 0
    crashed: int = 0
    timed: int = 0
    duration_micros: int = 0
    max_micros: int = 0
    rows: int = 0
    tokens_input: int = 0
    tokens_output: int = 0
    cost_nano: int = 0
    sketch: bytes = b""

    @property
    def total(self) -> int:
        """How many executions ended."""
        return self.succeeded + self.partial + self.failed + self.timed_out + self.cancelled + self.crashed

    @property
    def success_rate(self) -> float:
        """Succeeded in percent of all, 0.0 over nothing; partial is not success."""
        return 100.0 * self.succeeded / self.total if self.total else 0.0

    @property
    def mean_seconds(self) -> float | None:
        """The mean duration; None where none is known."""
        return self.duration_micros / self.timed / 1e6 if self.timed else None


SUMS = tuple(name for name in Bucket.__struct_fields__ if name not in {"max_micros", "sketch"})


def series_name(dimension: str, *parts: str | None) -> str:
    """The name of a series: its dimension and what it is about, joined by a separator no name contains."""
    return SEPARATOR.join((dimension, *((part or "").replace(SEPARATOR, " ") for part in parts)))


def resolutions_of(series: str) -> tuple[int, ...]:
    """The resolutions (seconds) kept of the series of this name, finest first."""
    return FINE if series.partition(SEPARATOR)[0] in {"all", "kind"} else COARSE


def finer_than(resolution: int, series: str) -> int | None:
    """The resolution of the cells that a series' cells of this one are made of; None for its finest."""
    kept = resolutions_of(series)
    place = kept.index(resolution)
    return kept[place - 1] if place else None


def series_of(execution: Execution) -> Iterator[str]:
    """The series an execution counts in."""
    kind, namespace = execution.kind, execution.namespace
    yield series_name("all")
    yield series_name("kind", kind)
    if execution.subject:
        yield series_name("subject", kind, namespace, execution.subject)
    if namespace:
        yield series_name("namespace", kind, namespace)
    if execution.actor:
        yield series_name("actor", kind, execution.actor, execution.engine)
    if execution.engine:
        yield series_name("engine", kind, execution.engine)


def cells_of(execution: Execution) -> list[Cell]:
    """The cells a terminal execution counts in; none for an open one."""
    if execution.status not in TERMINAL:
        return []
    at = execution.created_at
    return [
        Cell(series, resolution, at - at % (resolution * 1_000_000))
        for series in series_of(execution)
        for resolution in resolutions_of(series)
    ]


def tally(bucket: Bucket, sketch: Sketch, execution: Execution) -> None:
    """Count a terminal execution into a bucket and its (still unencoded) sketch."""
    status = execution.status.value
    setattr(bucket, status, getattr(bucket, status) + 1)
    seconds = execution.seconds
    if seconds is not None:
        # Halves up: what every database's arithmetic can say too.
        micros = min(int(seconds * 1e6 + 0.5), LONGEST_MICROS)
        bucket.timed += 1
        bucket.duration_micros += micros
        bucket.max_micros = max(bucket.max_micros, micros)
        sketch.add(bin_of(seconds))
    bucket.rows += execution.rows or 0
    if execution.usage:
        tokens_input, tokens_output = execution.tokens
        bucket.tokens_input += tokens_input
        bucket.tokens_output += tokens_output
        bucket.cost_nano += execution.cost_nano or 0


def gather(executions: Iterable[Execution]) -> dict[Cell, Bucket]:
    """The buckets of these executions, each counted once."""
    open_cells: dict[Cell, tuple[Bucket, Sketch]] = {}
    for execution in executions:
        for cell in cells_of(execution):
            if cell not in open_cells:
                open_cells[cell] = Bucket(), Sketch()
            tally(*open_cells[cell], execution)
    return {
        cell: msgspec.structs.replace(bucket, sketch=sketch.encode()) for cell, (bucket, sketch) in open_cells.items()
    }


def merge(buckets: Iterable[Bucket]) -> Bucket:
    """One bucket that is the sum of these."""
    merged, sketch = Bucket(), Sketch()
    for bucket in buckets:
        for name in SUMS:
            setattr(merged, name, getattr(merged, name) + getattr(bucket, name))
        merged.max_micros = max(merged.max_micros, bucket.max_micros)
        if bucket.sketch:
            sketch.merge(bucket.sketch)
    merged.sketch = sketch.encode()
    return merged


def quantiles(bucket: Bucket, *shares: float) -> list[float | None]:
    """Durations in seconds that these shares of a bucket do not exceed, by nearest rank, within 1 %.

    None where none is known.
    """
    sketch = Sketch()
    if bucket.sketch:
        sketch.merge(bucket.sketch)
    return sketch.quantiles(*shares)


def status_counts(bucket: Bucket) -> dict[Status, int]:
    """How many executions ended in each terminal status."""
    return {status: getattr(bucket, status.value) for status in Status if status in TERMINAL}
