"""Tables: aligned and coloured on a terminal, tab-separated with whole values in a pipe."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Generic, NamedTuple, TypeVar

from msgspec import Struct

from execlog.cli.terminal import Terminal, columns_of, cut, printable

T = TypeVar("T")
_GAP = "  "


class Cell(NamedTuple):
    """A text for people and its style."""

    text: str
    style: str = ""


class Column(Struct, Generic[T], frozen=True):
    """A column on a terminal.

    least   how narrow it may become when the table is too wide; None keeps it whole
    drop    it is left out where there is no room, the greatest first; 0 keeps it
    """

    header: str
    cell: Callable[[T], Cell]
    right: bool = False
    least: int | None = None
    drop: int = 0


def write_table(terminal: Terminal, columns: Sequence[Column[T]], entries: Sequence[T]) -> None:
    """Write the entries as a table that fits the terminal where it can; columns empty throughout are left out."""
    cells = [[_safe(column.cell(entry)) for column in columns] for entry in entries]
    kept = [number for number in range(len(columns)) if any(row[number].text for row in cells)]
    widths = _fit([columns[number] for number in kept], _natural(columns, kept, cells), terminal.width)
    shown = [(columns[number], number, width) for number, width in zip(kept, widths, strict=True) if width]
    terminal.line(_row(terminal, [(column, Cell(column.header, "dim"), width) for column, _, width in shown]))
    for row in cells:
        terminal.line(_row(terminal, [(column, row[number], width) for column, number, width in shown]))


def write_line(terminal: Terminal, columns: Sequence[Column[T]], entry: T, indent: str = "") -> None:
    """Write one entry in a line that fits the terminal, for lists that grow: nothing is aligned beyond its column."""
    cells = [_safe(column.cell(entry)) for column in columns]
    kept = [number for number, cell in enumerate(cells) if cell.text]
    widths = [columns_of(cells[number].text) for number in kept]
    widths = _fit([columns[number] for number in kept], widths, terminal.width - len(indent))
    shown = [(columns[number], cells[number], width) for number, width in zip(kept, widths, strict=True) if width]
    terminal.line(indent + _row(terminal, shown))


def write_values(
    terminal: Terminal, names: Sequence[str], rows: Iterable[Sequence[str]], *, header: bool = True
) -> None:
    """Write rows of whole values, one a line, apart by tabs; a tab or line break in a value becomes an escape."""
    if header:
        terminal.line("\t".join(names))
    for row in rows:
        terminal.line("\t".join(printable(value) for value in row))


def _safe(cell: Cell) -> Cell:
    return Cell(printable(cell.text), cell.style)


def _natural(columns: Sequence[Column[T]], kept: list[int], cells: list[list[Cell]]) -> list[int]:
    return [
        max(columns_of(columns[number].header), *(columns_of(row[number].text) for row in cells)) for number in kept
    ]


def _fit(columns: list[Column[T]], widths: list[int], available: int) -> list[int]:
    """The widths that fit; a column that is dropped has width 0.

    Columns shrink to twice their least width, then those that matter less (drop > 1) are dropped one by one; where that
    is not enough columns shrink to their least width, then the others that may go are dropped.
    """
    droppable = sorted(
        (number for number, column in enumerate(columns) if column.drop), key=lambda it: -columns[it].drop
    )
    lesser = [number for number in droppable if columns[number].drop > 1]
    for room, dropping in ((2, [None, *lesser]), (1, [None, *droppable])):
        for number in dropping:
            if number is not None:
                widths[number] = 0
            fitted = _shrink(columns, widths, available, room)
            if _total(fitted) <= available:
                return fitted
    return _trim(_shrink(columns, widths, available, 1), available)


def _trim(widths: list[int], available: int) -> list[int]:
    """The widths cut from the right to what is available: a line that breaks is worse than one that ends early."""
    used, trimmed = -len(_GAP), list[int]()
    for width in widths:
        room = max(available - used - len(_GAP), 0)
        trimmed.append(min(width, room))
        used += trimmed[-1] + len(_GAP) if trimmed[-1] else 0
    return trimmed


def _shrink(columns: list[Column[T]], widths: list[int], available: int, room: int) -> list[int]:
    """The widths brought down, the widest first, to what is available, or to `room` times the columns' least widths."""
    widths = list(widths)
    excess = _total(widths) - available
    while excess > 0:
        spare = {
            number: widths[number] - room * column.least
            for number, column in enumerate(columns)
            if column.least is not None and widths[number] > room * column.least
        }
        if not spare:
            break
        widest = max(spare, key=lambda number: widths[number])
        step = min(excess, spare[widest], max(1, excess // len(spare)))
        widths[widest] -= step
        excess -= step
    return widths


def _total(widths: Sequence[int]) -> int:
    shown = [width for width in widths if width]
    return sum(shown) + len(_GAP) * max(len(shown) - 1, 0)


def _row(terminal: Terminal, cells: Sequence[tuple[Column[T], Cell, int]]) -> str:
    parts: list[str] = []
    for number, (column, cell, width) in enumerate(cells):
        text = cut(cell.text, width, "…" if terminal.glyphs else "~")
        blank = " " * (width - columns_of(text))
        last = number == len(cells) - 1
        painted = terminal.paint(text, cell.style)
        parts.append(blank + painted if column.right else painted + ("" if last else blank))
    return _GAP.join(parts).rstrip()
