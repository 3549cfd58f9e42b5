"""`execlog show`: what it does."""

from __future__ import annotations

from contextlib import suppress

from execlog.cli import exits
from execlog.cli.dossier import write_dossier
from execlog.cli.lookup import find_one
from execlog.cli.outcome import exit_code
from execlog.cli.parser import Options
from execlog.cli.place import now, open_store
from execlog.cli.terminal import Terminal
from execlog.core.model import OPEN
from execlog.history.dossier import dossier
from execlog.history.explanation import explain
from execlog.history.view import to_json


def execute(options: Options, terminal: Terminal) -> int:
    """Print the execution."""
    with open_store(options) as store:
        execution = find_one(store, options.id, options)
        found = dossier(store, execution)
        ended = execution.status not in OPEN and not options.json
        explanation = explain(store, execution, now=now()) if ended else None
    with suppress(BrokenPipeError):  # who reads no further is told how it went all the same
        if options.json:
            terminal.line(to_json(found).decode())
        else:
            whole = options.all or not terminal.interactive
            write_dossier(terminal, execution, found, explanation, whole=whole)
    return exit_code([execution.status]) if options.check else exits.OK
