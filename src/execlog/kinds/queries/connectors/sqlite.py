"""SQLite files, through apsw."""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path
from typing import Any

import apsw
from msgspec import Struct

from execlog.core.model import Status
from execlog.kinds.queries.connectors.base import Answer, Column, Session, Statement
from execlog.kinds.queries.connectors.sql import named
from execlog.kinds.queries.lexer import SQLITE
from execlog.kinds.queries.statements import check_reads, single
from execlog.kinds.queries.trouble import RefusedError, TroubleError, trouble_of

_MIN_VALUE, _MAX_VALUE = 1_000_000, 100_000_000
"""Bounds of how long a value may become, in bytes."""

_READING = frozenset(
    {apsw.SQLITE_SELECT, apsw.SQLITE_READ, apsw.SQLITE_FUNCTION, apsw.SQLITE_RECURSIVE, apsw.SQLITE_TRANSACTION}
)
_READING_PRAGMAS = frozenset(
    {"table_info", "table_xinfo", "table_list", "index_list", "index_info", "index_xinfo", "foreign_key_list",
     "database_list", "function_list", "collation_list", "compile_options", "encoding", "user_version", "data_version"}
)  # fmt: skip
"""Those that only tell something; FTS5 itself asks for the last one when a table of its is read."""

_BROKEN = (apsw.CantOpenError, apsw.IOError, apsw.CorruptError, apsw.NotADBError, apsw.FullError, apsw.NoMemError)


class SqliteOptions(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Settings of a connection to SQLite.

    path           the file; with `read_only` it must exist
    busy_timeout   seconds a query waits for a writer's lock
    """

    path: str
    busy_timeout: float = 5.0


class SqliteConnector:
    """A file. Read-only means opened so, and an authorizer that lets nothing but reading through.

    Then no value may become longer than a page: SQLite would make it in this process' memory, to be thrown away.
    """

    dialect = SQLITE
    language = "sqlite"

    def __init__(self, options: SqliteOptions, *, read_only: bool) -> None:
        self._options, self._read_only = options, read_only
        self.facts = {"path": options.path}

    def check(self, query: str, *, read_only: bool) -> str:
        """The one statement to run; pragmas that only tell something are let through to the authorizer."""
        statement, said = single(query, SQLITE)
        if read_only and said[0].text.lower() != "pragma":
            check_reads(said, SQLITE)
        return statement

    def open(self) -> Session:
        """A connection to the file."""
        return SqliteSession(self._options, read_only=self._read_only)

    def trouble(self, fault: Exception) -> TroubleError:
        """What apsw's exception means."""
        if isinstance(fault, apsw.AuthError):
            return RefusedError("NotReadOnly", f"this connection is read-only: {fault}")
        if isinstance(fault, KeyError):  # apsw looks a name of the statement up in the params, and says no more
            return TroubleError(Status.FAILED, "BindingsError", f"query parameter missing: {fault.args[0]}")
        if isinstance(fault, UnicodeDecodeError):
            where = f"byte {fault.start + 1} of one, {fault.object[fault.start]:#04x}, is not"
            hint = "select such a column as bytes: cast(… as blob)"
            return TroubleError(Status.FAILED, "UnicodeDecodeError", f"texts are read as UTF-8, and {where}; {hint}")
        if isinstance(fault, _BROKEN):
            return named(fault, Status.CRASHED)
        return named(fault, Status.FAILED) if isinstance(fault, apsw.Error) else trouble_of(fault)

    def close(self) -> None:
        """Nothing: sessions share nothing."""


class SqliteSession:
    """One connection; `cancel` is SQLite's interrupt."""

    def __init__(self, options: SqliteOptions, *, read_only: bool) -> None:
        path = os.path.expandvars(Path(options.path).expanduser())
        flags = apsw.SQLITE_OPEN_READONLY if read_only else apsw.SQLITE_OPEN_READWRITE | apsw.SQLITE_OPEN_CREATE
        self._read_only = read_only
        self._connection: Any = apsw.Connection(path, flags=flags)
        self._connection.set_busy_timeout(round(options.busy_timeout * 1000))
        self._connection.limit(apsw.SQLITE_LIMIT_LENGTH, _MAX_VALUE)
        self._connection.config(apsw.SQLITE_DBCONFIG_DEFENSIVE, 1)
        self._connection.execute("pragma trusted_schema = off")
        if read_only:
            self._connection.execute("pragma query_only = on")
            self._connection.limit(apsw.SQLITE_LIMIT_ATTACHED, 0)
            self._connection.authorizer = _authorize
        self._statements = 0
        self._columns: tuple[Column, ...] = ()
        self._cursor: Any = None

    def run(self, statement: Statement) -> Answer:
        """The statement's result; rows are computed as they are read."""
        cursor = self._cursor = self._connection.cursor()
        self._statements, self._columns = 0, ()
        if self._read_only:
            longest = min(max(statement.max_bytes, _MIN_VALUE), _MAX_VALUE)
            self._connection.limit(apsw.SQLITE_LIMIT_LENGTH, longest)
        cursor.exec_trace = self._look
        before = self._connection.total_changes()
        cursor.execute(statement.text, statement.params or None)
        affected = self._connection.total_changes() - before
        return Answer(self._columns, cursor, affected if affected or not self._columns else None)

    def finish(self, *, succeeded: bool) -> bool:
        """Whether it may only read: then even an interrupted connection is as good as before.

        In one that may write, the query may have left a transaction, tables or settings to the next one.
        """
        del succeeded
        if self._cursor is not None:
            self._cursor.close(force=True)
            self._cursor = None
        return self._read_only

    def is_quiet(self) -> bool:
        """Always: there is no server."""
        return True

    def cancel(self) -> None:
        """Interrupt what runs."""
        with suppress(apsw.ConnectionClosedError):
            self._connection.interrupt()

    def hang_up(self) -> None:
        """Interrupt what runs."""
        self.cancel()

    def close(self) -> None:
        """Close the connection."""
        with suppress(apsw.Error):
            self._connection.close()

    def _look(self, cursor: apsw.Cursor, _sql: str, _bindings: Any) -> bool:
        """Let the first statement run, as SQLite itself tells them apart; its columns are known only here."""
        self._statements += 1
        if self._statements > 1:
            raise RefusedError("SeveralStatements", "one statement at a time")
        self._columns = tuple(Column(name, kind or "") for name, kind in cursor.get_description())
        return True


def _authorize(action: int, first: str | None, second: str | None, _database: str | None, _inner: str | None) -> int:
    if action in _READING and not (action == apsw.SQLITE_FUNCTION and second == "load_extension"):
        return apsw.SQLITE_OK
    if action == apsw.SQLITE_PRAGMA and first in _READING_PRAGMAS:
        return apsw.SQLITE_OK
    return apsw.SQLITE_DENY
