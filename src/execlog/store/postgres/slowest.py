"""The source in which the slowest executions are found, see `sqlite/slowest.py`."""

from __future__ import annotations

from collections.abc import Sequence

from execlog.core.filter import Filter
from execlog.store.postgres import statistics
from execlog.store.postgres.connection import Session
from execlog.store.postgres.query import Question
from execlog.store.postgres.settling import kinds_of
from execlog.store.postgres.statistics import bounds
from execlog.store.sql import queries
from execlog.store.sqlite.query import Bindings, Places, same_but
from execlog.store.sqlite.series import Window, serving
from execlog.store.sqlite.slowest import Slow, look

_SQL, _FILTER = queries("postgres", "read"), queries("postgres", "filter")


def source(session: Session, filter: Filter, places: Places, question: Question, bindings: Bindings) -> Slow | None:
    """What to select a page from; None where all executions are to be sorted."""
    counted = same_but(filter, min_duration=None)
    series = serving(counted, None, lambda: kinds_of(session), places)
    if not series:
        return None
    lows, highs = map(list, zip(*(entry.bounds for entry in series), strict=True))

    def reaching(resolution: int, windows: Sequence[Window], micros: int) -> Sequence[tuple[int, int]]:
        asked = {"resolution": resolution, "lows": lows, "highs": highs, "micros": micros, **bounds(windows)}
        return [(start, number) for start, number in session.rows(_SQL["cells_reaching"], asked)]

    bucket = statistics.stats(session, counted, None)[0].bucket
    found = look(filter, series, bucket, bindings, reaching)
    if found is None:
        return None
    windows, least = found
    parts = {"source": question.source, "where": question.where}
    sql = _FILTER["from_slow"].format(**parts, windows=_FILTER["from_windows"].format(**parts), open=_FILTER["open"])
    return Slow(sql, {**bindings, **bounds(windows), "least": least}, least)
