"""Asking before something that cannot be undone."""

from __future__ import annotations

import sys

from execlog.cli.parser import Options, Parser
from execlog.cli.terminal import Terminal


def add_yes(parser: Parser) -> None:
    """The option that answers beforehand."""
    parser.add_argument("-y", "--yes", action="store_true", help="do not ask; needed where nobody can answer")


def agreed(question: str, options: Options, terminal: Terminal) -> bool:
    """Whether to go on. Where nobody can be asked and --yes is not given, the command line is wrong."""
    if options.yes:
        return True
    if not (terminal.interactive and sys.stdin.isatty()):
        options.parser.error(f"{question} Nobody to ask here: add --yes, or see first with --dry-run")
    terminal.stream.write(f"{question} [y/N] ")
    terminal.flush()
    return sys.stdin.readline().strip().lower() in {"y", "yes"}
