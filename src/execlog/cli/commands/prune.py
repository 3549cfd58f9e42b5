"""`execlog prune`: what it takes."""

from __future__ import annotations

from execlog.cli.options import a_duration, add_json, add_yes
from execlog.cli.parser import Parser

DESCRIPTION = (
    "Remove ended executions that are older than an age: --older-than, or the setting retention_days. What is "
    "still queued or running is kept. There is no way back; --dry-run counts only."
)
EXAMPLES = (
    "execlog prune --older-than 90d --dry-run",
    "execlog prune --older-than 90d --kind query --yes",
    "execlog prune --older-than 90d --vacuum --yes",
)


def configure(parser: Parser) -> None:
    """Declare the arguments."""
    parser.add_argument(
        "--older-than", metavar="AGE", type=a_duration, help="36h, 90d, 52w (default: the setting retention_days)"
    )
    parser.add_argument("--kind", metavar="KIND", help="only of this kind")
    parser.add_argument("--namespace", metavar="NAMESPACE", help="only of this namespace")
    parser.add_argument("--dry-run", action="store_true", help="only count")
    parser.add_argument(
        "--vacuum",
        action="store_true",
        help="then give the disk what is free in SQLite's file; writers wait meanwhile",
    )
    add_yes(parser)
    add_json(parser, 'print {"deleted": n, "found": n}, with --vacuum also "freed", bytes')
