"""Statistics beside the executions they are the sums of: these are added up anew, day by day, and compared.

What is found wrong was damaged, or written by other hands. The statements of a database have the same names, bindings
and columns. A day is one transaction, so that nobody waits for long, and all of it is of one moment.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from typing import Any

import msgspec
from msgspec import Struct

from execlog.core.clock import iso
from execlog.core.errors import CodecError
from execlog.core.rollup import DAY, FINE, HOUR, SEPARATOR, Sketch
from execlog.store.sql_pairs import Session, Statements, Transaction
from execlog.store.sqlite.sketches import PAIRS, appended, compact, take_in
from execlog.store.sqlite.tallying import SECOND, WIDTH, Cell, Delta, gather

Progress = Callable[[int, int], None]
"""How many days of how many are done."""
_Counted = tuple[
    int, None, str, str, str, None, None, str | None, str | None, str | None, None, int | None, int | None,
    float | None, int | None, None, None, None, None, None, None, None, int, None, None, None, None, int | None,
    int | None, int | None
]  # fmt: skip
_Kept = tuple[int, str, int, int, int, int, int, int, int, int, int, int, int, int, int, str]
"""What is read is checked against these: in a damaged file a column may have values of any type."""
_DAY, _HOUR = DAY * SECOND, HOUR * SECOND
_MOST = 2**63 - 1
_HIGHEST = len(PAIRS) - 1
_SHOWN = 3
_SPANS = {60: "minute", 600: "ten minutes", 3_600: "hour", 21_600: "six hours", 86_400: "day"}


class Recount(Struct, frozen=True, kw_only=True):
    """How many sums were compared with the executions, how many are not as these say, and a few of those in words."""

    compared: int = 0
    wrong: int = 0
    examples: tuple[str, ...] = ()

    def plus(self, compared: int, wrong: Sequence[Cell]) -> Recount:
        """With another day's."""
        examples = (*self.examples, *map(described, wrong[: _SHOWN - len(self.examples)]))
        return Recount(compared=self.compared + compared, wrong=self.wrong + len(wrong), examples=examples)


class Day(Struct, frozen=True):
    """A day's cells as they are kept, and as its executions add up."""

    kept: dict[Cell, tuple[Any, ...]]
    right: dict[Cell, Delta]

    def wrong(self) -> list[Cell]:
        """Those that are not the same, in order."""
        return sorted(cell for cell in self.kept.keys() | self.right.keys() if not self._agrees(cell))

    def _agrees(self, cell: Cell) -> bool:
        kept, right = self.kept.get(cell), self.right.get(cell)
        if kept is None or right is None:
            return False
        if kept[:WIDTH] != _sums(right):
            return False
        return kept[WIDTH] == appended(right.bins) or _counts(kept[WIDTH]) == _bins(right)


def recount(
    statements: Statements, *, read: Transaction, write: Transaction, mend: bool, progress: Progress | None = None
) -> Recount:
    """What was found; with `mend`, what was wrong is as the executions say now."""
    with read() as session:
        resolutions = sorted({*FINE, *_integers(session.rows(statements["resolutions"]))})
        days = _days(session, statements, resolutions)
    found = Recount()
    for number, start in enumerate(days, 1):
        with read() as session:
            day = _added_up(session, statements, start, resolutions)
        wrong = day.wrong()
        if wrong and mend:
            with write() as session:
                day = _added_up(session, statements, start, resolutions)
                wrong = day.wrong()
                _mend(session, statements, day, wrong)
        found = found.plus(len(day.kept.keys() | day.right.keys()), wrong)
        if progress is not None:
            progress(number, len(days))
    return found


def described(cell: Cell) -> str:
    """Which sum it is, in words."""
    resolution, start, series = cell
    span = _SPANS.get(resolution, f"{resolution} s")
    try:
        begin = iso(start)
    except OverflowError:  # a damaged one is in no year
        begin = f"{start} µs"
    return f"{series.replace(SEPARATOR, ' ')}, {span} from {begin}"


def _days(session: Session, statements: Statements, resolutions: Sequence[int]) -> list[int]:
    """The starts of the days that have executions or cells, whatever a damaged one says of its length or its time."""
    found = set(_integers(session.rows(statements["days_of_executions"])))
    for resolution in resolutions:
        found.update(_integers(session.rows(statements["days_of_cells"], {"resolution": resolution})))
    return sorted(found)


def _added_up(session: Session, statements: Statements, start: int, resolutions: Sequence[int]) -> Day:
    right: dict[Cell, Delta] = {}
    for since in range(start, start + _DAY, _HOUR):
        bindings = {"since": since, "until": since + _HOUR}
        rows = msgspec.convert(session.rows(statements["counted"], bindings), list[_Counted])
        for cell, delta in gather(rows).items():
            there = right.get(cell)
            right[cell] = delta if there is None else there.plus(delta)
    kept: dict[Cell, tuple[Any, ...]] = {}
    for resolution in resolutions:
        bindings = {"resolution": resolution, "since": start, "until": start + _DAY}
        for at, series, *values in msgspec.convert(session.rows(statements["kept"], bindings), list[_Kept]):
            kept[Cell(resolution, at, series)] = tuple(values)
    return Day(kept, right)


def _integers(rows: Sequence[tuple[Any, ...]]) -> list[int]:
    return [value for (value,) in msgspec.convert(rows, list[tuple[int]])]


def _mend(session: Session, statements: Statements, day: Day, wrong: Sequence[Cell]) -> None:
    for resolution, start, series in wrong:
        place = {"resolution": resolution, "start": start, "series": series}
        session.run(statements["drop"], place)
        delta = day.right.get(Cell(resolution, start, series))
        if delta is not None:
            values = {f"v{number}": value for number, value in enumerate(_sums(delta))}
            session.run(statements["put"], {**place, **values, "sketch": compact(Sketch(dict(_bins(delta))))})


def _sums(delta: Delta) -> tuple[int, ...]:
    """As they are kept: the greatest integer is where a sum ends."""
    return tuple(min(value, _MOST) for value in delta.sums)


def _bins(delta: Delta) -> Counter[int]:
    return Counter(min(number, _HIGHEST) for number in delta.bins)


def _counts(text: str) -> dict[int, int] | None:
    """How many durations a sketch at rest has in each bin; None for text that is none."""
    sketch = Sketch()
    try:
        take_in(sketch, text)
        return {number: times for number, times in sketch.counts().items() if times}
    except CodecError:
        return None
