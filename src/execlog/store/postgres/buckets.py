"""The statistics cells: adding what a batch brings, and taking executions out again (as store/sqlite/buckets.py)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from execlog.core.rollup import LONGEST_MICROS, SEPARATOR, Sketch, finer_than
from execlog.store.postgres.connection import Session
from execlog.store.sql import queries
from execlog.store.sqlite.buckets import corrected, corrected_sketch
from execlog.store.sqlite.rows import Row
from execlog.store.sqlite.sketches import appended, compact, take_in
from execlog.store.sqlite.tallying import MAX, SECOND, TIMED, WIDTH, Cell, Delta, gather

_LONG_TAIL = 2_000
_SQL = queries("postgres", "buckets")


def add(session: Session, deltas: Mapping[Cell, Delta]) -> None:
    """Add to the cells what `tallying.gather` found."""
    if not deltas:
        return
    cells = [(*cell, *deltas[cell].sums, appended(deltas[cell].bins)) for cell in sorted(deltas)]
    long = session.rows(_SQL["add_cells"], {**_columns(cells), "limit": _LONG_TAIL})
    if long:
        session.run(_SQL["shorten_cells"], _columns([(*cell, _compacted(text)) for *cell, text in long]))


def correct(session: Session, gone: Sequence[Row], come: Sequence[Row]) -> None:
    """Take the executions of the rows `gone` out and put those of `come` in; the executions' table says so already."""
    minus, plus = gather(gone), gather(come)
    cells = sorted(minus.keys() | plus.keys())
    if not cells:
        return
    places = _columns(cells)
    current = {tuple(row[:3]): row[3:] for row in session.rows(_SQL["cells_of"], places)}
    kept: list[Row] = []
    lost: list[Cell] = []
    for cell in cells:
        was = current.get(tuple(cell), (*[0] * WIDTH, "+"))
        sums = corrected(was, minus.get(cell), plus.get(cell))
        if not any(sums[:TIMED]):
            continue
        if cell in minus and sums[MAX] <= minus[cell].sums[MAX]:
            lost.append(cell)
        kept.append((*cell, *sums, corrected_sketch(str(was[-1]), minus.get(cell), plus.get(cell))))
    session.run(_SQL["take_out_cells"], places)
    session.copy(_SQL["copy_cells"], kept)
    for cell in lost:
        _find_maximum(session, Cell(*cell), minus[cell].sample)


def _find_maximum(session: Session, cell: Cell, sample: Row) -> None:
    """Look a cell's maximum up: in the finer cells it is made of, else in its executions. Finer ones come first."""
    bindings: dict[str, Any] = {"since": cell.start, "until": cell.start + cell.resolution * SECOND}
    finer = finer_than(cell.resolution, cell.series)
    if finer is not None:
        greatest = session.value(_SQL["greatest_of_finer"], bindings | {"resolution": finer, "series": cell.series})
    else:
        dimension = cell.series.partition(SEPARATOR)[0]
        about = {
            "kind": sample[2],
            "namespace": sample[3],
            "subject": sample[7],
            "actor": sample[8],
            "engine": sample[9],
        }
        sql = _SQL["greatest"].format(where=_SQL[f"in_{dimension}"])
        greatest = min(int((session.value(sql, bindings | about) or 0) * 1e6 + 0.5), LONGEST_MICROS)
    session.run(_SQL["set_maximum"], {**cell._asdict(), "greatest": greatest})


def _columns(rows: Sequence[Sequence[Any]]) -> dict[str, list[Any]]:
    return {f"c{place}": list(column) for place, column in enumerate(zip(*rows, strict=True))}


def _compacted(text: str) -> str:
    sketch = Sketch()
    take_in(sketch, text)
    return compact(sketch)
