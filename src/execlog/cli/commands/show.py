"""`execlog show`."""

from __future__ import annotations

from execlog.cli import exits
from execlog.cli.dossier import write_dossier
from execlog.cli.lookup import add_id, find_one
from execlog.cli.options import add_json
from execlog.cli.outcome import add_check, exit_code
from execlog.cli.parser import Options, Parser
from execlog.cli.place import open_store
from execlog.cli.terminal import Terminal

DESCRIPTION = "One execution with everything known about it: its items, errors, log, attempts and children."
EXAMPLES = (
    "execlog show 019aaa39-4c1f",
    "execlog show 019aaa39-4c1f --json | jq .error",
    "execlog show 019aaa39-4c1f --check",
)


def configure(parser: Parser) -> None:
    """Declare the arguments."""
    add_id(parser)
    parser.add_argument("--all", action="store_true", help="every item and log line, not only the first and last ones")
    add_check(parser)
    add_json(parser, "print what GET /api/executions/{id} gives")


def execute(options: Options, terminal: Terminal) -> int:
    """Print the execution."""
    from execlog.history.dossier import dossier

    with open_store(options) as store:
        execution = find_one(store, options.id, options)
        found = dossier(store, execution)
    if options.json:
        from execlog.history.view import to_json

        terminal.line(to_json(found).decode())
    else:
        write_dossier(terminal, execution, found, whole=options.all or not terminal.interactive)
    return exit_code([execution.status]) if options.check else exits.OK
