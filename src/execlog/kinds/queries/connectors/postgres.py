"""PostgreSQL, through psycopg (extra `postgres`)."""

from __future__ import annotations

import math
from collections.abc import Generator, Iterator, Sequence
from contextlib import suppress
from itertools import chain
from typing import Any

from msgspec import Struct

from execlog.core.errors import MissingExtraError
from execlog.core.model import Status
from execlog.core.sockets import is_quiet, shut_down
from execlog.kinds.queries.connectors.base import Answer, Column, Session, Statement
from execlog.kinds.queries.connectors.postgres_values import read_well
from execlog.kinds.queries.connectors.sql import named, rows
from execlog.kinds.queries.lexer import POSTGRES
from execlog.kinds.queries.statements import check_calls, check_reads, single
from execlog.kinds.queries.trouble import RefusedError, TroubleError, trouble_of

_DOING = frozenset(
    {"pg_cancel_backend", "pg_terminate_backend", "pg_logical_emit_message", "pg_advisory_lock",
     "pg_advisory_lock_shared", "pg_advisory_xact_lock", "pg_advisory_xact_lock_shared", "pg_try_advisory_lock",
     "pg_try_advisory_lock_shared", "pg_try_advisory_xact_lock", "pg_try_advisory_xact_lock_shared", "query_to_xml",
     "query_to_xmlschema", "query_to_xml_and_xmlschema", "ts_stat", "ts_rewrite", "dblink", "dblink_exec",
     "dblink_send_query", "crosstab", "crosstab2", "crosstab3", "crosstab4", "crosstab_hash", "connectby",
     "xpath_table"}
)  # fmt: skip
"""Functions that act on other sessions, take locks, or run a text, in a read-only transaction too."""

_BROKEN_CLASSES = ("08", "53", "57P", "58", "F0")
_PROTOCOL_VIOLATION = "08P01"
"""What the server calls a query that has other parameters than were given, too."""

_QUERY_CANCELED = "57014"
_TRANSACTION_TIMEOUT, _LOCK_NOT_AVAILABLE = "25P04", "55P03"
_SECONDS_TO_CANCEL = 5.0
_SECONDS_LONGER = 5.0
_CHUNK = 16
"""Rows libpq takes in at once: each may be large, and more of them are hardly faster."""
_FORGET = "select pg_advisory_unlock_all()"
"""Gives up what outlives a transaction that is rolled back."""

_FORGET_ALL = (
    f"{_FORGET}; close all; unlisten *; reset session authorization; reset all; deallocate all; discard temp; "
    "discard sequences"
)
"""The same for one that is kept: what `discard all` does, which must be alone in its message."""

_READABLY = """
set datestyle = iso; set intervalstyle = postgres; set extra_float_digits = 1; set standard_conforming_strings = on
""".strip()
"""Values are printed so that they are read right, and texts are taken as the gateway takes them, whatever the role's
settings are."""


_OWN_LIMIT = "select extract(epoch from current_setting('statement_timeout')::interval)::float8"


