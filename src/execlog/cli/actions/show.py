"""`execlog show`: what it does."""

from __future__ import annotations

from execlog.cli import exits
from execlog.cli.dossier import write_dossier
from execlog.cli.lookup import find_one
from execlog.cli.outcome import exit_code
from execlog.cli.parser import Options
from execlog.cli.place import open_store
from execlog.cli.terminal import Terminal


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
