"""`execlog import`: what it takes."""

from __future__ import annotations

from execlog.cli.options import add_json
from execlog.cli.parser import Parser

DESCRIPTION = (
    "Take over the history of another program that follows one of the fixed layouts: redis, the scheduler's keys "
    "(scheduler:execution_history:…); files, workflow executions (projects/…/executions/….json); postgres, the tables "
    "scheduler_execution_log, symbol_computation_status, feature_computation_failures, feature_freshness and "
    "query_executions, those that are there. The source is only read. Importing twice changes nothing. A record "
    "that cannot be read is named, counted and left; then the exit code is 6. --dry-run only reads and counts."
)
EXAMPLES = (
    "execlog import redis redis://cache:6379/0",
    "execlog import files /srv/workflows --dry-run",
    "execlog import postgres postgresql://reader@db/market --store postgresql://history@db/execlog",
)


def configure(parser: Parser) -> None:
    """Declare the arguments."""
    parser.add_argument(
        "layout", metavar="LAYOUT", choices=("redis", "files", "postgres"), help="redis, files or postgres"
    )
    parser.add_argument("source", metavar="URL", help="where it is: a URL, or a folder for files")
    parser.add_argument(
        "--dry-run", action="store_true", help="only count what would be new, and name what cannot be read"
    )
    add_json(parser, "print what was imported as JSON")