class PostgresOptions(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Settings of a connection to PostgreSQL.

    url               postgresql://user@host:5432/database?sslmode=verify-full; the other settings override its parts
    connect_timeout   seconds
    search_path       schemas in which names are looked up
    """

    url: str = ""
    host: str = ""
    port: int = 0
    database: str = ""
    user: str = ""
    password: str = ""
    sslmode: str = ""
    connect_timeout: int = 10
    search_path: str = ""


class PostgresConnector:
    """A server. Read-only means a transaction that PostgreSQL itself knows to be read-only, rolled back at the end.

    The extended protocol takes one statement only. A time-out is known to the server too (`statement_timeout`, a little
    later than the gateway's own), so that it holds even when the gateway is gone.
    """

    dialect = POSTGRES
    language = "postgres"

    def __init__(self, options: PostgresOptions, *, read_only: bool) -> None:
        self._options, self._read_only = options, read_only
        self.facts = {
            name: str(getattr(options, name)) for name in ("host", "port", "database", "user") if getattr(options, name)
        }
        if options.url:
            self.facts["url"] = options.url

    def check(self, query: str, *, read_only: bool) -> str:
        """The one statement to run."""
        statement, said = single(query, POSTGRES)
        if read_only:
            check_reads(said, POSTGRES)
            check_calls(said, _DOING)
        elif said[0].text.lower() == "copy" and {"stdin", "stdout"} & {token.text.lower() for token in said}:
            raise RefusedError(
                "NotSupported", "COPY from STDIN and to STDOUT is not for a gateway: use INSERT, or SELECT"
            )
        return statement

    def open(self) -> Session:
        """A connection to the server."""
        try:
            import psycopg
            from psycopg.types.json import JsonbDumper
        except ImportError as error:
            raise MissingExtraError("postgres", needed_for="a connection to PostgreSQL") from error
        said: dict[str, Any] = {
            "host": self._options.host, "port": self._options.port, "dbname": self._options.database,
            "user": self._options.user, "password": self._options.password, "sslmode": self._options.sslmode,
            "connect_timeout": self._options.connect_timeout,
        }  # fmt: skip
        given = {name: value for name, value in said.items() if value}
        # No prepared statements of the driver's own: they would end with those that queries left.
        connection = psycopg.connect(
            self._options.url, autocommit=True, application_name="execlog", client_encoding="utf8",
            prepare_threshold=None, **given,
        )  # fmt: skip
        try:
            settings = self._settings(connection)
            connection.execute(settings.encode())
            read_well(connection)
            connection.adapters.register_dumper(dict, JsonbDumper)  # an object among the parameters
            own_limit = connection.execute(_OWN_LIMIT).fetchall()[0][0]
        except BaseException:
            connection.close()
            raise
        return PostgresSession(
            connection, read_only=self._read_only, settings=settings, own_limit=own_limit or math.inf
        )

    def _settings(self, connection: Any) -> str:
        """What a session begins with, as SQL."""
        from psycopg import sql

        settings = [_READABLY]
        if connection.info.parameter_status("server_encoding") == "SQL_ASCII":
            settings.append("set client_encoding = sql_ascii")  # in UTF-8 the server gives out no other bytes
        if self._options.search_path:
            path = sql.Literal(self._options.search_path)
            settings.append(sql.SQL("select set_config('search_path', {}, false)").format(path).as_string(connection))
        return "; ".join(settings)

    def trouble(self, fault: Exception) -> TroubleError:
        """What psycopg's exception means: its SQLSTATE decides."""
        import psycopg

        if not isinstance(fault, psycopg.Error):
            return trouble_of(fault)
        state = fault.sqlstate
        if state == _QUERY_CANCELED:
            return named(fault, Status.TIMED_OUT if "timeout" in str(fault) else Status.CANCELLED)
        if state == _TRANSACTION_TIMEOUT or (state == _LOCK_NOT_AVAILABLE and "timeout" in str(fault)):
            return named(fault, Status.TIMED_OUT)
        if state is None:
            lost = isinstance(fault, psycopg.OperationalError | psycopg.InterfaceError)
            return named(fault, Status.CRASHED if lost else Status.FAILED)
        broken = state.startswith(_BROKEN_CLASSES) and state != _PROTOCOL_VIOLATION
        return named(fault, Status.CRASHED if broken else Status.FAILED)

    def close(self) -> None:
        """Nothing: sessions share nothing."""


class PostgresSession:
    """One connection; `cancel` is PostgreSQL's cancel request, on a connection of its own.

    own_limit   seconds that the server gives each statement of this role
    """

    def __init__(self, connection: Any, *, read_only: bool, settings: str, own_limit: float) -> None:
        self._connection, self._read_only, self._own_limit = connection, read_only, own_limit
        self._afterwards = _FORGET if read_only else f"{_FORGET_ALL}; {settings}"
        self._stream: Generator[Any] | None = None

    def run(self, statement: Statement) -> Answer:
        """The statement's result; rows arrive as they are read."""
        import psycopg

        limit = max(1, round(min(statement.timeout + _SECONDS_LONGER, self._own_limit) * 1000))
        begin = "begin read only" if self._read_only else "begin"
        self._connection.execute(f"{begin}; set local statement_timeout = {limit}")
        named_params = isinstance(statement.params, dict)
        make: Any = psycopg.Cursor if named_params else psycopg.RawCursor
        cursor = make(self._connection)
        params = statement.params or None
        text = statement.text.encode()
        if not self._read_only:
            cursor.execute(text, params)
            if cursor.description is None:
                return Answer((), (), max(cursor.rowcount, 0))
            return Answer(_columns(cursor), rows(cursor), None)
        size = _CHUNK if psycopg.capabilities.has_stream_chunked() else 1
        stream: Generator[Any] = cursor.stream(text, params, size=size)
        self._stream = stream
        first = next(stream, None)
        if first is None:
            _describe(cursor, text, params)
        return Answer(_columns(cursor), _rows(first, stream))

    def finish(self, *, succeeded: bool) -> bool:
        """Whether the connection is as good as before: what was not read is given up, and the transaction ended.

        What outlives a transaction is given up in the same message, so that nobody waits for it.
        """
        if self._stream is not None:
            self._stream.close()
            self._stream = None
        end = "commit" if succeeded and not self._read_only else "rollback"
        self._connection.execute(f"{end}; {self._afterwards}")
        return not self._connection.broken

    def is_quiet(self) -> bool:
        """Whether the server has said nothing meanwhile: an idle session hears only its end."""
        return not self._connection.closed and is_quiet(self._connection.fileno())

    def cancel(self) -> None:
        """Ask the server to stop the statement."""
        with suppress(Exception):
            self._connection.cancel_safe(timeout=_SECONDS_TO_CANCEL)

    def hang_up(self) -> None:
        """End the line; a thread that waits for the server wakes up."""
        with suppress(Exception):  # it is closed
            shut_down(self._connection.fileno())

    def close(self) -> None:
        """Close the connection."""
        with suppress(Exception):
            self._connection.close()


def _describe(cursor: Any, text: bytes, params: Any) -> None:
    """Have the cursor know the columns of a result, which a stream without rows does not tell; it is not run again."""
    import psycopg

    with suppress(psycopg.Error):  # SHOW and the like, which have rows
        cursor.execute(b"declare execlog_empty no scroll cursor for " + text, params)
        cursor.execute("fetch 0 from execlog_empty")


def _columns(cursor: Any) -> tuple[Column, ...]:
    return tuple(Column(column.name, _type(column)) for column in cursor.description or ())


def _type(column: Any) -> str:
    """The type's name; "" for that of a table's rows, and for one made since the session began."""
    name = column.type_display
    return "" if name == str(column.type_code) else name


def _rows(first: Any, stream: Iterator[Any]) -> Iterator[Sequence[Any]]:
    return iter(()) if first is None else chain((first,), stream)
