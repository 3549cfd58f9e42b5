"""Jobs in PostgreSQL: several schedulers write at once, each holding the rows of the jobs it deals with."""

from __future__ import annotations

from collections.abc import Generator, Iterable
from contextlib import contextmanager
from typing import Any

from execlog.store.postgres.connection import Connections
from execlog.store.sql import queries
from execlog.store.sql_jobs import Rows, Run, SqlJobStore

_SQL = queries("postgres", "jobs")


class PostgresJobStore(SqlJobStore):
    """A `JobStore` in the database of an execution store, over that store's connections."""

    def __init__(self, connections: Connections) -> None:
        self._connections = connections

    @contextmanager
    def transaction(self) -> Generator[Run]:
        """A function that runs a named statement inside one write transaction."""
        with self._connections.translated(), self._connections.write() as session:

            def run(query: str, **values: Any) -> Rows:
                return session.rows(_SQL[query], values)

            yield run

    def read(self, query: str, **values: Any) -> Rows:
        """The rows of a named statement that only reads."""
        with self._connections.read() as session:
            return session.rows(_SQL[query], values)

    def hold(self, run: Run, ids: Iterable[str]) -> None:
        """Lock the rows of these jobs until the transaction ends."""
        wanted = sorted(set(ids))
        if wanted:
            run("hold_jobs", ids=wanted)

    def claimable(self, run: Run, now: int, limit: int) -> dict[str, Any]:
        """The jobs whose waiting firings may be claimed, locked; what another scheduler holds is its to claim."""
        return {"held": [row[0] for row in run("hold_claimable", now=now, limit=limit)]}

    def close(self) -> None:
        """Nothing to release: the connections are the store's."""
