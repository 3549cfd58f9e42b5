"""`execlog backup`: what it does."""

from __future__ import annotations

from pathlib import Path

import msgspec

from execlog.cli import exits, units
from execlog.cli.parser import Options
from execlog.cli.place import open_store
from execlog.cli.terminal import Terminal, printable
from execlog.core.errors import InvalidError, UnsupportedError
from execlog.store.base import InOneFile


def execute(options: Options, terminal: Terminal) -> int:
    """Copy the database, and print where it is."""
    target = Path(options.file).absolute()
    if not target.parent.is_dir() or target.is_dir():
        raise InvalidError(f"FILE: {str(target)!r} is a folder, or its folder is not there")
    with open_store(options) as store:
        if not isinstance(store, InOneFile):
            raise UnsupportedError(
                f"{store.url} is backed up with the tools of its kind; `execlog copy` copies it to another store",
                capability="backup",
            )
        if target.resolve() == Path(store.url.removeprefix("sqlite:///")).resolve():
            raise InvalidError("FILE: this is the history itself")
        written = store.back_up(target)
    if options.json:
        terminal.line(msgspec.json.encode({"file": str(target), "bytes": written}).decode())
    else:
        terminal.line(f"{printable(str(target))}: {units.size(written)}")
    return exits.OK
