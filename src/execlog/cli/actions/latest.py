"""`execlog latest`: what it does."""

from __future__ import annotations

from contextlib import suppress

from execlog.cli import exits
from execlog.cli.actions.list import nothing, write_executions
from execlog.cli.executions import FIELDS, values
from execlog.cli.outcome import exit_code
from execlog.cli.parser import Options
from execlog.cli.place import now, open_store
from execlog.cli.table import write_values
from execlog.cli.terminal import Terminal
from execlog.core.errors import NotFoundError
from execlog.core.filter import as_filter
from execlog.core.model import TERMINAL, Execution
from execlog.history.listing import ExecutionList, latest, newest_with
from execlog.history.reason import explained
from execlog.store.base import Store


def execute(options: Options, terminal: Terminal) -> int:
    """Print the newest executions."""
    names = ("kind", "namespace", "subject")
    fields = {name: getattr(options, name) for name in names if getattr(options, name) is not None}
    asked = as_filter(fields | {"statuses": options.status})
    with open_store(options) as store:
        found = latest(store, asked, limit=options.limit, now=now())
        if options.check and not options.status:
            found = [newest_with(store, TERMINAL, one) for one in found]
        if options.subject is not None and not found:
            raise NotFoundError(f"no execution of {options.subject!r}; `execlog latest` shows everything that ran")
        with suppress(BrokenPipeError):  # who reads no further is told how it went all the same
            _print(store, found, options, terminal)
    if not found and terminal.interactive and not options.json:
        terminal.line(nothing(asked))
    return exit_code([one.status for one in found]) if options.check else exits.OK


def _print(store: Store, found: list[Execution], options: Options, terminal: Terminal) -> None:
    if options.json:
        from execlog.history.view import to_json, view

        terminal.line(to_json(ExecutionList(executions=tuple(map(view, found)))).decode())
    elif not terminal.interactive:
        write_values(terminal, FIELDS, map(values, explained(store, found)), header=not options.no_header)
    elif found:
        write_executions(store, terminal, found)
