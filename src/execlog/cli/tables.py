"""The tables of sections C and D in somebody's PostgreSQL, row by row, for `execlog import`."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from execlog.core.errors import InvalidError, MissingExtraError, StoreError
from execlog.history.adoption import Found, reading
from execlog.kinds.pipelines.adoption import TABLES
from execlog.kinds.queries.adoption import TABLE, query_event

_ALL = {**TABLES, TABLE: query_event}
_PAGE = 1_000
_FOUND = "select tablename from pg_tables where schemaname = any(current_schemas(false)) and tablename = any(%s)"


def rows_in_postgres(url: str) -> Iterator[Found]:
    """Every row of those tables that are there, table by table, in one snapshot; nothing is written.

    Raises InvalidError where none is there or the database is execlog's own, StoreError, MissingExtraError.
    """
    try:
        import psycopg
        from psycopg.rows import dict_row
    except ImportError as error:
        raise MissingExtraError("postgres", needed_for="reading a PostgreSQL") from error
    try:
        with psycopg.connect(url, options="-c default_transaction_isolation=repeatable\\ read") as connection:
            names = {row[0] for row in connection.execute(_FOUND, ([*_ALL, "execlog_schema"],))}
            if "execlog_schema" in names:
                raise InvalidError("this database is execlog's own: use execlog copy", field="source")
            if not names:
                raise InvalidError(f"none of the tables {', '.join(_ALL)} is there", field="source")
            for name in (name for name in _ALL if name in names):
                with connection.cursor(name=f"execlog_{name}", row_factory=dict_row) as cursor:
                    cursor.itersize = _PAGE
                    cursor.execute(f"select * from {name}")  # pyright: ignore[reportArgumentType, reportCallIssue] - one of five names  # noqa: S608
                    for number, row in enumerate(cursor, 1):
                        said: dict[str, Any] = dict(row)
                        yield reading(f"{name} row {number}", lambda name=name, said=said: _ALL[name](said))
    except psycopg.Error as error:
        raise StoreError(f"{url.rpartition('@')[2]}: {str(error).strip()}", retry=False) from error
