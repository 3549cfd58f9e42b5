"""`execlog backup`: what it takes."""

from __future__ import annotations

from execlog.cli.options import add_json
from execlog.cli.parser import Parser

DESCRIPTION = (
    "Copy the SQLite database of a history, with its jobs and pairs, while it is in use: as it is at one moment, "
    "checked, and on disk when this ends. A file of this name is replaced once the new one is whole. What waits in "
    "journals is not in it, nor is execlog.toml."
)
EXAMPLES = (
    "execlog backup /backup/execlog.db",
    "0 3 * * * execlog backup /backup/execlog-$(date +\\%a).db      # in a crontab: a week of them",
)


def configure(parser: Parser) -> None:
    """Declare the arguments."""
    parser.add_argument("file", metavar="FILE", help="where to write it")
    add_json(parser, 'print {"file", "bytes"}')
