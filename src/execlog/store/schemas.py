"""The schema a store's database has, looked up without opening the store, which would make or change it."""

from __future__ import annotations

from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import urlsplit

import apsw

from execlog.core.errors import StoreError
from execlog.store.places import path_of
from execlog.store.sql import migrations
from execlog.store.sqlite.connection import translated

_SECONDS = 10.0


class Schema(NamedTuple):
    """The version a database has (0: none yet), and the one this execlog knows."""

    version: int
    known: int


def schema_of(url: str) -> Schema | None:
    """The schema of the store at this URL; None for a store that has none. Raises StoreError, MissingExtraError."""
    scheme, path = urlsplit(url).scheme, path_of(url)
    if scheme == "sqlite" and path is not None:
        return Schema(_in_sqlite(path), len(migrations("sqlite")))
    if scheme in {"postgresql", "postgres"}:
        return Schema(_in_postgres(url), len(migrations("postgres")))
    return None


def require_current(url: str) -> None:
    """Nothing. Raises StoreError for a database that `execlog migrate` has something to do on."""
    schema = schema_of(url)
    if schema is not None and schema.version < schema.known:
        raise StoreError(
            f"the store has schema version {schema.version}, this execlog needs {schema.known}, and by the setting "
            "`migrate` may not bring it there: run `execlog migrate` as somebody who may",
            retry=False,
        )


def _in_sqlite(path: Path) -> int:
    if not path.is_file():
        return 0
    with translated(path):
        connection: Any = apsw.Connection(str(path), flags=apsw.SQLITE_OPEN_READONLY)
        try:
            return int(str(connection.execute("pragma user_version").get))
        finally:
            connection.close()


def _in_postgres(url: str) -> int:
    from execlog.store.postgres.connection import Connections
    from execlog.store.postgres.migrating import version_of

    connections = Connections(url, write_timeout=_SECONDS, read_timeout=_SECONDS)
    connection = connections.connect()
    try:
        with connections.translated():
            return version_of(connection)
    finally:
        connection.close()
