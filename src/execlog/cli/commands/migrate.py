"""`execlog migrate`: what it takes."""

from __future__ import annotations

from execlog.cli.options import add_json
from execlog.cli.parser import Parser

DESCRIPTION = (
    "Bring the store's schema up to this version, all of it or nothing, and make the tables of the months to come. "
    "Opening a store does the same unless the setting `migrate` is false: then only this does."
)
EXAMPLES = (
    "execlog migrate",
    "execlog migrate --store postgresql://owner@db/history",
    "execlog migrate --check",
)


def configure(parser: Parser) -> None:
    """Declare the arguments."""
    parser.add_argument(
        "--check", action="store_true", help="change nothing; exit with 1 where there is something to do"
    )
    add_json(parser, 'print {"url", "before", "after", "changed"}; versions, null for a store without a schema')
