"""Any database with a Python DB API 2.0 module (PEP 249)."""

from __future__ import annotations

import importlib
from contextlib import suppress
from typing import Any, Literal

from msgspec import Struct

from execlog.core.errors import InvalidError, SettingsError
from execlog.core.sockets import is_quiet, shut_down
from execlog.kinds.queries.connectors.base import Answer, Column, Session, Statement
from execlog.kinds.queries.connectors.sql import check_sql, rows
from execlog.kinds.queries.lexer import DUCKDB, MYSQL, POSTGRES, SQLITE, STANDARD, TRINO, Dialect
from execlog.kinds.queries.trouble import TroubleError, trouble_of

_DIALECTS: dict[str, Dialect] = {
    "standard": STANDARD, "postgres": POSTGRES, "mysql": MYSQL, "sqlite": SQLITE, "duckdb": DUCKDB, "trino": TRINO,
}  # fmt: skip
_DIALECT_OF = {
    "pymysql": "mysql", "MySQLdb": "mysql", "mysql": "mysql", "mariadb": "mysql", "cymysql": "mysql",
    "psycopg": "postgres", "psycopg2": "postgres", "pg8000": "postgres", "pgdb": "postgres",
    "sqlite3": "sqlite", "duckdb": "duckdb", "trino": "trino",
}  # fmt: skip
"""By the first part of a module's name: a statement that is read in another dialect may do what was not seen in it."""

_CANCELLING = ("cancel_safe", "cancel", "interrupt")


class DBAPIOptions(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Settings of a connection through a DB API module.

    module    its name, such as "sqlite3" or "pymysql"
    connect   keyword arguments of its `connect`
    setup     statements run on each new connection, such as "set session transaction read only"
    dialect   how its SQL is read; None for that of the module, where it is a known one
    cancel    method of its connection that stops a query from another thread; "" looks for the usual ones. "close" is
              one only where the module allows to close under a running query, as those written in Python alone do
    """

    module: str
    connect: dict[str, Any] = {}
    setup: tuple[str, ...] = ()
    dialect: Literal["standard", "postgres", "mysql", "sqlite", "duckdb", "trino"] | None = None
    cancel: str = ""


class DBAPIConnector:
    """A module and the arguments of its `connect`.

    The DB API knows neither read-only connections nor cancelling. So here `read_only` is the gateway's reading of the
    statement, a rollback, and whatever `setup` tells the database; give it a user that may only read. Where the module
    has no method to stop a query, the line is ended where the connection tells its descriptor; else nothing stops it.
    """

    def __init__(self, options: DBAPIOptions, *, read_only: bool) -> None:
        self._options, self._read_only = options, read_only
        name = options.dialect or _DIALECT_OF.get(options.module.partition(".")[0])
        if name is None:
            known = ", ".join(_DIALECTS)
            raise InvalidError(f"the dialect of {options.module!r:.80} is not known: one of {known}", field="dialect")
        self.dialect: Dialect | None = _DIALECTS[name]
        self.language = "" if name == "standard" else name
        self.facts = {"module": options.module}

    def check(self, query: str, *, read_only: bool) -> str:
        """The one statement to run."""
        return check_sql(query, self.dialect or STANDARD, read_only=read_only)

    def open(self) -> Session:
        """A connection."""
        try:
            module = importlib.import_module(self._options.module)
        except ImportError as error:
            raise SettingsError(f"{self._options.module} is not installed: {error}") from error
        connection = module.connect(**self._options.connect)
        if self._options.setup:
            cursor = connection.cursor()
            for statement in self._options.setup:
                cursor.execute(statement)
            cursor.close()
        cancel = next((name for name in (self._options.cancel, *_CANCELLING) if name and hasattr(connection, name)), "")
        return DBAPISession(connection, cancel=cancel, read_only=self._read_only)

    def trouble(self, fault: Exception) -> TroubleError:
        """What the module's exception means, by its type or else its message."""
        return trouble_of(fault)

    def close(self) -> None:
        """Nothing: sessions share nothing."""


class DBAPISession:
    """One connection."""

    def __init__(self, connection: Any, *, cancel: str, read_only: bool) -> None:
        self._connection, self._cancel, self._read_only = connection, cancel, read_only
        self._cursor: Any = None

    def run(self, statement: Statement) -> Answer:
        """The statement's result."""
        cursor = self._cursor = self._connection.cursor()
        if statement.params:
            cursor.execute(statement.text, statement.params)
        else:
            cursor.execute(statement.text)
        if not cursor.description:
            return Answer((), (), max(cursor.rowcount, 0))
        columns = tuple(Column(str(column[0]), _type(column[1])) for column in cursor.description)
        return Answer(columns, rows(cursor))

    def finish(self, *, succeeded: bool) -> bool:
        """Whether it may only read, else the query may have left settings or tables: its changes are kept or undone."""
        if self._cursor is not None:
            with suppress(Exception):
                self._cursor.close()
            self._cursor = None
        if succeeded and not self._read_only:
            self._connection.commit()
        else:
            self._connection.rollback()
        return self._read_only

    def is_quiet(self) -> bool:
        """Whether the server has said nothing meanwhile, where the module tells its descriptor."""
        if not hasattr(self._connection, "fileno"):
            return True
        try:
            return is_quiet(self._connection.fileno())
        except Exception:  # noqa: BLE001 - whatever a module raises for one that is closed
            return False

    def cancel(self) -> None:
        """Stop the query by the module's own method, or else by hanging up."""
        if not self._cancel:
            self.hang_up()
            return
        with suppress(Exception):
            getattr(self._connection, self._cancel)()

    def hang_up(self) -> None:
        """End the line, where the module tells its descriptor; one that waits for the server wakes up."""
        with suppress(Exception):  # it is closed, or its module tells no descriptor
            shut_down(self._connection.fileno())

    def close(self) -> None:
        """Close the connection."""
        with suppress(Exception):
            self._connection.close()


def _type(code: Any) -> str:
    return getattr(code, "__name__", None) or ("" if code is None else str(code))
