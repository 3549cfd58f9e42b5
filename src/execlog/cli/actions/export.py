"""`execlog export`: what it does."""

from __future__ import annotations

import io
import os
import sys
from collections.abc import Generator, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TextIO

from execlog.cli import exits, units
from execlog.cli.executions import FIELDS, TEXTS, values
from execlog.cli.options import filter_of
from execlog.cli.parser import Options
from execlog.cli.place import open_store
from execlog.cli.terminal import Terminal
from execlog.core.errors import InvalidError
from execlog.core.filter import Filter
from execlog.core.model import Execution
from execlog.store.base import SUMMARY, WHOLE, Store
from execlog.store.durability import sync_folder

_PAGE = 200


def execute(options: Options, terminal: Terminal) -> int:
    """Write the executions."""
    asked = filter_of(options)
    write = {"csv": _write_csv, "json": _write_json, "ndjson": _write_ndjson}[options.form]
    with open_store(options) as store, _target(options.output, terminal) as stream:
        written = write(stream, _every(store, asked, options))
    if options.output not in {None, "", "-"}:
        print(f"{units.things(written, 'execution')} written to {options.output}", file=sys.stderr)
    return exits.OK


def _every(store: Store, asked: Filter, options: Options) -> Iterator[Execution]:
    parts = SUMMARY if options.form == "csv" else WHOLE
    cursor, left = None, options.limit
    while left is None or left > 0:
        page = store.find(asked, limit=min(_PAGE, left or _PAGE), cursor=cursor, parts=parts)
        yield from page.entries
        cursor = page.next_cursor
        if cursor is None:
            return
        left = None if left is None else left - len(page.entries)


@contextmanager
def _target(path: str | None, terminal: Terminal) -> Generator[TextIO]:
    """Where to write: a file takes its name once it is whole."""
    if path is None or path in {"", "-"}:
        yield terminal.stream
        return
    target = Path(path)
    if not target.parent.is_dir():
        raise InvalidError(f"--output: there is no folder {str(target.parent)!r}")
    unfinished = target.with_name(f".{target.name}.{os.getpid()}")
    try:
        with unfinished.open("w", encoding="utf-8", newline="") as stream:
            yield stream
            stream.flush()
            os.fsync(stream.fileno())
        unfinished.replace(target)
        sync_folder(target.parent)  # what was said to be written is there after a power cut too
    finally:
        unfinished.unlink(missing_ok=True)


def _write_csv(stream: TextIO, executions: Iterator[Execution]) -> int:
    from execlog.history.spreadsheet import text_cell

    stream.write(_line(FIELDS))
    written = 0
    for one in executions:
        cells = zip(FIELDS, values(one), strict=True)
        stream.write(_line(text_cell(value) if field in TEXTS else value for field, value in cells))
        written += 1
    return written


def _line(cells: Iterable[str]) -> str:
    import csv

    buffer = io.StringIO()
    # Before Python 3.13 only what ends a line is quoted, and a bare carriage return ends one for most readers.
    csv.writer(buffer, lineterminator="\r\n").writerow(cells)
    return buffer.getvalue().removesuffix("\r\n") + "\n"


def _write_ndjson(stream: TextIO, executions: Iterator[Execution]) -> int:
    written = 0
    for one in executions:
        stream.write(_json(one) + "\n")
        written += 1
    return written


def _write_json(stream: TextIO, executions: Iterator[Execution]) -> int:
    written = 0
    for one in executions:
        stream.write((",\n" if written else "[\n") + _json(one))
        written += 1
    stream.write("\n]\n" if written else "[]\n")
    return written


def _json(one: Execution) -> str:
    from execlog.history.view import to_json, view

    return to_json(view(one, WHOLE)).decode()
