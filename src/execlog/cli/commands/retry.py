"""`execlog retry`."""

from __future__ import annotations

from typing import Any, cast

from execlog.cli.jobs.running import add_wait, run_job
from execlog.cli.lookup import add_id, find_one
from execlog.cli.options import a_positive_count, add_json
from execlog.cli.parser import Options, Parser
from execlog.cli.place import open_ledger
from execlog.cli.terminal import Terminal
from execlog.core.errors import InvalidError, UnsupportedError
from execlog.core.model import Execution
from execlog.core.redact import MASK

DESCRIPTION = (
    "Run an execution again, as a new one that is linked to it: a job by its job, a command with its command line in "
    "its folder. With --failed-items only the items that did not succeed. The exit code says how it went."
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


def execute(options: Options, terminal: Terminal) -> int:
    """Run it again; 1 where it failed, 6 where it went well in part, or the command's own code."""
    with open_ledger(options) as ledger:
        ledger.drain_dead()
        found = find_one(ledger.store, options.id, options)
        if found.kind == "job" and found.subject:
            return run_job(ledger, found.subject, options, terminal, retry_of=found)
    return _run_command(found, options)


def _run_command(found: Execution, options: Options) -> int:
    from execlog.cli.commands.run import run_recorded

    params = found.params or {}
    command = cast("list[Any]", params.get("command")) if isinstance(params.get("command"), list) else []
    if not command:
        raise UnsupportedError(
            f"a {found.kind} cannot be run again from here: its code knows how; give the new one retry_of={found.id!r}",
            capability="retry",
        )
    if options.failed_items:
        raise InvalidError("a command has no items: leave --failed-items out")
    words = [str(word) for word in command]
    if any(MASK in word for word in words):
        raise UnsupportedError(
            "its command line held a secret, which was not recorded: run it again by hand", capability="retry"
        )
    again = Options(
        **vars(options) | {"name": found.name, "kind": found.kind, "namespace": found.namespace},
    )
    again.tag, again.actor, again.timeout = list((found.tags or {}).items()), None, None
    return run_recorded(words, again, retry_of=found)
