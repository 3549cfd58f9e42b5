"""`execlog doctor`: what it takes."""

from __future__ import annotations

from execlog.cli.options import add_json
from execlog.cli.parser import Parser

DESCRIPTION = (
    "Check what execlog stands on: the installation, the settings, the home and its journals, and the store. "
    "Changes nothing, unless --mend is given. What is wrong comes with what to do."
)
EXAMPLES = (
    "execlog doctor",
    "execlog doctor --recount",
    "execlog doctor --json | jq '.findings[] | select(.state != \"ok\")'",
)


def configure(parser: Parser) -> None:
    """Declare the arguments."""
    parser.add_argument(
        "--recount",
        action="store_true",
        help="add all executions up anew and compare the statistics with them: some minutes for ten million",
    )
    parser.add_argument("--mend", action="store_true", help="recount, and write the sums that are wrong anew")
    add_json(parser, 'print {"ok": …, "findings": [{check, state, text, advice}]}')
