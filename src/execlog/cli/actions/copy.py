"""`execlog copy`: what it does."""

from __future__ import annotations

import sys
from collections.abc import Generator
from contextlib import contextmanager

import msgspec
from msgspec.structs import replace

from execlog.cli import exits, units
from execlog.cli.options import filter_of
from execlog.cli.parser import Options
from execlog.cli.place import now, settings_of
from execlog.cli.table import Cell, Column, write_table
from execlog.cli.terminal import Terminal
from execlog.core.errors import InvalidError, StoreError, UnsupportedError
from execlog.core.filter import Filter
from execlog.history.copying import Copied, Count, copy_executions, copy_jobs, copy_pairs, foreign_in
from execlog.store.base import Store
from execlog.store.job_opening import open_jobs
from execlog.store.migrating import foresee
from execlog.store.opening import open_store
from execlog.store.places import is_there


def execute(options: Options, terminal: Terminal) -> int:
    """Copy, and print what was copied and whether it is all there."""
    if options.source == options.target:
        raise InvalidError("FROM and TO are the same store", field="target")
    asked = filter_of(options)
    _require(options.source)
    with _opened(options, options.source) as source:
        found = source.count(asked)
        if options.dry_run:
            _foresee(terminal, found, foreign_in(source, asked), json=options.json)
            return exits.OK
        with _opened(options, options.target) as target:
            copied = _copy(source, target, asked, found, options)
    if options.json:
        terminal.line(msgspec.json.encode(copied).decode())
    else:
        _write(terminal, copied)
    return exits.OK if copied.complete else exits.PARTIAL


def _copy(source: Store, target: Store, asked: Filter, found: int, options: Options) -> Copied:
    shown = sys.stderr.isatty()

    def progress(done: int) -> None:
        if shown:
            print(f"\r{units.count(done)} of {units.count(found)} executions", end="", file=sys.stderr, flush=True)

    copied = copy_executions(source, target, asked, progress=progress)
    if shown and copied.executions:
        print(file=sys.stderr)
    if options.executions_only:
        return copied
    home = settings_of(options).home
    jobs = copy_jobs(open_jobs(source, home), open_jobs(target, home))
    try:
        pairs = copy_pairs(source, target, now=now())
    except UnsupportedError:
        pairs = 0
    return replace(copied, jobs=jobs, pairs=pairs)


def _require(url: str) -> None:
    """Nothing. Raises StoreError where no store is there: opening one to read from it would make it."""
    found = foresee(url)
    if found.before == 0 or not is_there(url):
        raise StoreError(f"{found.url} is no store of execlog: there is nothing to copy", retry=False)


@contextmanager
def _opened(options: Options, url: str) -> Generator[Store]:
    store = open_store(url, settings_of(options))
    try:
        yield store
    finally:
        store.close()


def _foresee(terminal: Terminal, found: int, foreign: int, *, json: bool) -> None:
    if json:
        terminal.line(msgspec.json.encode({"found": found, "foreign": foreign}).decode())
        return
    terminal.line(f"{units.things(found, 'execution')} would be copied")
    _hint(terminal, foreign)


def _hint(terminal: Terminal, foreign: int) -> None:
    if foreign:
        records = units.things(foreign, "record")
        terminal.line(f"not taken in: {records} of jobs that another program wrote; execlog import redis reads them")


def _write(terminal: Terminal, copied: Copied) -> None:
    write_table(terminal, _COLUMNS, copied.counts)
    terminal.line(
        f"{units.things(copied.executions, 'execution')} copied, {units.count(copied.written)} of them new or changed; "
        f"{units.things(copied.jobs, 'job')}, {units.things(copied.pairs, 'pair')}"
    )
    if copied.missing:
        terminal.line(f"not there, or not as they were: {', '.join(copied.missing)}")
    _hint(terminal, copied.foreign)
    if copied.set_aside:
        terminal.line(f"{units.count(copied.set_aside)} cannot be kept there and were set aside: execlog doctor")


_COLUMNS: list[Column[Count]] = [
    Column("KIND", lambda one: Cell(one.kind)),
    Column("STATUS", lambda one: Cell(one.status.value)),
    Column("READ", lambda one: Cell(units.count(one.read)), right=True),
    Column("FOUND", lambda one: Cell(units.count(one.found), "" if one.found >= one.read else "red"), right=True),
]
