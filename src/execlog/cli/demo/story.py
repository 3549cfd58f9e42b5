"""What the demo says: each year as it ends, the summary, and what to try."""

from __future__ import annotations

import os
import shlex
import shutil
import sys
from collections.abc import Sequence
from pathlib import Path

from execlog.cli import units
from execlog.cli.executions import line_of, status_cell, why
from execlog.cli.table import Cell, Column, write_table
from execlog.cli.terminal import Terminal
from execlog.core.model import Counts, Execution, Status


def write_year(terminal: Terminal, one: Execution) -> None:
    """A line about a year that has ended."""
    terminal.line("  " + line_of(one, "", terminal))
    terminal.flush()


def write_summary(terminal: Terminal, ended: Sequence[Execution], took: float) -> None:
    """The table of what ran, and the sums."""
    terminal.line()
    write_table(terminal, _columns(terminal), ended)
    counts = {status: sum(one.status is status for one in ended) for status in Status}
    stocks = sum((one.counts.total for one in ended), 0)
    rows = sum(one.rows or 0 for one in ended)
    parts = [f"{counts[status]} {status.value}" for status in (Status.SUCCEEDED, Status.PARTIAL, Status.FAILED)]
    terminal.line()
    terminal.line(f"{len(ended)} jobs ran in {units.seconds(took)}: {', '.join(parts)}; {stocks} fetches, {rows} rows.")
    terminal.line("GOOG really has no rows before August 2004: Google went public then.")


def write_hints(terminal: Terminal, url: str, home: Path, one: str, *, once: bool) -> None:
    """The URL, and lines to try; `one` is the id of an execution to look at, or to retry while the feed is there."""
    program = f"{_program()} --home {shlex.quote(_short(home))}"
    shown = terminal.paint(url, "bold cyan")
    terminal.line()
    terminal.line(f"Without --once it stays at {shown}:" if once else f"It is all at {shown}. In another terminal:")
    terminal.line()
    for path in (
        "/scheduler/jobs/backfill-2003/latest-execution",
        "/api/executions?status=partial&item=GOOG",
        "/api/stats?group_by=subject",
    ):
        terminal.line(f"  curl -s {shlex.quote(url + path)}")
    terminal.line()
    if once:
        terminal.line(f"Its history is in {_short(home)}:")
        terminal.line()
    last = f"show {one}" if once else f"retry {one} --failed-items"
    for command in ("list --status partial", "failures", last):
        terminal.line(f"  {program} {command}")
    terminal.line()


def _columns(terminal: Terminal) -> Sequence[Column[Execution]]:
    return [
        Column("JOB", lambda one: Cell(one.subject or "", "bold")),
        Column("STATUS", lambda one: status_cell(one.status, terminal)),
        Column("RAN", lambda one: Cell(str(one.counts.total)), right=True),
        Column("FAILED", lambda one: _failed_cell(one.counts), right=True),
        Column("ROWS", lambda one: Cell(units.count(one.rows)), right=True),
        Column("TOOK", lambda one: Cell(units.seconds(one.seconds)), right=True),
        Column("WHY", lambda one: Cell(why(one), "yellow"), least=20),
    ]


def _failed_cell(counts: Counts) -> Cell:
    return Cell(str(counts.failed) if counts.failed else "", "red")


def _program() -> str:
    """How this program was called, so that it can be typed again."""
    called = Path(sys.argv[0])
    if called.name != "execlog":
        return f"{_short(Path(sys.executable))} -m execlog"
    found = shutil.which("execlog")
    if found is not None and Path(found).resolve() == called.resolve():
        return "execlog"
    return _short(called.absolute())


def _short(path: Path) -> str:
    """The path from here where it is below, else whole."""
    here = Path.cwd()
    return os.path.relpath(path, here) if path.is_relative_to(here) else str(path)
