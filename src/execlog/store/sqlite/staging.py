"""New rows on their way into their table: first into one in memory, many to a statement, then over by one statement.

A statement a row (`executemany`) sets up the conditions of every partial index anew for each row, which doubles the
cost, and hands the interpreter over once a row, which costs 5 ms a row as soon as another thread computes.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from itertools import chain
from typing import Any

from execlog.core.codec import to_json
from execlog.store.sql import queries
from execlog.store.sqlite.connection import NUL, Session

_LONGEST_KEPT = 16_384
"""How long a statement may be for apsw to keep it prepared."""

_SQL = queries("sqlite", "write")


def stage(session: Session, shape: str, rows: Sequence[Sequence[Any]], *, checked: bool = False) -> None:
    """Put rows of a shape ("executions", "plain", "items") into the table in memory, from which `move` takes them.

    The last statement is filled up with the last row, which is there by then and ignored. Raises ValueError where a NUL
    character would be written, unless that was `checked`.
    """
    if not checked and not session.mended and b"u0000" in to_json(rows):
        raise ValueError(NUL)
    statements = _statements(shape)
    start = 0
    while start < len(rows):
        left = len(rows) - start
        size = next((size for size in statements if size >= left), max(statements))
        some = [*rows[start : start + size], *[rows[-1]] * (size - left)]
        session.put(statements[size], tuple(chain.from_iterable(some)))
        start += size


def move(session: Session, table: str) -> int:
    """How many of the staged rows came to be inserted into "executions" or "items", or changed one that was there."""
    before = session.changed
    session.put(_SQL[f"move_{table}"])
    moved = session.changed - before
    session.put(_SQL[f"clear_{table}"])
    return moved


@cache
def _statements(shape: str) -> dict[int, str]:
    """The statements that stage so many rows, the fewest first."""
    one = _SQL[f"stage_{shape}"]
    values = "," + one[one.rindex("(") :]
    most = (_LONGEST_KEPT - len(one)) // len(values)
    return {size: one + values * (size - 1) for size in (1, most // 16, most // 4, most)}
