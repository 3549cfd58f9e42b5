"""The pipelines' and queries' tables in somebody's PostgreSQL, row by row, for `execlog import`."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from execlog.core.errors import InvalidError, MissingExtraError, StoreError
from execlog.core.redact import Redactor
from execlog.history.adoption import Found, reading
from execlog.kinds.pipelines.adoption import TABLES
from execlog.kinds.queries.adoption import TABLE, query_event

_ALL = {**TABLES, TABLE: query_event}
LOG, ITEMS = "scheduler_execution_log", "symbol_computation_status"
_PAGE = 1_000
_FOUND = "select name from unnest(%s::text[]) as name where to_regclass(name) is not null"


def rows_in_postgres(url: str) -> Iterator[Found]:
    """Every row of those tables (or views) that are there, table by table, in one snapshot; nothing is written.

    Rows are read as JSON, so that a time Python has no value for (infinity) costs its row and not the import.

    Raises InvalidError where none is there or the database is execlog's own, StoreError, MissingExtraError.
    """
    try:
        import psycopg
    except ImportError as error:
        raise MissingExtraError("postgres", needed_for="reading a PostgreSQL") from error
    known: set[str] = set()
    try:
        with psycopg.connect(url, options="-c default_transaction_isolation=repeatable\\ read") as connection:
            names = {row[0] for row in connection.execute(_FOUND, ([*_ALL, "execlog_schema"],))}
            if "execlog_schema" in names:
                raise InvalidError("this database is execlog's own: use execlog copy", field="source")
            if not names:
                raise InvalidError(f"none of the tables {', '.join(_ALL)} is there", field="source")
            connection.execute("set local timezone to 'UTC'")
            for name in (name for name in _ALL if name in names):
                with connection.cursor(name=f"execlog_{name}") as cursor:
                    cursor.itersize = _PAGE
                    cursor.execute(f"select to_jsonb(t) from {name} t")  # pyright: ignore[reportArgumentType, reportCallIssue] - one of five names  # noqa: S608
                    rows: Iterator[tuple[dict[str, Any]]] = iter(cursor)
                    yield from _read(name, (row[0] for row in rows), known)
    except psycopg.Error as error:
        # What is no URL of PostgreSQL's is repeated in the error.
        raise StoreError(Redactor().text(f"{url}: {str(error).strip()}"), retry=False) from error


def _read(name: str, rows: Iterator[dict[str, Any]], known: set[str]) -> Iterator[Found]:
    """The rows of a table; `known` are the executions there are, for items of none would make one of nothing."""
    for number, row in enumerate(rows, 1):
        found = reading(f"{name} row {number}", lambda row=row: (_ALL[name](row),))
        ids = {event.id for event in found.said} if isinstance(found.said, tuple) else set[str]()
        if name == LOG:
            known |= ids
        if name == ITEMS and not ids <= known:
            found = found._replace(said=InvalidError(f"{LOG} has no execution {ids.pop()!r} that can be read"))
        yield found
