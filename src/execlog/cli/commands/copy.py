"""`execlog copy`: what it takes."""

from __future__ import annotations

from execlog.cli.options import add_filter, add_json
from execlog.cli.parser import Parser

DESCRIPTION = (
    "Copy a history from one store to another: executions with their items, log lines and details, the definitions of "
    "jobs, and which pairs are monitored. What is there already is added to, never doubled, so that a copy that was "
    "broken off is begun anew by the same command. Afterwards all that was read is looked for there, and counted by "
    "kind and status; what is missing ends with exit code 6. Marks of deletions stay behind. Job definitions run where "
    "a scheduler runs: stop one of the two."
)
EXAMPLES = (
    "execlog copy sqlite:////srv/execlog.db postgresql://history@db/execlog",
    "execlog copy redis://old:6379/0 files:////srv/history --kind job --since 30d",
    "execlog copy sqlite:////srv/execlog.db postgresql://db/execlog --dry-run",
)


def configure(parser: Parser) -> None:
    """Declare the arguments."""
    parser.add_argument("source", metavar="FROM", help="URL of the store to read")
    parser.add_argument("target", metavar="TO", help="URL of the store to write to")
    parser.add_argument("--dry-run", action="store_true", help="only count what would be read")
    parser.add_argument(
        "--executions-only", action="store_true", help="leave definitions of jobs and pairs where they are"
    )
    add_filter(parser)
    add_json(parser, "print what was copied as JSON")
