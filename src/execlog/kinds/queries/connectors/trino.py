"""Trino and Starburst, through Trino's own client (extra `trino`)."""

from __future__ import annotations

import math
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import suppress
from typing import Any

from msgspec import Struct

from execlog.core.errors import MissingExtraError
from execlog.core.model import Status
from execlog.kinds.queries.connectors.base import Answer, Column, Session, Statement
from execlog.kinds.queries.connectors.sql import check_sql, named, rows
from execlog.kinds.queries.connectors.trino_values import Read, read, reader_of
from execlog.kinds.queries.lexer import TRINO
from execlog.kinds.queries.trouble import TroubleError, trouble_of

_SECONDS_LONGER = 5.0
_SECONDS_TO_CANCEL = 5.0
_CONNECT_SECONDS, _READ_SECONDS = 10.0, 30.0
_STOPPED = frozenset({"USER_CANCELED", "ADMINISTRATIVELY_KILLED"})


class TrinoOptions(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Settings of a connection to Trino or Starburst.

    password, token   how `user` proves to be; either needs `tls`
    tls, verify       HTTPS, and against which certificates: true for the system's, or the path of a file of them
    session           session properties
    roles             role by catalog
    legacy_prepare    for servers before 418, which do not know EXECUTE IMMEDIATE
    """

    host: str
    port: int = 0
    user: str = "execlog"
    password: str = ""
    token: str = ""
    tls: bool = False
    verify: bool | str = True
    catalog: str = ""
    schema: str = ""
    session: dict[str, str] = {}
    roles: dict[str, str] = {}
    timezone: str = "UTC"
    legacy_prepare: bool = False


class TrinoConnector:
    """A coordinator.

    Trino knows no read-only sessions: that is the gateway's reading of the statement, and the rights of its user, which
    should be to read only. A query is cancelled by a DELETE of its next page, and the server knows the time-out too
    (`query_max_run_time`).
    """

    dialect = TRINO
    language = "trino"

    def __init__(self, options: TrinoOptions, *, read_only: bool) -> None:
        self._options, self._read_only = options, read_only
        shown = {"host": options.host, "port": str(options.port or ""), "user": options.user}
        shown |= {"catalog": options.catalog, "schema": options.schema}
        self.facts = {name: value for name, value in shown.items() if value}

    def check(self, query: str, *, read_only: bool) -> str:
        """The one statement to run."""
        return check_sql(query, TRINO, read_only=read_only)

    def open(self) -> Session:
        """A session; it connects with its first query."""
        try:
            import trino  # pyright: ignore[reportUnusedImport]  # noqa: F401 - is it installed?
        except ImportError as error:
            raise MissingExtraError("trino", needed_for="a connection to Trino or Starburst") from error
        return TrinoSession(self._options, read_only=self._read_only)

    def trouble(self, fault: Exception) -> TroubleError:
        """What the client's exception means: for an error of Trino's, its name and type decide."""
        from trino import exceptions

        if isinstance(fault, exceptions.TrinoQueryError):
            return _query_trouble(fault)
        if isinstance(fault, exceptions.TrinoDataError):
            return named(fault, Status.FAILED)
        # Whatever else the client or its HTTP library raises is about the connection, its time-outs included.
        if type(fault).__module__.partition(".")[0] in {"trino", "requests", "urllib3"}:
            return named(fault, Status.CRASHED)
        return trouble_of(fault)

    def close(self) -> None:
        """Nothing: sessions share nothing."""


class TrinoSession:
    """One HTTP session, which keeps its connections; what a query sets is forgotten after it."""

    def __init__(self, options: TrinoOptions, *, read_only: bool) -> None:
        import requests

        self._options, self._read_only = options, read_only
        self._http = requests.Session()
        self._http.verify = options.verify
        self._cursor: Any = None
        self._ended = threading.Event()
        self._stopping = False

    def run(self, statement: Statement) -> Answer:
        """The statement's result; pages are fetched as they are read."""
        if isinstance(statement.params, dict):
            raise TypeError("Trino takes a list of parameters, for the ? in a query")
        self._ended.clear()
        cursor = self._cursor = self._connect(statement.timeout).cursor()
        cursor.execute(statement.text, statement.params or None)
        self._check()
        columns = tuple(Column(str(column[0]), str(column[1])) for column in cursor.description or ())
        if cursor.update_type is not None:
            affected = cursor.rowcount
            return Answer((), (), max(affected, 0) if affected is not None else 0)
        return Answer(columns, self._read(cursor, [reader_of(column.type) for column in columns]))

    def finish(self, *, succeeded: bool) -> bool:
        """Always: what was not read is cancelled."""
        del succeeded
        self._ended.set()
        cursor, self._cursor = self._cursor, None
        if cursor is not None:
            with suppress(Exception):
                cursor.cancel()
        return not self._stopping

    def is_quiet(self) -> bool:
        """Always: each request finds its own line."""
        return True

    def cancel(self) -> None:
        """Have the coordinator stop the query, as soon as it has one."""
        self._stopping = True
        end = time.monotonic() + _SECONDS_TO_CANCEL
        while self._cursor is None or self._cursor.query_id is None:
            if self._ended.wait(0.02) or time.monotonic() > end:
                return
        with suppress(Exception):
            self._cursor.cancel()

    def hang_up(self) -> None:
        """Nothing more than `cancel` does: each of its requests has a time-out."""

    def close(self) -> None:
        """Close the HTTP session's connections."""
        with suppress(Exception):
            self._http.close()

    def _read(self, cursor: Any, readers: list[Read | None]) -> Iterator[Sequence[Any]]:
        if any(readers):
            yield from (list(map(read, readers, row)) for row in rows(cursor))
        else:
            yield from rows(cursor)
        self._check()

    def _check(self) -> None:
        """Nothing, unless it was cancelled: the client takes that for the end of the result."""
        if self._stopping:
            raise InterruptedError("the query was cancelled")

    def _connect(self, timeout: float) -> Any:
        import trino

        options = self._options
        limit = f"{math.ceil(timeout + _SECONDS_LONGER)}s"
        said: dict[str, Any] = {
            "host": options.host, "user": options.user, "port": options.port or None,
            "catalog": options.catalog or None, "schema": options.schema or None, "roles": options.roles or None,
        }  # fmt: skip
        return trino.dbapi.connect(  # pyright: ignore[reportUnknownMemberType] - trino is typed in part
            **{name: value for name, value in said.items() if value is not None},
            source="execlog",
            http_scheme="https" if options.tls else "http",
            auth=_authentication(options),
            session_properties={"query_max_run_time": limit, **options.session},
            http_session=self._http,
            timezone=options.timezone,
            request_timeout=(_CONNECT_SECONDS, _READ_SECONDS),
            max_attempts=3 if self._read_only else 1,
            legacy_primitive_types=True,  # as the protocol has them: the client's own fail for some, and round others
            legacy_prepared_statements=options.legacy_prepare,
        )


def _authentication(options: TrinoOptions) -> Any:
    from trino.auth import BasicAuthentication, JWTAuthentication

    if options.token:
        return JWTAuthentication(options.token)
    return BasicAuthentication(options.user, options.password) if options.password else None


def _query_trouble(fault: Any) -> TroubleError:
    name = fault.error_name or "TrinoQueryError"
    status = Status.FAILED
    if name.endswith("TIME_LIMIT"):
        status = Status.TIMED_OUT
    elif name in _STOPPED:
        status = Status.CANCELLED
    elif fault.error_type == "INTERNAL_ERROR":
        status = Status.CRASHED
    return TroubleError(status, name, fault.message)
