"""`execlog import`: what it does."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import msgspec

from execlog.cli import exits, units
from execlog.cli.parser import Options
from execlog.cli.place import open_ledger, settings_of
from execlog.cli.terminal import Terminal
from execlog.core.model import Event
from execlog.core.redact import Redactor
from execlog.core.settings import Settings
from execlog.history.adoption import Adopted, Foreseen, Found, adopt, foresee
from execlog.kinds.queries.record import KIND as QUERY
from execlog.kinds.queries.sealing import sealer_of


def execute(options: Options, terminal: Terminal) -> int:
    """Import, and print what was taken over and what was not."""
    shown = sys.stderr.isatty()

    def progress(done: int) -> None:
        if shown:
            print(f"\r{units.count(done)} records", end="", file=sys.stderr, flush=True)

    settings = settings_of(options)
    found = _found(options.layout, options.source, settings)
    with open_ledger(options) as ledger:
        ledger.drain_dead()
        store = ledger.store
        if options.dry_run:
            adopted = foresee(store, found, progress=progress)
        else:
            adopted = adopt(store, found, clean=_cleaning(settings), progress=progress)
    if shown and adopted.read:
        print(file=sys.stderr)
    if options.json:
        terminal.line(msgspec.json.encode(adopted).decode())
    else:
        _write(terminal, adopted)
    return exits.PARTIAL if adopted.refused else exits.OK


def _found(layout: str, source: str, settings: Settings) -> Iterator[Found]:
    if layout == "redis":
        from execlog.kinds.jobs.adoption import jobs_in_redis

        return jobs_in_redis(source, settings)
    if layout == "files":
        from execlog.kinds.workflows.adoption import workflows_in_files

        return workflows_in_files(Path(source.removeprefix("files://")).expanduser())
    from execlog.cli.tables import rows_in_postgres

    return rows_in_postgres(source)


def _cleaning(settings: Settings) -> Callable[[Event], Event]:
    """What takes secrets out of an event, and seals a query where that is asked for."""
    redactor, sealer = Redactor(settings.redact), sealer_of(settings.home)

    def clean(event: Event) -> Event:
        event = redactor.value(event)
        return event if sealer is None or event.kind != QUERY else sealer.sealed(event)

    return clean


def _write(terminal: Terminal, adopted: Adopted | Foreseen) -> None:
    if isinstance(adopted, Adopted):
        became = f"{units.count(adopted.written)} new or changed here"
    else:
        became = f"{units.things(adopted.new, 'execution')} would be new, {units.count(adopted.known)} are here already"
    terminal.line(f"{units.things(adopted.read, 'record')} read, {became}")
    for refused in adopted.reasons:
        terminal.line(f"left {refused.where}: {refused.reason}")
    if adopted.refused > len(adopted.reasons):
        terminal.line(f"and {units.count(adopted.refused - len(adopted.reasons))} more left")
