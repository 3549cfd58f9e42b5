"""`execlog export`: what it takes."""

from __future__ import annotations

from execlog.cli.options import a_positive_count, add_filter, add_sort
from execlog.cli.parser import Parser

DESCRIPTION = (
    "Write all executions that a filter asks for, a page at a time, so that any number fits in memory. NDJSON "
    "(the default) and JSON are whole, with items, details and logs, and can be posted to /api/executions again; "
    "CSV has the fields of `execlog list`; a text that a spreadsheet would run as a formula (it begins with =, +, -, "
    "@, a tab or the end of a line) has an apostrophe before it. A file is complete or not there."
)
EXAMPLES = (
    "execlog export --csv --since 30d -o executions.csv",
    "execlog export --ndjson --kind job | gzip > jobs.ndjson.gz",
    "execlog export --json --status bad | jq length",
)


def configure(parser: Parser) -> None:
    """Declare the arguments."""
    form = parser.add_mutually_exclusive_group()
    for name, help_ in (("csv", "a line each, with a header"), ("json", "one array"), ("ndjson", "an object a line")):
        form.add_argument(f"--{name}", dest="form", action="store_const", const=name, help=help_)
    parser.set_defaults(form="ndjson")
    parser.add_argument("-o", "--output", metavar="FILE", help="write into this file (default, and -: standard output)")
    add_filter(parser)
    parser.add_argument("-n", "--limit", metavar="N", type=a_positive_count, help="at most so many (default: all)")
    add_sort(parser)
