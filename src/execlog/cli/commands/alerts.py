"""`execlog alerts`: what it takes."""

from __future__ import annotations

import argparse

from execlog.cli.options import add_json
from execlog.cli.parser import Parser

DESCRIPTION = (
    "The alerts of execlog.toml: what each tells, where it goes, what was sent last and what waits. `execlog serve` "
    "sends them while it runs."
)
EXAMPLES = (
    "execlog alerts",
    "execlog alerts test nightly",
)


def configure(parser: Parser) -> None:
    """Declare the arguments and the subcommand."""
    add_json(parser, "print the alerts as a list")
    parser.add_argument("--no-header", action="store_true", help="in a pipe: no line of names")
    commands = parser.add_subparsers(dest="action", metavar="COMMAND", title="commands")
    child = commands.add_parser(
        "test",
        help="send a test message now, and say what happened",
        description="Send a test message now, once on each way the alert has, and say what happened.",
    )
    child.add_argument("alert", metavar="ALERT", help="its name")
    child.add_argument("--json", action="store_true", default=argparse.SUPPRESS, help="print what happened as a list")
