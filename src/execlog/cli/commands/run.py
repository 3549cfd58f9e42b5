"""`execlog run`: what it takes."""

from __future__ import annotations

from execlog.cli.options import a_duration, a_positive_count, a_tag
from execlog.cli.parser import Parser

DESCRIPTION = (
    "Run a command as if execlog were not there: its input, output, terminal and signals pass through, and its "
    "exit code is ours (128 + n where signal n killed it, 127 where it does not exist, 126 where it cannot be "
    "run). How long it took, how it ended and the tail of its output are recorded. When recording fails, the "
    "command does not."
)
EXAMPLES = (
    "execlog run -- ./backup.sh --full",
    "execlog run --name nightly --tag host=db1 -- pg_dump app",
    "*/5 * * * * execlog run --name sync -- ./sync.sh      # in a crontab",
)


def configure(parser: Parser) -> None:
    """Declare the arguments."""
    parser.add_argument("command", metavar="COMMAND", nargs="...", help="the command and its arguments, after --")
    parser.add_argument("--name", metavar="N", help="what it is called in lists (default: the command's name)")
    parser.add_argument("--kind", metavar="KIND", default="command", help="record it as this kind (default command)")
    parser.add_argument("--namespace", metavar="NAMESPACE", default="", help="in this namespace")
    parser.add_argument("--actor", metavar="ACTOR", help="who runs it (default: the user)")
    parser.add_argument(
        "--tag", metavar="K=V", type=a_tag, action="append", default=[], help="label it; may be repeated"
    )
    parser.add_argument(
        "--timeout", metavar="TIME", type=a_duration, help="end it after this time; the exit code is 124 then"
    )
    parser.add_argument(
        "--keep",
        metavar="BYTES",
        type=a_positive_count,
        default=16_384,
        help="how much of the end of its output to keep (default 16384)",
    )
