"""`execlog explain`: what it takes."""

from __future__ import annotations

from execlog.cli.options import add_identity, add_json
from execlog.cli.parser import Parser

DESCRIPTION = (
    "Why an execution did not go well, as `show` says it: its error, since when it fails, how often the same error "
    "came, whether it has recovered, and what is different from the last time it went well. Of one that "
    "succeeded: which of its rows, items, duration, tokens and cost are out of the usual of the last 20."
)
EXAMPLES = (
    "execlog explain 019aaa39-4c1f",
    "execlog explain 019aaa39-4c1f --json | jq -r '.changed[] | select(.telling).path'",
)


def configure(parser: Parser) -> None:
    """Declare the arguments."""
    parser.add_argument("id", metavar="ID", help="the execution's id, or the beginning of it that no other has")
    add_identity(parser)
    add_json(parser, "print what GET /api/executions/{id}/explanation gives")
