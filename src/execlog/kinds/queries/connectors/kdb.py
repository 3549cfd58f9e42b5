"""kdb+, by its own protocol: no licence and no library of KX's is needed here."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import starmap
from typing import Any

from msgspec import Struct

from execlog.core.model import Status
from execlog.kinds.queries.connectors.base import Answer, Column, Session, Statement
from execlog.kinds.queries.connectors.qipc import values as q
from execlog.kinds.queries.connectors.qipc.client import Client
from execlog.kinds.queries.connectors.qipc.wire import WireError
from execlog.kinds.queries.connectors.sql import named
from execlog.kinds.queries.lexer import Dialect
from execlog.kinds.queries.trouble import RefusedError, TroubleError, broken, timed_out, trouble_of

PAGE = "execlog.page"
_AT_ONCE = 1_000
_SHAPE = f"if[99h=type r;if[98h=type key r;r:0!r]];$[98h=type r;(`{PAGE};count r;(s;n)sublist r);r]"
READING = "{[x;s;n]r:reval(value;enlist x);" + _SHAPE + "}"
"""Evaluates a query as a process started with -b and -u 1 would (`reval`), and cuts the page out of a table."""

WRITING = "{[x;s;n]r:value x;" + _SHAPE + "}"


class KdbOptions(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Settings of a connection to a kdb+ process.

    server_timeout   tell the process our time-out: it then stops queries that take longer, everybody's
    max_message      largest answer that is taken, in bytes
    connect_timeout  seconds
    """

    host: str = "localhost"
    port: int
    user: str = ""
    password: str = ""
    tls: bool = False
    server_timeout: bool = False
    max_message: int = 256 * 2**20
    connect_timeout: float = 10.0


class KdbConnector:
    """A process. Read-only is `reval`, which kdb+ itself enforces; one message is one query.

    The protocol has no way to stop a query: when one is cancelled the connection is hung up, and kdb+ goes on until it
    is done, unless its own time-out (`server_timeout`, or `-T` at its start) stops it.
    """

    dialect: Dialect | None = None
    language = ""

    def __init__(self, options: KdbOptions, *, read_only: bool) -> None:
        self._options, self._read_only = options, read_only
        self.facts = {"host": options.host, "port": str(options.port)}
        if options.user:
            self.facts["user"] = options.user

    def check(self, query: str, *, read_only: bool) -> str:
        """The query without what surrounds it."""
        text = query.strip()
        if not text:
            raise RefusedError("EmptyQuery", "there is nothing to run in this query")
        if read_only and text.startswith("\\"):
            raise RefusedError("NotReadOnly", "this connection is read-only, and a system command does more than read")
        return text

    def open(self) -> Session:
        """A connection to the process."""
        options = self._options
        client = Client.connect(
            options.host,
            options.port,
            user=options.user,
            password=options.password,
            tls=options.tls,
            timeout=options.connect_timeout,
            max_message=options.max_message,
        )
        return KdbSession(client, read_only=self._read_only, server_timeout=options.server_timeout)

    def trouble(self, fault: Exception) -> TroubleError:
        """What kdb+'s error means, or the connection's."""
        if isinstance(fault, q.QError):
            return _refusal(str(fault))
        if isinstance(fault, WireError):
            return named(fault, Status.CRASHED)
        if isinstance(fault, TypeError):
            return TroubleError(Status.FAILED, "TypeError", str(fault))
        if isinstance(fault, OSError):
            return broken(type(fault).__name__, str(fault) or type(fault).__name__)
        return trouble_of(fault)

    def close(self) -> None:
        """Nothing: sessions share nothing."""


class KdbSession:
    """One connection; `cancel` is hanging up."""

    def __init__(self, client: Client, *, read_only: bool, server_timeout: bool) -> None:
        self._client, self._read_only = client, read_only
        self._server_timeout = server_timeout

    def run(self, statement: Statement) -> Answer:
        """The page of the result; its rows are counted by kdb+."""
        if self._server_timeout:
            seconds = max(1, round(statement.timeout))
            self._client.ask(q.Mixed((q.string("{system x}"), q.string(f"T {seconds}"))))
        asked: Any = q.string(statement.text)
        if isinstance(statement.params, dict):
            raise TypeError("kdb+ takes a list of parameters: its functions have no named ones")
        if statement.params:
            asked = q.Mixed((asked, *map(q.wire_of, statement.params)))
        wrapper = q.string(READING if self._read_only else WRITING)
        found = self._client.ask(q.Mixed((wrapper, asked, q.long(statement.offset), q.long(statement.limit))))
        total = None
        if isinstance(found, q.Mixed) and found.items[:1] == (q.symbol(PAGE),):
            total, found = found.items[1].raw, found.items[2]
        names, columns, length = shape(found)
        kinds = starmap(Column, zip(names, map(q.type_name, columns), strict=True))
        return Answer(tuple(kinds), _rows(columns, length), total=total)

    def finish(self, *, succeeded: bool) -> bool:
        """Whether the last answer was read as a whole."""
        del succeeded
        return not self._client.is_waiting

    def is_quiet(self) -> bool:
        """Whether the process has said nothing meanwhile."""
        return self._client.is_quiet()

    def cancel(self) -> None:
        """Hang up."""
        self._client.hang_up()

    def hang_up(self) -> None:
        """End the line; a thread that waits for an answer wakes up."""
        self._client.hang_up()

    def close(self) -> None:
        """Close the connection."""
        self._client.close()


def _refusal(text: str) -> TroubleError:
    """What an error of kdb+'s means; `stop` is its own time-out."""
    if text == "stop":
        return timed_out("kdb+ stopped the query: 'stop")
    if text.startswith("noupdate"):
        return RefusedError("NotReadOnly", f"this connection is read-only: '{text}")
    return TroubleError(Status.FAILED, "QError", f"'{text}")


def shape(found: Any) -> tuple[list[str], Sequence[Any], int]:  # noqa: PLR0911 - one a shape
    """Names and columns of a result, and how many rows it has: what is not a table becomes one."""
    match found:
        case q.Table():
            return q.column_names(found), q.columns_of(found), q.length_of(found)
        case q.Dictionary() if isinstance(found.keys, q.Table) and isinstance(found.values, q.Table):
            names = q.column_names(found.keys) + q.column_names(found.values)
            return names, (*q.columns_of(found.keys), *q.columns_of(found.values)), q.length_of(found.keys)
        case q.Dictionary():
            return ["key", "value"], (found.keys, found.values), q.length_of(found.keys)
        case q.Vector() if found.type != q.CHAR:
            return ["value"], (found,), len(found)
        case q.Mixed():
            return ["value"], (found,), len(found)
        case q.Function() if found == q.NULL:
            return [], (), 0
        case _:
            return ["value"], (q.Mixed((found,)),), 1


def _rows(columns: Sequence[Any], length: int) -> Iterator[Sequence[Any]]:
    for start in range(0, length, _AT_ONCE):
        yield from zip(*(q.plain_values(column, start, start + _AT_ONCE) for column in columns), strict=True)
