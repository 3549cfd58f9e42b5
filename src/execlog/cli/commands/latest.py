"""`execlog latest`."""

from __future__ import annotations

from execlog.cli import exits
from execlog.cli.commands.list import nothing, write_executions
from execlog.cli.executions import FIELDS, values
from execlog.cli.options import a_list_of_statuses, a_positive_count, add_json
from execlog.cli.outcome import add_check, exit_code
from execlog.cli.parser import Options, Parser
from execlog.cli.place import open_store
from execlog.cli.table import write_values
from execlog.cli.terminal import Terminal
from execlog.core.errors import NotFoundError
from execlog.core.filter import as_filter
from execlog.core.model import Execution

DESCRIPTION = "The newest execution of each thing that runs: of every job, workflow, command …, or of the one named."
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
    add_check(parser)
    add_json(parser, "print what GET /api/latest gives")
    parser.add_argument("--no-header", action="store_true", help="in a pipe: no line of names")


def execute(options: Options, terminal: Terminal) -> int:
    """Print the newest executions."""
    names = ("kind", "namespace", "subject")
    fields = {name: getattr(options, name) for name in names if getattr(options, name) is not None}
    asked = as_filter(fields | {"statuses": options.status})
    with open_store(options) as store:
        found = store.latest(asked, limit=options.limit)
    if options.subject is not None and not found:
        raise NotFoundError(f"no execution of {options.subject!r}; `execlog latest` shows everything that ran")
    _print(found, options, terminal)
    if not found and terminal.interactive and not options.json:
        terminal.line(nothing(asked))
    return exit_code([one.status for one in found]) if options.check else exits.OK


def _print(found: list[Execution], options: Options, terminal: Terminal) -> None:
    if options.json:
        from execlog.history.listing import ExecutionList
        from execlog.history.view import to_json, view

        terminal.line(to_json(ExecutionList(executions=tuple(map(view, found)))).decode())
    elif not terminal.interactive:
        write_values(terminal, FIELDS, map(values, found), header=not options.no_header)
    elif found:
        write_executions(terminal, found)
