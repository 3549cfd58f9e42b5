"""`execlog doctor`: what it does."""

from __future__ import annotations

import msgspec

from execlog.cli import exits
from execlog.cli.checkup import BAD, Finding, check_up
from execlog.cli.parser import Options
from execlog.cli.terminal import Terminal, printable

_STYLES = {"ok": "green", "warning": "yellow", "bad": "red"}
_GLYPHS = {"ok": "✓", "warning": "!", "bad": "✗"}


def execute(options: Options, terminal: Terminal) -> int:
    """Print the findings; 4 where the store cannot be used, 1 where something else is wrong."""
    findings = check_up(options.home, options.store)
    bad = {finding.check for finding in findings if finding.state == BAD}
    if options.json:
        terminal.line(msgspec.json.encode({"ok": not bad, "findings": findings}).decode())
    else:
        for finding in findings:
            _write(finding, terminal)
    if "store" in bad:
        return exits.UNREACHABLE
    return exits.FAILED if bad else exits.OK


def _write(finding: Finding, terminal: Terminal) -> None:
    mark = _GLYPHS[finding.state] if terminal.glyphs else finding.state
    style = _STYLES[finding.state]
    lead = terminal.paint(mark, style) if terminal.interactive else f"{finding.state:<8}"
    terminal.line(f"{lead} {finding.check:<10} {printable(finding.text)}")
    if finding.advice:
        terminal.line(terminal.paint(f"{'':<{13 if terminal.interactive else 20}}{finding.advice}", style))
