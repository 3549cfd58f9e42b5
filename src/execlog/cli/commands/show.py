"""`execlog show`: what it takes."""

from __future__ import annotations

from execlog.cli.options import add_check, add_id, add_json
from execlog.cli.parser import Parser

DESCRIPTION = "One execution with everything known about it: its items, errors, log, attempts and children."
EXAMPLES = (
    "execlog show 019aaa39-4c1f",
    "execlog show 019aaa39-4c1f --json | jq .error",
    "execlog show 019aaa39-4c1f --check",
)


def configure(parser: Parser) -> None:
    """Declare the arguments."""
    add_id(parser)
    parser.add_argument("--all", action="store_true", help="every item and log line, not only the first and last ones")
    add_check(parser)
    add_json(parser, "print what GET /api/executions/{id} gives")
