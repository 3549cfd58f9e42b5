"""`execlog tail`: what it takes."""

from __future__ import annotations

from execlog.cli.options import a_count, a_duration, add_filter, add_json
from execlog.cli.parser import Parser

DESCRIPTION = (
    "The last executions, oldest first; with -f also those to come, as they start and end, until Ctrl-C. A line a "
    "change; in a pipe the fields of `execlog list`."
)
EXAMPLES = (
    "execlog tail -f",
    "execlog tail -n 0 -f --status bad",
    "execlog tail -f --json --kind job | jq -r .id",
)


def configure(parser: Parser) -> None:
    """Declare the arguments."""
    parser.add_argument("-f", "--follow", action="store_true", help="go on with what happens from now on")
    parser.add_argument("-n", "--limit", metavar="N", type=a_count, default=10, help="begin with so many (default 10)")
    parser.add_argument("--every", metavar="TIME", type=a_duration, default=0.25, help="with -f: look so often (250ms)")
    add_filter(parser)
    add_json(parser, "print NDJSON: an execution a line")
