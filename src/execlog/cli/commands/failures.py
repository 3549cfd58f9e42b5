"""`execlog failures`: what it takes."""

from __future__ import annotations

from execlog.cli.options import a_positive_count, add_filter, add_json
from execlog.cli.parser import Parser

DESCRIPTION = (
    "What failed, partly failed, timed out or crashed, grouped by its error: errors that differ only in what "
    "varies (numbers, ids, quoted values, paths, times) are one. The latest group first."
)
EXAMPLES = (
    "execlog failures --since 7d",
    "execlog failures --kind job --json",
    "execlog list --fingerprint 1f0c6a2b9d3e",
)


def configure(parser: Parser) -> None:
    """Declare the arguments."""
    add_filter(parser)
    parser.add_argument(
        "-n", "--limit", metavar="N", type=a_positive_count, default=50, help="at most so many groups (default 50)"
    )
    add_json(parser, "print what GET /api/failures gives")
    parser.add_argument("--no-header", action="store_true", help="in a pipe: no line of names")
