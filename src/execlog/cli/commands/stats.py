"""`execlog stats`: what it takes."""

from __future__ import annotations

from execlog.cli.options import a_positive_count, add_filter, add_json, one_of
from execlog.cli.parser import Parser

DESCRIPTION = (
    "How many ended how, how long they took and what they cost, over all time or --since. Durations at p50, p95 "
    "and p99 are by nearest rank, within 1 %. Partial is not success; a success rate over nothing is 0."
)
EXAMPLES = (
    "execlog stats --since 7d",
    "execlog stats --by subject --kind job",
    "execlog stats --by day --since 4w --json",
)
GROUPS = ("subject", "actor", "engine", "kind", "minute", "hour", "day")


def configure(parser: Parser) -> None:
    """Declare the arguments."""
    add_filter(parser)
    parser.add_argument("--by", metavar="WHAT", type=one_of(GROUPS), help=f"also for each {', '.join(GROUPS)}")
    parser.add_argument(
        "-n", "--limit", metavar="N", type=a_positive_count, default=100, help="at most so many groups (default 100)"
    )
    parser.suggest("--by", GROUPS)
    add_json(parser, "print what GET /api/stats gives")
    parser.add_argument("--no-header", action="store_true", help="in a pipe: no line of names")
