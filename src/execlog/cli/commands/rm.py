"""`execlog rm`: what it takes."""

from __future__ import annotations

from execlog.cli.options import add_filter, add_json, add_yes
from execlog.cli.parser import Parser

DESCRIPTION = (
    "Remove executions, by id or by filter, with their items, logs and share in the statistics. An execution that "
    "is removed while it runs stays removed. There is no way back; --dry-run counts only."
)
EXAMPLES = (
    "execlog rm 019aaa39-4c1f",
    "execlog rm --subject backfill-2003 --status failed --yes",
    "execlog rm --kind command --until 30d --dry-run",
)


def configure(parser: Parser) -> None:
    """Declare the arguments."""
    parser.add_argument("ids", metavar="ID", nargs="*", help="ids, or beginnings of ids that no other execution has")
    parser.add_argument("--all", action="store_true", help="everything, where neither an id nor a filter is given")
    parser.add_argument("--dry-run", action="store_true", help="only count")
    add_yes(parser)
    add_filter(parser)
    add_json(parser, 'print {"deleted": n}')
