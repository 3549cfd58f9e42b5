"""`execlog prune`: what it does."""

from __future__ import annotations

import msgspec
from msgspec.structs import replace

from execlog.cli import exits, units
from execlog.cli.confirmation import agreed
from execlog.cli.parser import Options
from execlog.cli.place import now, open_store, settings_of
from execlog.cli.terminal import Terminal
from execlog.core.errors import UnsupportedError
from execlog.core.filter import Filter
from execlog.core.model import TERMINAL
from execlog.history.retention import remove_before
from execlog.store.base import InOneFile, Store

_DAY = 86_400


def execute(options: Options, terminal: Terminal) -> int:
    """Remove, and print how many."""
    age = _age(options)
    before = now() - int(age * 1e6)
    among = Filter(kind=options.kind, namespace=options.namespace)
    with open_store(options) as store:
        found = store.count(replace(among, until=before, statuses=tuple(TERMINAL)))
        question = f"Remove {units.things(found, 'execution')} older than {units.seconds(age)}?"
        if found and not options.dry_run and not agreed(question, options, terminal):
            return exits.FAILED
        removed = remove_before(store, before, among=among) if found and not options.dry_run else 0
        freed = _vacuumed(store) if options.vacuum and not options.dry_run else None
    if options.json:
        answer = {"deleted": removed, "found": found} | ({} if freed is None else {"freed": freed})
        terminal.line(msgspec.json.encode(answer).decode())
    else:
        given_back = "" if freed is None else f", {units.size(freed)} given back"
        terminal.line(
            f"{units.count(found)} would be removed"
            if options.dry_run
            else f"{units.count(removed)} removed{given_back}"
        )
    return exits.OK


def _vacuumed(store: Store) -> int:
    """How many bytes the disk got back."""
    if not isinstance(store, InOneFile):
        raise UnsupportedError(f"{store.url} gives space back by itself, without --vacuum", capability="vacuum")
    return max(store.vacuum(), 0)


def _age(options: Options) -> float:
    """Seconds."""
    age = options.older_than
    if age is None:
        age = settings_of(options).retention_days * _DAY
        if not age:
            options.parser.error("--older-than is needed: the setting retention_days keeps everything")
    if age < 1:
        options.parser.error("--older-than must be at least a second")
    return age
