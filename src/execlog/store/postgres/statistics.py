"""Statistics over executions: from cells where a series serves the question, else from the executions themselves."""

from __future__ import annotations

from collections.abc import Sequence

from execlog.core.filter import Filter
from execlog.core.model import OPEN, TERMINAL, Status
from execlog.core.rollup import LOG_GAMMA
from execlog.store.base import Group, GroupBy
from execlog.store.matching import only
from execlog.store.postgres.connection import Session
from execlog.store.postgres.query import ask
from execlog.store.postgres.settling import kinds_of, settle
from execlog.store.sql import queries
from execlog.store.sqlite.query import Bindings, Places, is_in, same_but
from execlog.store.sqlite.series import SERVED, SPANS, Series, Window, cut, resolutions, serving
from execlog.store.sqlite.sketches import DIGITS
from execlog.store.sqlite.statistics import FIRST, LAST, Tallies, group_of
from execlog.store.sqlite.tallying import SECOND

_SQL = queries("postgres", "statistics")
_READ, _FILTER = queries("postgres", "read"), queries("postgres", "filter")


def stats(session: Session, filter: Filter, group_by: GroupBy | None, *, sketches: bool = True) -> list[Group]:
    """Sums over the terminal executions, in one group or several."""
    tallies = Tallies()
    settled = settle(session, filter)
    if settled is None:
        return tallies.groups(group_by)
    narrowed, places = settled
    series = serving(narrowed, group_by, lambda: kinds_of(session), places)
    if series is None:
        session.plan_anew()
        _scan(session, narrowed, places, group_by, tallies)
        return tallies.groups(group_by)
    cells, edges = cut((narrowed.since, narrowed.until), resolutions(series, group_by))
    if cells:
        _sum_cells(session, series, cells, group_by, tallies, sketches=sketches)
    if edges:
        _scan(session, same_but(narrowed, since=None, until=None), places, group_by, tallies, edges)
    return tallies.groups(group_by)


def count(session: Session, filter: Filter) -> int:
    """How many executions the filter asks for: from cells where they tell, else counted."""
    if not only(filter, SERVED | {"statuses"}) or is_in(filter.statuses, OPEN):
        session.plan_anew()
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
        "resolutions": [resolution for resolution, _ in cells],
        **bounds([window for _, window in cells]),
        "lows": [entry.bounds[0] for entry in series],
        "highs": [entry.bounds[1] for entry in series],
        "sketches": sketches,
    }
    key = "key_series"
    if group_by in SPANS:
        key, bindings["span"] = "key_start", SPANS[group_by] * SECOND
    for name, *sums, texts in session.rows(_SQL["cells"].format(key=_SQL[key]), bindings):
        group = name if isinstance(name, int) else group_of(series[0], name)
        if group != "":
            tallies.add(group, sums, texts)


def bounds(windows: Sequence[Window]) -> Bindings:
    """Windows as statements take them."""
    return {
        "sinces": [FIRST if since is None else since for since, _ in windows],
        "untils": [LAST if until is None else until for _, until in windows],
    }


def _scan(
    session: Session,
    filter: Filter,
    places: Places,
    group_by: GroupBy | None,
    tallies: Tallies,
    windows: Sequence[Window] = (),
) -> None:
    """Add executions up one by one: what the filter lets through, in any of the windows where there are some."""
    question = ask(same_but(filter, sort="newest"), places=places)
    question.conditions.append(_FILTER["terminal"])
    parts = {"source": question.source, "where": question.where}
    if windows:
        parts = {"source": _FILTER["from_windows"].format(**parts), "where": "true"}
    key = _SQL["key_time" if group_by in SPANS else f"key_{group_by or 'none'}"]
    span = SPANS.get(group_by or "", 1) * SECOND
    bindings = {**question.bindings, **bounds(windows), "digits": DIGITS, "log_gamma": LOG_GAMMA, "span": span}
    for group, *sums, texts in session.rows(_SQL["executions"].format(key=key, **parts), bindings):
        if group_by is None or group not in {None, ""}:
            tallies.add(group, sums, texts)
