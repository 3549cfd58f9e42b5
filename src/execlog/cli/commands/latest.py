"""`execlog latest`: what it takes."""

from __future__ import annotations

from execlog.cli.options import a_list_of_statuses, a_positive_count, add_json
from execlog.cli.parser import Parser

DESCRIPTION = (
    "The newest execution of each thing that runs: of every job, workflow, command …, or of the one named, by its "
    "subject; where no subject is called so, by the name of an execution of the last 30 days."
)
EXAMPLES = (
    "execlog latest",
    "execlog latest nightly-backup --check && echo fine",
    "execlog latest --kind job --status bad",
)


def configure(parser: Parser) -> None:
    """Declare the arguments."""
    parser.add_argument("subject", metavar="SUBJECT", nargs="?", help="only of this: a job's id, a command's name")
    parser.add_argument("--kind", metavar="KIND", help="only of this kind")
    parser.add_argument("--namespace", metavar="NAMESPACE", help="only of this namespace")
    parser.add_argument(
        "--status",
        metavar="STATUS",
        type=a_list_of_statuses,
        action="extend",
        default=[],
        help="only those whose newest has this status",
    )
    parser.add_argument(
        "-n", "--limit", metavar="N", type=a_positive_count, default=200, help="at most so many (default 200)"
    )
    parser.add_argument(
        "--check",
        action="store_true",
        help="exit with 1 where something failed, 6 where something is partial, by the last one that ended",
    )
    add_json(parser, "print what GET /api/latest gives")
    parser.add_argument("--no-header", action="store_true", help="in a pipe: no line of names")
