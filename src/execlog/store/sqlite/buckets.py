"""The statistics cells: adding what a batch brings, and taking executions out again.

Sums and sketches are counts, so an execution that changes or goes is taken out by counting it negatively. Only a
maximum has no inverse: where the execution taken out was the greatest, the maximum is looked up again.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

import msgspec

from execlog.core.rollup import LONGEST_MICROS, SEPARATOR, Sketch, finer_than
from execlog.store.sql import queries
from execlog.store.sqlite.connection import Session
from execlog.store.sqlite.rows import Row
from execlog.store.sqlite.sketches import appended, compact, take_in
from execlog.store.sqlite.tallying import MAX, SECOND, TIMED, WIDTH, Cell, Delta, gather

_LONG_TAIL, _LONG_TAIL_OVER = 4_000, 1_000
"""Characters appended to a sketch until it is made compact, and what is left so when its hour or day is over: reading a
compact one takes as long as 100 durations, whatever it holds."""

_SQL = queries("sqlite", "buckets")
_ADD = _SQL["add_cells"].format(source=_SQL["cells_given"])
_decode_rows = msgspec.json.Decoder(list[list[int | str]]).decode


def add(session: Session, rows: Sequence[Row]) -> None:
    """Count the executions of these rows, those of them that have ended."""
    deltas = gather(rows)
    if deltas:
        session.run(_ADD, {"rows": [(*cell, *delta.sums, appended(delta.bins)) for cell, delta in deltas.items()]})


def shorten(session: Session, *, after: int, until: int) -> None:
    """Make the sketches compact that much was appended to, of the cells which executions (after, until] count in."""
    limits = {"limit": _LONG_TAIL, "limit_over": _LONG_TAIL_OVER}
    found = session.value(_SQL["long_sketches"], {"after": after, "until": until, **limits})
    rows = [(*cell, *(0,) * WIDTH, _compacted(str(text))) for *cell, text in _decode_rows(found)]
    if rows:
        session.run(_ADD, {"rows": rows})


def correct(session: Session, gone: Sequence[Row], come: Sequence[Row]) -> None:
    """Take the executions of the rows `gone` out and put those of `come` in; the executions' table says so already."""
    minus, plus = gather(gone), gather(come)
    cells = sorted(minus.keys() | plus.keys())
    found = session.value(_SQL["cells_of"], {"cells": cells})
    current = {Cell(*row[:3]): row[3:] for row in _decode_rows(found)}  # pyright: ignore[reportArgumentType] - the first three are a cell's
    kept: list[Row] = []
    empty: list[Cell] = []
    lost: list[Cell] = []
    for cell in cells:
        was = current.get(cell, [*[0] * WIDTH, "+"])
        sums = corrected(was, minus.get(cell), plus.get(cell))
        if not any(sums[:TIMED]):
            empty.append(cell)
            continue
        if cell in minus and sums[MAX] <= minus[cell].sums[MAX]:
            lost.append(cell)
        kept.append((*cell, *sums, corrected_sketch(str(was[-1]), minus.get(cell), plus.get(cell))))
    session.run(_SQL["put_cells"], {"rows": kept})
    session.run(_SQL["delete_cells"], {"cells": empty})
    for cell in lost:
        _find_maximum(session, Cell(*cell), minus[cell].sample)


def _compacted(text: str) -> str:
    sketch = Sketch()
    take_in(sketch, text)
    return compact(sketch)


def corrected(was: Sequence[int | str], minus: Delta | None, plus: Delta | None) -> list[int]:
    """A cell's sums with one delta taken out and another put in; a maximum that may have gone stays for now."""
    sums = [int(value) for value in was[:WIDTH]]
    greatest = max(sums[MAX], plus.sums[MAX] if plus else 0)
    for sign, delta in ((-1, minus), (1, plus)):
        if delta is not None:
            sums = [value + sign * change for value, change in zip(sums, delta.sums, strict=True)]
    sums[MAX] = greatest
    return sums


def corrected_sketch(text: str, minus: Delta | None, plus: Delta | None) -> str:
    """A cell's sketch with one delta's durations taken out and another's put in, compact."""
    sketch = Sketch()
    take_in(sketch, text)
    for sign, delta in ((-1, minus), (1, plus)):
        for number, times in Counter(delta.bins if delta else ()).items():
            sketch.add(number, sign * times)
    return compact(Sketch({number: times for number, times in sketch.counts().items() if times > 0}))


def _find_maximum(session: Session, cell: Cell, sample: Row) -> None:
    """Look a cell's maximum up: in the finer cells it is made of, else in its executions. Finer ones come first."""
    window = {"since": cell.start, "until": cell.start + cell.resolution * SECOND}
    finer = finer_than(cell.resolution, cell.series)
    if finer is not None:
        bindings = {**window, "resolution": finer, "series": cell.series}
        greatest = session.value(_SQL["greatest_of_finer"], bindings)
    else:
        dimension = cell.series.partition(SEPARATOR)[0]
        about = {
            "kind": sample[2],
            "namespace": sample[3],
            "subject": sample[7],
            "actor": sample[8],
            "engine": sample[9],
        }
        sql = _SQL[f"greatest_of_{dimension}"]
        bindings = window | {name: value for name, value in about.items() if f":{name}" in sql}
        greatest = min(int((session.value(sql, bindings) or 0) * 1e6 + 0.5), LONGEST_MICROS)
    session.run(_SQL["set_maximum"], {**cell._asdict(), "greatest": greatest})
