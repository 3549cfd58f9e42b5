"""`execlog tail`: what it does."""

from __future__ import annotations

from collections.abc import Iterable

from execlog.cli import exits
from execlog.cli.executions import FIELDS, short_ids, values, write_execution
from execlog.cli.following import News, follow, newest_change
from execlog.cli.options import filter_of
from execlog.cli.parser import Options
from execlog.cli.place import open_store
from execlog.cli.table import write_values
from execlog.cli.terminal import Terminal
from execlog.core.filter import MAX_LIMIT
from execlog.core.model import Execution
from execlog.history.reason import explained
from execlog.store.base import Store


def execute(options: Options, terminal: Terminal) -> int:
    """Print lines until there are no more, or with -f until interrupted."""
    asked = filter_of(options)
    with open_store(options) as store:
        printer = _Printer(store, options, terminal)
        place = newest_change(store)
        if options.limit:
            printer.show(explained(store, store.find(asked, limit=min(options.limit, MAX_LIMIT)).entries[::-1]))
        if options.follow:
            for changed in follow(store, asked, place, options.every):
                printer.show(explained(store, changed))
    return exits.OK


class _Printer:
    """Writes a line for each execution whose status is not the one written last."""

    def __init__(self, store: Store, options: Options, terminal: Terminal) -> None:
        self._store = store
        self._json = options.json
        self._terminal = terminal
        self._news = News()
        self._began = False

    def show(self, executions: Iterable[Execution]) -> None:
        """Write what is new."""
        self._write(self._news.of(executions))
        self._terminal.flush()

    def _write(self, fresh: list[Execution]) -> None:
        if self._json:
            from execlog.history.view import to_json, view

            for one in fresh:
                self._terminal.line(to_json(view(one)).decode())
        elif self._terminal.interactive:
            ids = short_ids(self._store, [one.id for one in fresh])
            for one in fresh:
                write_execution(self._terminal, one, ids[one.id])
        else:
            write_values(self._terminal, FIELDS, map(values, fresh), header=not self._began)
            self._began = True
