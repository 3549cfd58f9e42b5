"""`execlog latest`: what it does."""

from __future__ import annotations

from msgspec.structs import replace

from execlog.cli import exits
from execlog.cli.actions.list import nothing, write_executions
from execlog.cli.executions import FIELDS, explained, values
from execlog.cli.outcome import exit_code
from execlog.cli.parser import Options
from execlog.cli.place import open_store
from execlog.cli.table import write_values
from execlog.cli.terminal import Terminal
from execlog.core.clock import SystemClock
from execlog.core.errors import NotFoundError
from execlog.core.filter import Filter, as_filter
from execlog.core.model import Execution
from execlog.store.base import Store

_NAMED_WITHIN = 30 * 86_400_000_000


def execute(options: Options, terminal: Terminal) -> int:
    """Print the newest executions."""
    names = ("kind", "namespace", "subject")
    fields = {name: getattr(options, name) for name in names if getattr(options, name) is not None}
    asked = as_filter(fields | {"statuses": options.status})
    with open_store(options) as store:
        found = store.latest(asked, limit=options.limit)
        if options.subject is not None and not found:
            found = _named(store, asked)
        if terminal.interactive and not options.json:
            found = explained(store, found)
    if options.subject is not None and not found:
        raise NotFoundError(f"no execution of {options.subject!r}; `execlog latest` shows everything that ran")
    _print(found, options, terminal)
    if not found and terminal.interactive and not options.json:
        terminal.line(nothing(asked))
    return exit_code([one.status for one in found]) if options.check else exits.OK


def _named(store: Store, asked: Filter) -> list[Execution]:
    """The newest execution under this name where nothing has it as its subject; a name has no index, so not of ever."""
    since = SystemClock().now() - _NAMED_WITHIN
    return list(store.find(replace(asked, subject=None, name=asked.subject, since=since), limit=1).entries)


def _print(found: list[Execution], options: Options, terminal: Terminal) -> None:
    if options.json:
        from execlog.history.listing import ExecutionList
        from execlog.history.view import to_json, view

        terminal.line(to_json(ExecutionList(executions=tuple(map(view, found)))).decode())
    elif not terminal.interactive:
        write_values(terminal, FIELDS, map(values, found), header=not options.no_header)
    elif found:
        write_executions(terminal, found)
