"""What the demo says: each execution as it ends, the summary, and what to try."""

from __future__ import annotations

import os
import shlex
import shutil
import sys
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from execlog.cli import units
from execlog.cli.demo.families import Family, Shown
from execlog.cli.demo.place import Place
from execlog.cli.executions import write_execution
from execlog.cli.table import Cell, Column, write_table
from execlog.cli.terminal import Terminal
from execlog.core.model import Execution, Status
from execlog.history.reason import why
from execlog.kinds.workflows.demo import PROJECT


def write_heading(terminal: Terminal, family: Family) -> None:
    """What comes next, and what of it is left out here."""
    terminal.line()
    terminal.text(family.heading)
    if family.note:
        terminal.text(terminal.paint(family.note, "yellow"))
    terminal.flush()


def write_ended(terminal: Terminal, one: Execution) -> None:
    """A line about an execution that has ended."""
    write_execution(terminal, one, "", indent="  ")
    terminal.flush()


def write_summary(terminal: Terminal, families: Sequence[Shown], took: float) -> None:
    """The table of the families, and the sums of the jobs."""
    terminal.line()
    write_table(terminal, _columns(), families)
    jobs = families[0].executions
    counts = _counts(jobs)
    fetches = sum(one.counts.total for one in jobs)
    rows = sum(one.rows or 0 for one in jobs)
    parts = [f"{counts[status]} {status.value}" for status in (Status.SUCCEEDED, Status.PARTIAL, Status.FAILED)]
    ran = sum(len(shown.executions) for shown in families)
    terminal.line()
    terminal.text(f"{ran} executions in {units.seconds(took)}. {len(jobs)} jobs: {', '.join(parts)};")
    terminal.text(f"{fetches} fetches, {rows} rows. GOOG really has none before August 2004: it went public then.")


def write_hints(terminal: Terminal, url: str, place: Place, one: str, *, once: bool) -> None:
    """The URL, and lines to try; `one` is the id of an execution to look at, or to retry while the feed is there."""
    program = f"{_program()} --home {shlex.quote(_short(place.home))}"
    if place.store is not None:
        program += f" --store {shlex.quote(place.store)}"
    shown = terminal.paint(url, "bold cyan")
    terminal.line()
    terminal.line(f"Without --once it stays at {shown}:" if once else f"It is all at {shown}. In another terminal:")
    terminal.line()
    for path in (
        "/scheduler/jobs/backfill-2003/latest-execution",
        "/api/executions?status=partial&item=GOOG",
        f"/api/projects/{PROJECT}/executions/stats",
        "/api/v1/admin/scheduler/execution-history?limit=2",
        "/api/v1/executions/ann/stats",
    ):
        terminal.line(f"  curl -s {shlex.quote(url + path)}")
    terminal.line()
    if once:
        terminal.line(f"Its history is in {place.store or _short(place.home)}:")
        terminal.line()
    last = f"show {one}" if once else f"retry {one} --failed-items"
    for command in ("list --status partial", "failures", "stats --by kind", last):
        terminal.line(f"  {program} {command}")
    terminal.line()


def _columns() -> Sequence[Column[Shown]]:
    counted = (("OK", Status.SUCCEEDED, ""), ("PARTIAL", Status.PARTIAL, "yellow"), ("FAILED", Status.FAILED, "red"))
    return [
        Column("FAMILY", lambda shown: Cell(shown.family, "bold")),
        Column("RAN", lambda shown: Cell(str(len(shown.executions))), right=True),
        *(_counted(*each) for each in (*counted, ("TIMED OUT", Status.TIMED_OUT, "red"))),
        Column("WHY", lambda shown: Cell(_reasons(shown.executions), "yellow"), least=20),
    ]


def _counted(header: str, status: Status, style: str) -> Column[Shown]:
    return Column(header, lambda shown: Cell(str(_counts(shown.executions)[status] or ""), style), right=True)


def _counts(executions: Sequence[Execution]) -> Counter[Status]:
    return Counter(one.status for one in executions)


def _reasons(executions: Sequence[Execution]) -> str:
    """Why the first did not go well, and how many more reasons there are."""
    reasons = list(dict.fromkeys(reason for one in executions if (reason := why(one))))
    more = f" (and {len(reasons) - 1} more)" if len(reasons) > 1 else ""
    return f"{reasons[0]}{more}" if reasons else ""


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
