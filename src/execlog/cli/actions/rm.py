"""`execlog rm`: what it does."""

from __future__ import annotations

import msgspec

from execlog.cli import exits, units
from execlog.cli.confirmation import agreed
from execlog.cli.lookup import find_one
from execlog.cli.options import filter_of, is_narrow
from execlog.cli.parser import Options, complain
from execlog.cli.place import open_store
from execlog.cli.terminal import Terminal
from execlog.core.errors import NotFoundError
from execlog.core.filter import Filter
from execlog.store.base import Store


def execute(options: Options, terminal: Terminal) -> int:
    """Remove, and print how many."""
    asked = filter_of(options)
    if options.ids:
        return _remove_named(options, terminal)
    if not is_narrow(asked) and not options.all:
        options.parser.error("name ids, or a filter such as --subject, or --all")
    with open_store(options) as store:
        count = store.count(asked)
        if not options.dry_run and not agreed(f"Remove {units.things(count, 'execution')}?", options, terminal):
            return exits.FAILED
        if not options.dry_run:
            count = store.delete(asked)
    return _say(count, options, terminal)


def _remove_named(options: Options, terminal: Terminal) -> int:
    removed, missing = 0, 0
    with open_store(options) as store:
        for text in options.ids:
            try:
                removed += _remove_one(store, text, options)
            except NotFoundError as error:
                complain(str(error))
                missing += 1
    _say(removed, options, terminal)
    if missing:
        return exits.PARTIAL if removed else exits.NOT_FOUND
    return exits.OK


def _remove_one(store: Store, text: str, options: Options) -> int:
    found = find_one(store, text, options)
    if options.dry_run:
        return 1
    return store.delete(Filter(ids=(found.id,), kind=found.kind, namespace=found.namespace))


def _say(count: int, options: Options, terminal: Terminal) -> int:
    if options.json:
        terminal.line(msgspec.json.encode({"deleted": 0 if options.dry_run else count, "found": count}).decode())
    else:
        word = "would be removed" if options.dry_run else "removed"
        terminal.line(f"{units.count(count)} {word}")
    return exits.OK
