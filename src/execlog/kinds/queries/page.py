"""A page of a result, cut out of it while it is read."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import msgspec
from msgspec import Raw, Struct

from execlog.kinds.queries import cells
from execlog.kinds.queries.connectors.base import Answer


class Cut(NamedTuple):
    """Which part of a result is asked for, and how much of it may be read."""

    page: int
    page_size: int
    max_rows: int
    max_bytes: int


class Part(Struct, frozen=True, kw_only=True):
    """A page of a result, every row as JSON.

    total_rows   of the whole result, or `max_rows` where reading ended there
    truncated    "rows": the result has more rows than were counted; "bytes": the page has more rows than it shows
    """

    columns: tuple[str, ...]
    column_types: tuple[str, ...]
    rows: tuple[Raw, ...]
    total_rows: int
    bytes: int
    truncated: str | None = None
    affected_rows: int | None = None

    def values(self) -> list[list[Any]]:
        """The rows as lists of safe cells."""
        return [msgspec.json.decode(row) for row in self.rows]


def cut(answer: Answer, wanted: Cut) -> Part:
    """The part asked for; the rest of the result is counted, as far as `max_rows`."""
    start = 0 if answer.total is not None else wanted.page * wanted.page_size
    first, last = start, start + wanted.page_size
    rows: list[Raw] = []
    total = size = 0
    truncated: str | None = None
    for batch in answer.batches:
        room = wanted.max_rows - total
        if total < last and total + len(batch) > first and truncated is None:
            taken = batch[max(first - total, 0) : min(last - total, room)]
            size, whole = _encode(taken, rows, size, wanted.max_bytes)
            truncated = None if whole else "bytes"
        if len(batch) > room:
            total, truncated = wanted.max_rows, truncated or "rows"
            break
        total += len(batch)
    return Part(
        columns=tuple(column.name for column in answer.columns),
        column_types=tuple(column.type for column in answer.columns),
        rows=tuple(rows),
        total_rows=total if answer.total is None else answer.total,
        bytes=size,
        truncated=truncated,
        affected_rows=answer.affected,
    )


def _encode(taken: Sequence[Sequence[Any]], rows: list[Raw], size: int, limit: int) -> tuple[int, bool]:
    """The bytes so far and whether all rows were taken: rows are added until the limit is reached."""
    for values in taken:
        row = cells.encoded(cells.row(values))
        size += len(row)  # pyright: ignore[reportArgumentType] - Raw holds bytes
        if size > limit:
            return size - len(row), False  # pyright: ignore[reportArgumentType] - as above
        rows.append(row)
    return size, True
