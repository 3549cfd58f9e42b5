"""`execlog doctor`: what it does."""

from __future__ import annotations

import sys
from functools import partial
from typing import Protocol, runtime_checkable

import msgspec

from execlog.cli import exits, units
from execlog.cli.checkup import BAD, Finding, check_up
from execlog.cli.parser import Options
from execlog.cli.terminal import Terminal, printable
from execlog.store.base import Store
from execlog.store.sqlite.recounting import Progress, Recount

_STYLES = {"ok": "green", "warning": "yellow", "bad": "red"}
_GLYPHS = {"ok": "✓", "warning": "!", "bad": "✗"}


@runtime_checkable
class Counting(Protocol):
    """A store that keeps sums."""

    def recount(self, *, mend: bool = False, progress: Progress | None = None) -> Recount:
        """How the sums compare with the executions."""
        ...


def execute(options: Options, terminal: Terminal) -> int:
    """Print the findings; 4 where the store cannot be used, 1 where something else is wrong."""
    more = [partial(_recount, mend=options.mend)] if options.recount or options.mend else []
    findings = check_up(options.home, options.store, *more)
    bad = {finding.check for finding in findings if finding.state == BAD}
    if options.json:
        terminal.line(msgspec.json.encode({"ok": not bad, "findings": findings}).decode())
    else:
        for finding in findings:
            _write(finding, terminal)
    if "store" in bad:
        return exits.UNREACHABLE
    return exits.FAILED if bad else exits.OK


def _recount(store: Store, *, mend: bool) -> Finding:
    """How the store's sums compare with its executions."""
    if not isinstance(store, Counting):
        return Finding("statistics", "ok", "added up from the executions whenever they are asked for")
    found = store.recount(mend=mend, progress=_progress if sys.stderr.isatty() else None)
    if not found.wrong:
        return Finding("statistics", "ok", f"{units.things(found.compared, 'sum')} as the executions add up")
    text = f"{units.count(found.wrong)} of {units.things(found.compared, 'sum')} not as the executions add up"
    text += f", e.g. {'; '.join(found.examples)}"
    if mend:
        return Finding("statistics", "ok", f"{text}: written anew")
    return Finding("statistics", BAD, text, "`execlog doctor --mend` writes them anew; is the disk in order?")


def _progress(done: int, of: int) -> None:
    end = "\n" if done == of else ""
    print(f"\rrecounting, day {units.count(done)} of {units.count(of)}", end=end, file=sys.stderr, flush=True)


def _write(finding: Finding, terminal: Terminal) -> None:
    mark = _GLYPHS[finding.state] if terminal.glyphs else finding.state
    style = _STYLES[finding.state]
    lead = terminal.paint(mark, style) if terminal.interactive else f"{finding.state:<8}"
    terminal.line(f"{lead} {finding.check:<10} {printable(finding.text)}")
    if finding.advice:
        terminal.line(terminal.paint(f"{'':<{13 if terminal.interactive else 20}}{finding.advice}", style))
