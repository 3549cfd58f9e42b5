"""Asking before something that cannot be undone."""

from __future__ import annotations

import sys

from execlog.cli.parser import Options
from execlog.cli.terminal import Terminal


def agreed(question: str, options: Options, terminal: Terminal) -> bool:
    """Whether to go on. Where nobody can be asked and --yes is not given, the command line is wrong."""
    if options.yes:
        return True
    if not (terminal.interactive and sys.stdin.isatty()):
        options.parser.error(f"{question} Nobody to ask here: add --yes, or see first with --dry-run")
    terminal.stream.write(f"{question} [y/N] ")
    terminal.flush()
    return sys.stdin.readline().strip().lower() in {"y", "yes"}
