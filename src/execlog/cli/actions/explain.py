"""`execlog explain`: what it does."""

from __future__ import annotations

from execlog.cli import exits
from execlog.cli.dossier import write_explanation
from execlog.cli.lookup import find_one
from execlog.cli.parser import Options
from execlog.cli.place import now, open_store
from execlog.cli.terminal import Terminal
from execlog.core.model import OPEN
from execlog.history.explanation import explain
from execlog.history.view import to_json


def execute(options: Options, terminal: Terminal) -> int:
    """Print the explanation."""
    with open_store(options) as store:
        execution = find_one(store, options.id, options)
        found = explain(store, execution, now=now())
    if options.json:
        terminal.line(to_json(found).decode())
    elif found.summary:
        write_explanation(terminal, execution, found)
    else:
        terminal.line("It is going." if execution.status in OPEN else "It went well, and as usual.")
    return exits.OK
