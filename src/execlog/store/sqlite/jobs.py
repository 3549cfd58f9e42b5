"""Jobs in the SQLite file of the store, or in one of their own; one statement a batch."""

from __future__ import annotations

from collections.abc import Generator, Iterable
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from execlog.core.errors import StoreError
from execlog.store.ownership import create_private
from execlog.store.sql import queries
from execlog.store.sql_jobs import Rows, Run, SqlJobStore
from execlog.store.sqlite.connection import Connections, translated
from execlog.store.sqlite.damage import require_whole

_BUSY_SECONDS = 10.0
_READ_SECONDS = 60.0
_CACHE_KIB = 16_384
_SQL = queries("sqlite", "jobs")


class SqliteJobStore(SqlJobStore):
    """A `JobStore` in an SQLite file that several processes share: one of its own, or an execution store's.

    In an execution store's file it takes turns with that store's writer, rather than have SQLite keep one asleep.
    """

    def __init__(self, place: str | Path | Connections) -> None:
        self._owned = not isinstance(place, Connections)
        self._connections = place if isinstance(place, Connections) else open_file(Path(place))
        with translated(self._connections.path), self._connections.write() as session:
            for statement in _SQL["schema"].split(";"):
                if statement.strip():
                    session.run(statement)

    @contextmanager
    def transaction(self) -> Generator[Run]:
        """A function that runs a named statement inside one write transaction."""
        with translated(self._connections.path), self._connections.write() as session:

            def run(query: str, **values: Any) -> Rows:
                return session.rows(_SQL[query], values)

            yield run

    def read(self, query: str, **values: Any) -> Rows:
        """The rows of a named statement that only reads."""
        with self._connections.read() as session:
            return session.rows(_SQL[query], values)

    def hold(self, run: Run, ids: Iterable[str]) -> None:
        """Nothing to do: only one transaction writes at a time."""

    def claimable(self, run: Run, now: int, limit: int) -> dict[str, Any]:
        """Nothing: what a transaction sees is as it is."""
        del run, now, limit
        return {}

    def close(self) -> None:
        """Close the connections, if they are its own."""
        if self._owned:
            self._connections.close()


def open_file(path: Path) -> Connections:
    """The connections of a file beside the store, made where it is missing and switched to write-ahead logging."""
    connections = Connections(path, busy_timeout=_BUSY_SECONDS, read_timeout=_READ_SECONDS, functions={})
    try:
        create_private(path)
    except OSError as error:
        raise StoreError(f"{path}: {error.strerror}", retry=False) from error
    with translated(path):
        connection = connections.open(cache_kib=_CACHE_KIB)
        try:
            require_whole(path, int(connection.pragma("page_size")))
            connection.execute("pragma journal_mode = wal")
        finally:
            connection.close()
    return connections
