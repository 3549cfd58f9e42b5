"""Bringing a database file to the schema of this version, by whoever opens it first."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import apsw

from execlog.core.errors import StoreError
from execlog.store.ownership import create_private
from execlog.store.sql import migrations
from execlog.store.sqlite.connection import PAGE_SIZE, WRITER_CACHE_KIB, Connections, translated
from execlog.store.sqlite.damage import require_whole

APPLICATION_ID = 0x45584C47  # "EXLG"
_STATE = """
select user_version, application_id, (
    select count(*) from sqlite_master where type = 'table' and name not in ('jobs', 'firings')
)
from pragma_user_version, pragma_application_id
"""


def migrate(connections: Connections, *, timeout: float) -> int:
    """The schema version the database has now: this code's. Several processes may do this at once.

    Raises StoreError for a database of a newer execlog, or one that is not execlog's.
    """
    path = connections.path
    _create(path)
    with translated(path):
        connection = connections.open(cache_kib=WRITER_CACHE_KIB)
        try:
            require_whole(path, int(connection.pragma("page_size")))
            if _version(connection, path) < len(migrations("sqlite")):
                _to_wal(connection, path, timeout)
                _apply(connection, path)
            return _version(connection, path)
        finally:
            connection.close()


def _create(path: Path) -> None:
    """Make the file, readable by its owner alone: what it will hold is nobody else's business."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        create_private(path)
    except OSError as error:
        raise StoreError(f"{path}: {error.strerror}", retry=False) from error


def _version(connection: Any, path: Path) -> int:
    # One statement, so that another process's migration is seen whole or not at all.
    version, application, tables = connection.execute(_STATE).fetchall()[0]
    known = len(migrations("sqlite"))
    if version > known:
        raise StoreError(
            f"{path} has schema version {version}, this execlog knows {known}: a newer execlog has opened it; "
            "update this one, or use another database",
            retry=False,
        )
    if version == 0 and tables:
        raise StoreError(f"{path} is an SQLite database, but not one of execlog's", retry=False)
    if version and application != APPLICATION_ID:
        raise StoreError(f"{path} is an SQLite database of another application", retry=False)
    return version


def _to_wal(connection: Any, path: Path, timeout: float) -> None:
    """Switch to write-ahead logging. SQLite does not wait for other connections here, so we do."""
    end = time.monotonic() + timeout
    while True:
        try:
            connection.pragma("page_size", PAGE_SIZE)
            mode = connection.pragma("journal_mode", "wal")
            break
        except apsw.BusyError:
            if time.monotonic() > end:
                raise
            time.sleep(0.01)
    if mode != "wal":
        raise StoreError(f"{path}: write-ahead logging is not possible here (a network file system?)", retry=False)


def _apply(connection: Any, path: Path) -> None:
    connection.execute("begin immediate")
    try:
        for number, sql in migrations("sqlite")[_version(connection, path) :]:
            connection.execute(sql)
            connection.pragma("user_version", number)
        connection.pragma("application_id", APPLICATION_ID)
        connection.execute("commit")
    except BaseException:
        if connection.in_transaction:  # a damaged page ends it by itself
            connection.execute("rollback")
        raise
