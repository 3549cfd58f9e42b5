"""`execlog retry`: what it takes."""

from __future__ import annotations

from execlog.cli.options import a_positive_count, add_id, add_json, add_wait
from execlog.cli.parser import Parser

DESCRIPTION = (
    "Run an execution again, as a new one that is linked to it: a job by its job, a command with its command line in "
    "its folder, a workflow from the step that failed, in this folder and with the endpoints of execlog.toml. With "
    "--failed-items only the items that did not succeed. The exit code says how it went."
)
EXAMPLES = (
    "execlog retry 019aaa39-4c1f --failed-items",
    "execlog retry $(execlog list --subject nightly --status bad -n 1 --no-header | cut -f 1)",
)


def configure(parser: Parser) -> None:
    """Declare the arguments."""
    add_id(parser, "the execution to run again: its id, or the beginning of it")
    parser.add_argument("--failed-items", action="store_true", help="only the items that did not succeed")
    parser.add_argument(
        "--keep", metavar="BYTES", type=a_positive_count, default=16_384, help="of a command's output (default 16384)"
    )
    add_wait(parser)
    add_json(parser, "print the new execution")
