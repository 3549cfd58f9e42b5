"""`execlog list`: what it does."""

from __future__ import annotations

from collections.abc import Sequence

from execlog.cli import exits
from execlog.cli.executions import FIELDS, columns, short_ids, values
from execlog.cli.options import filter_of, is_narrow
from execlog.cli.parser import Options
from execlog.cli.place import now, open_store
from execlog.cli.table import write_table, write_values
from execlog.cli.terminal import Terminal
from execlog.core.filter import MAX_LIMIT, Filter, Page
from execlog.core.model import Execution
from execlog.history.reason import explained
from execlog.store.base import Store


def execute(options: Options, terminal: Terminal) -> int:
    """Print the page."""
    asked = filter_of(options)
    with open_store(options) as store:
        page = _pages(store, asked, options.limit, options.cursor)
        if options.json:
            from execlog.history.listing import ExecutionList
            from execlog.history.view import to_json, view

            whole = ExecutionList(executions=tuple(map(view, page.entries)), next_cursor=page.next_cursor)
            terminal.line(to_json(whole).decode())
        elif terminal.interactive:
            _show(store, page, asked, terminal)
        else:
            shown = explained(store, page.entries)
            write_values(terminal, FIELDS, map(values, shown), header=not options.no_header)
    return exits.OK


def _show(store: Store, page: Page[Execution], asked: Filter, terminal: Terminal) -> None:
    if not page.entries:
        terminal.line(nothing(asked))
        return
    write_executions(store, terminal, page.entries)
    if page.next_cursor:
        terminal.line(terminal.paint(f"There are more: the same with --cursor {page.next_cursor}", "dim"))


def write_executions(store: Store, terminal: Terminal, executions: Sequence[Execution]) -> None:
    """Write executions as a table, with what their items say where only those say why."""
    shown = columns(terminal, now(), short_ids(store, [one.id for one in executions]))
    write_table(terminal, shown, explained(store, executions))


def nothing(asked: Filter) -> str:
    """What to say where there is nothing to show."""
    if is_narrow(asked):
        return "Nothing like that was recorded."
    return "Nothing was recorded here yet. Try: execlog run -- echo hello"


def _pages(store: Store, asked: Filter, limit: int, cursor: str | None) -> Page[Execution]:
    """One page of any size, out of the store's pages."""
    entries: list[Execution] = []
    while len(entries) < limit:
        page = store.find(asked, limit=min(limit - len(entries), MAX_LIMIT), cursor=cursor)
        entries += page.entries
        cursor = page.next_cursor
        if cursor is None:
            break
    return Page(tuple(entries), cursor)
