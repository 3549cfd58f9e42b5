"""`execlog compare`: what it takes."""

from __future__ import annotations

from execlog.cli.options import add_identity, add_json
from execlog.cli.parser import Parser

DESCRIPTION = (
    "Two executions side by side: what they were called with and ran in, how long they took, and what became of their "
    "items. With one id: that execution, and the last one of the same subject before it in which went well what did "
    "not in this one: as a rule the last success."
)
EXAMPLES = (
    "execlog compare 019aaa39-4c1f",
    "execlog compare 019aaa39-4c1f 019aaa12-90b2 --json",
)


def configure(parser: Parser) -> None:
    """Declare the arguments."""
    parser.add_argument("id", metavar="ID", help="an execution's id, or the beginning of it")
    parser.add_argument(
        "other", metavar="ID", nargs="?", help="the other one (default: the last one that went well before it)"
    )
    add_identity(parser)
    add_json(parser, "print what GET /api/executions/{id}/comparison?other= gives")
