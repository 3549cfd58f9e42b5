"""Statistics over executions: from cells where a series serves the question, else from the executions themselves.

A window is cut into whole cells, and what is left at its two edges is read from the executions, so that the sums are
exact to the microsecond. An open end has no edge. So are the newest few that the cells do not count yet (`summing`).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import cast

import msgspec

from execlog.core.errors import CodecError
from execlog.core.filter import Filter
from execlog.core.model import OPEN, TERMINAL, Status
from execlog.core.rollup import LOG_GAMMA, LONGEST_MICROS, SEPARATOR, Bucket, Sketch
from execlog.store.base import Group, GroupBy
from execlog.store.matching import only
from execlog.store.sql import queries
from execlog.store.sqlite.connection import Session
from execlog.store.sqlite.query import Bindings, Places, ask, is_in, same_but
from execlog.store.sqlite.series import SERVED, SPANS, Series, Window, cut, resolutions, serving
from execlog.store.sqlite.settling import kinds_of, settle
from execlog.store.sqlite.sketches import DIGITS, take_in
from execlog.store.sqlite.tallying import MAX, SECOND, STATUSES

_SQL = queries("sqlite", "statistics")
_READ = queries("sqlite", "read")
_FILTER = queries("sqlite", "filter")
FIRST, LAST = -(2**62), 2**62
_MANY_STARTS = 1_000
_NAMES = (
    *(status.value for status in STATUSES), "timed", "duration_micros", "max_micros", "rows", "tokens_input",
    "tokens_output", "cost_nano",
)  # fmt: skip
_Key = str | int | None
_decode_groups = msgspec.json.Decoder(list[tuple[str | int | None, list[int], str]]).decode


class Tallies:
    """Sums by group, and the sketches at rest that belong to them: those are merged all at once, at the end."""

    def __init__(self) -> None:
        self._groups: dict[_Key, tuple[Bucket, list[str]]] = {}

    def add(self, key: _Key, sums: Sequence[int], texts: str) -> None:
        """Add sums, in the order of a cell's columns, and sketches at rest with spaces between them to a group's."""
        there = self._groups.get(key)
        if there is None:
            there = self._groups[key] = Bucket(), []
        bucket, sketches = there
        for place, name in enumerate(_NAMES):
            if place == MAX:
                bucket.max_micros = max(bucket.max_micros, sums[place])
            elif sums[place]:
                setattr(bucket, name, cast("int", getattr(bucket, name)) + sums[place])
        sketches.append(texts)

    def groups(self, group_by: GroupBy | None) -> list[Group]:
        """The groups, in order; over everything there is one even where nothing was counted."""
        if group_by is None:
            self._groups.setdefault(None, (Bucket(), []))
        for bucket, sketches in self._groups.values():
            sketch = Sketch()
            take_in(sketch, " ".join(sketches))
            bucket.sketch = sketch.encode()
        keys = sorted(self._groups, key=lambda key: (key is not None, key))
        return [Group(key, self._groups[key][0]) for key in keys if group_by is None or self._groups[key][0].total]


def stats(session: Session, filter: Filter, group_by: GroupBy | None, *, sketches: bool = True) -> list[Group]:
    """Sums over the terminal executions, in one group or several."""
    tallies = Tallies()
    settled = settle(session, filter)
    if settled is None:
        return tallies.groups(group_by)
    narrowed, places = settled
    series = serving(narrowed, group_by, lambda: kinds_of(session), places)
    if series is None:
        _scan(session, narrowed, places, group_by, tallies)
        return tallies.groups(group_by)
    cells, edges = cut((narrowed.since, narrowed.until), resolutions(series, group_by))
    _sum_cells(session, series, cells, group_by, tallies, sketches=sketches)
    for since, until in edges:
        _scan(session, same_but(narrowed, since=since, until=until), places, group_by, tallies, part="summed")
    _scan(session, narrowed, places, group_by, tallies, part="tail")
    return tallies.groups(group_by)


def count(session: Session, filter: Filter) -> int:
    """How many executions the filter asks for: from cells where they tell, else counted."""
    if not only(filter, SERVED | {"statuses"}) or is_in(filter.statuses, OPEN):
        return _count(session, filter)
    statuses = filter.statuses or tuple(Status)
    ended = stats(session, same_but(filter, statuses=()), None, sketches=False)[0].bucket
    known = sum(getattr(ended, status.value) for status in set(statuses) & TERMINAL)
    unfinished = tuple(status for status in statuses if status in OPEN)
    return known + (_count(session, same_but(filter, statuses=unfinished)) if unfinished else 0)


def _count(session: Session, filter: Filter) -> int:
    settled = settle(session, filter)
    if settled is None:
        return 0
    question = ask(settled[0], places=settled[1])
    sql = _READ["count"].format(source=question.source, where=question.where)
    return session.value(sql, question.bindings)


def _sum_cells(
    session: Session,
    series: Sequence[Series],
    cells: Sequence[tuple[int, Window]],
    group_by: GroupBy | None,
    tallies: Tallies,
    *,
    sketches: bool,
) -> None:
    bindings: Bindings = {
        "windows": [_starts(resolution, window) for resolution, window in cells],
        "series": [entry.bounds for entry in series],
        "sketches": sketches,
    }
    key = "key_series"
    if group_by in SPANS:
        key, bindings["span"] = "key_start", SPANS[group_by] * SECOND
    for name, sums, texts in _decode_groups(session.value(_SQL["cells"].format(key=_SQL[key]), bindings)):
        group = group_of(series[0], name) if isinstance(name, str) else name
        if group != "":
            tallies.add(group, sums, texts)


def _starts(resolution: int, window: Window) -> tuple[int, int, int, bool]:
    """A window as the statement takes it, and whether it is a long one."""
    since, until = (FIRST if window[0] is None else window[0]), (LAST if window[1] is None else window[1])
    return resolution, since, until, until - since > _MANY_STARTS * resolution * SECOND


def group_of(series: Series, name: str) -> str | None:
    """The group that cells of this name belong to: None for the one over everything, "" for none. Raises CodecError."""
    parts = name.split(SEPARATOR)
    if len(parts) <= max(series.part or 0, series.wanted[0] if series.wanted else 0):
        raise CodecError(f"not the name of a series: {name!r:.60}")
    if series.wanted is not None and parts[series.wanted[0]] != series.wanted[1]:
        return ""
    return None if series.part is None else parts[series.part]


def _scan(
    session: Session, filter: Filter, places: Places, group_by: GroupBy | None, tallies: Tallies, *, part: str = ""
) -> None:
    """Add executions up one by one; `part` of them, "summed" or "tail", are those the cells count and those beyond."""
    question = ask(same_but(filter, sort="newest"), places=places)
    question.conditions.append(_FILTER["terminal"])
    if part:
        question.conditions.append(_FILTER[part])
    if part == "tail":
        question.source = _FILTER["from_tail"]
    key = _SQL["key_time" if group_by in SPANS else f"key_{group_by or 'none'}"]
    sql = _SQL["executions"].format(key=key, source=question.source, where=question.where)
    bindings = {
        **question.bindings,
        "digits": DIGITS,
        "log_gamma": LOG_GAMMA,
        "longest": LONGEST_MICROS,
        "span": SPANS.get(group_by or "", 1) * SECOND,
    }
    for group, sums, texts in _decode_groups(session.value(sql, bindings)):
        if group_by is None or group not in {None, ""}:
            tallies.add(group, sums, texts)
