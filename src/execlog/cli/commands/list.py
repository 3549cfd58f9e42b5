"""`execlog list`: what it takes."""

from __future__ import annotations

from execlog.cli.options import add_filter, add_json, add_page
from execlog.cli.parser import Parser

DESCRIPTION = "Executions, newest first. In a pipe: one a line, whole values apart by tabs, the first line names them."
EXAMPLES = (
    "execlog list --status bad --since 24h",
    "execlog list --subject backfill-2003 --json",
    "execlog list --item GOOG --item-status failed --sort slowest",
    "execlog list --no-header | cut -f 4 | sort | uniq -c",
)


def configure(parser: Parser) -> None:
    """Declare the arguments."""
    add_filter(parser)
    add_page(parser, limit=50)
    add_json(parser, "print the page as GET /api/executions gives it")
    parser.add_argument("--no-header", action="store_true", help="in a pipe: no line of names")
