"""What became of executions: as an exit code, and as what is written of one."""

from __future__ import annotations

from collections.abc import Iterable

from execlog.cli import exits
from execlog.cli.executions import FIELDS, status_cell, values, write_execution
from execlog.cli.parser import Options
from execlog.cli.table import write_values
from execlog.cli.terminal import Terminal, printable
from execlog.core.model import OPEN, Execution, Status
from execlog.history.reason import reason


def exit_code(statuses: Iterable[Status]) -> int:
    """1 where one failed, was cancelled or crashed, else 6 where one is partial, else 0; open ones do not count."""
    seen = set(statuses) - OPEN - {Status.SUCCEEDED}
    if seen - {Status.PARTIAL}:
        return exits.FAILED
    return exits.PARTIAL if seen else exits.OK


def write_outcome(found: Execution, options: Options, terminal: Terminal) -> None:
    """Write how an execution that was run from here went."""
    if options.json:
        from execlog.history.view import to_json, view

        terminal.line(to_json(view(found, frozenset({"items"}))).decode())
        return
    if not terminal.interactive:
        write_values(terminal, FIELDS, [values(found)])
        return
    write_execution(terminal, found, found.id)
    for item in found.items:
        if item.error is not None:
            status = status_cell(item.status, terminal)
            why = printable(f"{item.key}: {reason(item.error)}")
            terminal.line(f"  {terminal.paint(status.text, status.style)}  {why}")
