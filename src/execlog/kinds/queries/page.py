"""A page of a result, cut out of it while it is read."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import islice
from typing import Any, NamedTuple

import msgspec
from msgspec import Raw, Struct

from execlog.core.model import Status
from execlog.kinds.queries import cells
from execlog.kinds.queries.connectors.base import Answer
from execlog.kinds.queries.trouble import TroubleError


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
    """The part asked for; the rest of the result is counted, as far as `max_rows`, and never held.

    Raises TroubleError where the page's first row alone is larger than a page: an empty page would look like the end.
    """
    start = 0 if answer.total is not None else wanted.page * wanted.page_size
    rows = iter(answer.rows)
    total = _counted(islice(rows, min(start, wanted.max_rows)))
    page = islice(rows, min(wanted.page_size, wanted.max_rows - total))
    taken, size, passed = _encode(page, wanted.max_bytes, first=total + 1)
    truncated = "bytes" if passed else None
    total += len(taken) + passed
    total += _counted(islice(rows, wanted.max_rows - total))
    if total == wanted.max_rows and next(rows, None) is not None:
        truncated = truncated or "rows"
    return Part(
        columns=tuple(column.name for column in answer.columns),
        column_types=tuple(column.type for column in answer.columns),
        rows=tuple(taken),
        total_rows=total if answer.total is None else answer.total,
        bytes=size,
        truncated=truncated,
        affected_rows=answer.affected,
    )


def _encode(page: Iterable[Sequence[Any]], limit: int, *, first: int) -> tuple[list[Raw], int, int]:
    """The rows as far as the limit, their bytes, and how many were passed over; `first` is the number of the first."""
    rows: list[Raw] = []
    size = 0
    for number, values in enumerate(page, first):
        row = cells.encoded(cells.row(values)) if _least(values) <= limit else None
        length = limit + 1 if row is None else len(row)  # pyright: ignore[reportArgumentType] - Raw holds bytes
        if row is not None and size + length <= limit:
            rows.append(row)
            size += length
        elif rows:
            return rows, size, 1 + _counted(page)
        else:
            raise _too_large(number, limit)
    return rows, size, 0


def _least(values: Sequence[Any]) -> int:
    """Bytes that the row's texts alone have as JSON, at least: what is too large already is not encoded."""
    return sum(len(value) for value in values if isinstance(value, str | bytes | bytearray))


def _counted(rows: Iterable[Any]) -> int:
    """How many rows are left; each is forgotten when the next one comes."""
    return sum(1 for _ in rows)


def _too_large(number: int, limit: int) -> TroubleError:
    said = f"row {number} alone is larger than a page of this connection may be ({limit} bytes)"
    return TroubleError(Status.FAILED, "RowTooLarge", f"{said}; ask for less of it, or for the rows after it")
