"""Bringing a database to the schema of this version, by whoever opens it first."""

from __future__ import annotations

from collections.abc import Generator
from contextlib import contextmanager
from typing import Any

from execlog.core.errors import StoreError
from execlog.store.postgres.connection import Connections
from execlog.store.sql import migrations, queries

_SQL: Any = queries("postgres", "write")
# A large database takes its time, and so does waiting for another process's migration.
_PATIENCE = "set local statement_timeout = 0"
_LOCK = "select pg_advisory_xact_lock(hashtext('execlog schema ' || current_schema()))"
# Asked of the catalogue's table: `to_regclass` may answer from before another process's migration that we waited for.
_OURS = "select exists (select from pg_tables where schemaname = current_schema() and tablename = 'execlog_schema')"
_VERSION = "select coalesce(max(version), 0) from execlog_schema"


def migrate(connections: Connections, *, indexes: bool = True) -> int:
    """The schema version the database has now: this code's. Several processes may do this at once.

    With `indexes` texts get theirs too where they have none: the migration died before it came to that, or the server
    had no trigrams then. Raises StoreError for a database of a newer execlog, and where the user may not create tables.
    """
    known = len(migrations("postgres"))
    connection = connections.connect()
    try:
        with connections.translated():
            version = version_of(connection)
            if version < known:
                with connection.transaction():
                    connection.execute(_PATIENCE)
                    connection.execute(_LOCK)
                    connection.execute(_SQL["lock"])  # what is being written is counted by this version or the last
                    with _of_others(connections.url):
                        _apply(connection, version_of(connection))
                version = known
            if version == known and indexes and not has_trigrams(connection):
                _index_texts(connection)
    finally:
        connection.close()
    if version > known:
        raise StoreError(
            f"{connections.url} has schema version {version}, this execlog knows {known}: a newer execlog has opened "
            "it; update this one, or use another database",
            retry=False,
        )
    return version


def version_of(connection: Any) -> int:
    """The schema version of a database, 0 where execlog has no tables."""
    if not connection.execute(_OURS).fetchone()[0]:
        return 0
    return connection.execute(_VERSION).fetchone()[0]


def has_trigrams(connection: Any) -> bool:
    """Whether text searches have an index."""
    return connection.execute("select to_regclass('executions_searched') is not null").fetchone()[0]


@contextmanager
def _of_others(url: str) -> Generator[None]:
    """Nothing; StoreError with advice where what is to be made is there, and is not this execlog's."""
    from psycopg import errors

    try:
        yield
    except (errors.DuplicateTable, errors.DuplicateObject, errors.DuplicateFunction) as error:
        raise StoreError(
            f"{url}: {error.diag.message_primary}, and is another program's: give execlog a schema of its own "
            "(`create schema execlog`, then ?options=-csearch_path%3Dexeclog at the end of the URL); "
            "`execlog import postgres` takes over what is in theirs",
            retry=False,
        ) from error


def _apply(connection: Any, version: int) -> None:
    connection.execute(
        "create table if not exists execlog_schema (version integer primary key, applied_at timestamptz default now())"
    )
    for number, sql in migrations("postgres")[version:]:
        connection.execute(sql)
        connection.execute("insert into execlog_schema (version) values (%s)", (number,))


def _index_texts(connection: Any) -> None:
    """Index texts by trigrams where the server has them and lets us; else a search reads them, and doctor says so."""
    from psycopg import errors

    try:
        with connection.transaction():
            connection.execute(_PATIENCE)
            connection.execute(_LOCK)
            connection.execute(_SQL["trigrams"])
            connection.execute(_SQL["index_trigrams"])
    except (errors.UndefinedFile, errors.InsufficientPrivilege, errors.FeatureNotSupported):
        return
    except errors.ReadOnlySqlTransaction:  # a replica: what its primary has not, it has not
        return
