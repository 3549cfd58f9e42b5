"""What an operator does to a database that is in use: a copy of it, and giving back the space that was emptied."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import apsw

from execlog.core.errors import StoreError
from execlog.store.durability import sync_folder
from execlog.store.ownership import create_private
from execlog.store.sqlite.connection import READER_CACHE_KIB, Connections, translated

_CHECKPOINT = "pragma wal_checkpoint(truncate)"
"""Until then what was written is in the log beside the file, which is as large as it was."""


def back_up(connections: Connections, target: Path) -> int:
    """How many bytes the copy of the database has that is `target` now; a file of this name is replaced.

    It is of one moment, checked, and on disk; whoever writes meanwhile does not wait. Raises StoreError, leaving what
    was there.
    """
    unfinished = target.with_name(f".{target.name}.{os.getpid()}")
    try:
        create_private(unfinished)
        with translated(unfinished):
            _copy(connections, unfinished)
        with unfinished.open("rb") as file:
            os.fsync(file.fileno())
        unfinished.replace(target)
        sync_folder(target.parent)
        return target.stat().st_size
    except OSError as error:
        raise StoreError(f"{target}: {error.strerror}", retry=False) from error
    finally:
        unfinished.unlink(missing_ok=True)


def vacuum(connections: Connections) -> int:
    """How many bytes the file is smaller than before: what was removed from it leaves pages that are only used again.

    It takes as much free space as the history has, and writers wait for it. Raises StoreError.
    """
    with translated(connections.path):
        connection = connections.open(cache_kib=READER_CACHE_KIB)
        try:
            connection.execute(_CHECKPOINT)
            before = connections.path.stat().st_size
            connection.execute("vacuum")
            connection.execute(_CHECKPOINT)
            return before - connections.path.stat().st_size
        finally:
            connection.close()


def _copy(connections: Connections, target: Path) -> None:
    copy: Any = apsw.Connection(str(target))
    try:
        with connections.read(unhurried=True) as session, session.copying(copy) as copying:
            while not copying.done:
                copying.step(-1)  # all in one: a write in between would make it begin anew
        found = copy.execute("pragma quick_check(1)").get
        if found != "ok":
            raise StoreError(f"{connections.path} is damaged ({found}): it was not backed up", retry=False)
    finally:
        copy.close()
