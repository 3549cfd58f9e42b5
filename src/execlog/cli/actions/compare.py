"""`execlog compare`: what it does."""

from __future__ import annotations

from collections.abc import Sequence

from execlog.cli import exits, units
from execlog.cli.dossier import write_difference
from execlog.cli.executions import status_cell
from execlog.cli.lookup import find_one
from execlog.cli.parser import Options
from execlog.cli.place import open_store
from execlog.cli.table import Cell, Column, write_table
from execlog.cli.terminal import Terminal
from execlog.core.model import Status
from execlog.history.comparison import Comparison, ItemDifference, compare
from execlog.history.kin import baseline
from execlog.history.view import ExecutionView, to_json


def execute(options: Options, terminal: Terminal) -> int:
    """Print the comparison."""
    with open_store(options) as store:
        one = find_one(store, options.id, options)
        other = find_one(store, options.other, options) if options.other else baseline(store, one)
    found = compare(one, other)
    if options.json:
        terminal.line(to_json(found).decode())
    else:
        _write(terminal, found)
    return exits.OK


def _write(terminal: Terminal, found: Comparison) -> None:
    write_table(terminal, _columns(terminal), (found.before, found.after))
    ratios = [("it took", found.duration_ratio), ("rows", found.rows_ratio)]
    said = [f"{name} × {ratio:.3g}" for name, ratio in ratios if ratio is not None]
    if said:
        terminal.line(", ".join(said))
    for change in found.differences:
        write_difference(terminal, change)
    if found.items:
        terminal.line()
        write_table(terminal, _item_columns(terminal), found.items)
    if not found.differences and not found.items:
        terminal.line("Called with the same, in the same surroundings, with the same outcome of every item.")
    if found.truncated:
        terminal.line(terminal.paint("There are more differences than are shown.", "dim"))


def _columns(terminal: Terminal) -> Sequence[Column[ExecutionView]]:
    return [
        Column("STATUS", lambda one: status_cell(one.status, terminal)),
        Column("WHAT", lambda one: Cell(one.name or one.subject or one.kind, "bold"), least=12),
        Column("ID", lambda one: Cell(one.id, "cyan"), least=13),
        Column("CREATED", lambda one: Cell(one.created_at.astimezone().strftime("%Y-%m-%d %H:%M:%S")), drop=2),
        Column("TOOK", lambda one: Cell(units.seconds(one.duration)), right=True),
        Column("ROWS", lambda one: Cell("" if one.rows is None else units.count(one.rows)), right=True, drop=1),
    ]


def _item_columns(terminal: Terminal) -> Sequence[Column[ItemDifference]]:
    def cell(status: Status | None) -> Cell:
        return status_cell(status, terminal) if status else Cell(units.NOTHING)

    return [
        Column("ITEM", lambda item: Cell(item.key, "bold"), least=12),
        Column("BEFORE", lambda item: cell(item.before)),
        Column("AFTER", lambda item: cell(item.after)),
    ]
