"""DuckDB, in a file or in memory (extra `duckdb`)."""

from __future__ import annotations

import threading
import time
from collections.abc import Sequence
from contextlib import suppress
from itertools import pairwise
from typing import TYPE_CHECKING, Any

from msgspec import Struct

from execlog.core.errors import MissingExtraError
from execlog.core.model import Status
from execlog.kinds.queries.connectors.base import Answer, Column, Session, Statement
from execlog.kinds.queries.connectors.sql import check_sql, named, rows
from execlog.kinds.queries.lexer import DUCKDB, Token
from execlog.kinds.queries.statements import check_calls, check_reads, single
from execlog.kinds.queries.trouble import RefusedError, TroubleError, trouble_of

if TYPE_CHECKING:
    import duckdb

MEMORY = ":memory:"
_READING = frozenset({"SELECT", "EXPLAIN"})
_DOING = frozenset(
    {"nextval", "setval", "checkpoint", "force_checkpoint", "enable_logging", "disable_logging", "truncate_duckdb_logs",
     "write_log", "enable_profiling", "disable_profiling", "register_external_resource",
     "register_external_resource_type", "deregister_external_resource", "create_external_resource",
     "destroy_external_resource", "query", "json_execute_serialized_sql"}
)  # fmt: skip
"""Functions that do something, or run a text; DuckDB calls a statement with them a SELECT all the same."""

SECONDS_TO_READ = 0.5
"""Of the processor: a machine that stands still meanwhile makes no query complex."""

_SHORT, _FLAT = 300, 4
"""Characters and opening brackets of a text that is read in a moment in any case."""

_NESTED = 5
"""WITH within WITH: for one more, DuckDB takes six times as long to read a query with an error in the innermost."""

_BROKEN = frozenset(
    {"IOException", "ConnectionException", "FatalException", "InternalException", "OutOfMemoryException"}
)


class DuckDBOptions(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Settings of a connection to DuckDB.

    path              the file, or ":memory:"
    init              statements run once before the first query, e.g. to load files into tables
    external_access   whether queries may read files and addresses themselves
    memory_limit      most memory all queries use together
    threads           most threads they use together; 0: as many as there are cores
    """

    path: str = MEMORY
    init: tuple[str, ...] = ()
    external_access: bool = False
    memory_limit: str = "1GB"
    threads: int = 0


class DuckDBConnector:
    """One database, opened once; a session is a connection of its own to it.

    Read-only means that the file is opened so, and that DuckDB itself says that a statement is a SELECT; it may call no
    function that does something, since DuckDB in memory can be opened in no other way than to write. Then its
    configuration is locked: no files, no extensions, unless the settings say so.
    """

    dialect = DUCKDB
    language = "duckdb"

    def __init__(self, options: DuckDBOptions, *, read_only: bool) -> None:
        self._options, self._read_only = options, read_only
        self._lock = threading.Lock()
        self._database: duckdb.DuckDBPyConnection | None = None
        self.facts = {"path": options.path}

    def check(self, query: str, *, read_only: bool) -> str:
        """The one statement to run."""
        statement, said = single(query, DUCKDB)
        _check_nesting(said)
        if read_only:
            check_reads(said, DUCKDB)
            check_calls(said, _DOING)
        return statement

    def open(self) -> Session:
        """A connection to the database, which is opened and filled at the first one."""
        with self._lock:
            if self._database is None:
                self._database = self._open()
            return DuckDBSession(self._database.cursor(), read_only=self._read_only)

    def trouble(self, fault: Exception) -> TroubleError:
        """What DuckDB's exception means."""
        if not type(fault).__module__.lstrip("_").startswith("duckdb"):
            return trouble_of(fault)
        return named(fault, Status.CRASHED if type(fault).__name__ in _BROKEN else Status.FAILED)

    def close(self) -> None:
        """Close the database."""
        with self._lock:
            if self._database is not None:
                self._database.close()
                self._database = None

    def _open(self) -> duckdb.DuckDBPyConnection:
        try:
            import duckdb
        except ImportError as error:
            raise MissingExtraError("duckdb", needed_for="a connection to DuckDB") from error
        options = self._options
        config: dict[str, Any] = {"autoinstall_known_extensions": False, "memory_limit": options.memory_limit}
        if options.threads:
            config["threads"] = options.threads
        in_memory = options.path == MEMORY
        database = duckdb.connect(options.path, read_only=self._read_only and not in_memory, config=config)
        try:
            for statement in options.init:
                database.execute(statement)
            if not options.external_access:
                database.execute("set enable_external_access = false")
            database.execute("set lock_configuration = true")
        except BaseException:
            database.close()
            raise
        return database


class DuckDBSession:
    """One connection; `cancel` is DuckDB's interrupt."""

    def __init__(self, connection: duckdb.DuckDBPyConnection, *, read_only: bool) -> None:
        self._connection, self._read_only = connection, read_only

    def run(self, statement: Statement) -> Answer:
        """The statement's result; rows are computed as they are read."""
        self._read(statement.text)
        found = self._connection.extract_statements(statement.text)
        if len(found) != 1:
            raise RefusedError("SeveralStatements", "one statement at a time")
        kind = str(found[0].type).rpartition(".")[2]
        if self._read_only and kind == "MULTI":
            check_sql(statement.text, DUCKDB, read_only=True)  # PIVOT, but CREATE TABLE AS PIVOT too
        elif self._read_only and kind not in _READING:
            raise RefusedError("NotReadOnly", f"this connection is read-only, and {kind} does more than read")
        self._connection.execute(found[0], statement.params)
        kinds = {str(one).rpartition(".")[2] for one in found[0].expected_result_type}
        changed = self._connection.rowcount  # -1 where there are rows to read
        if changed >= 0 or "QUERY_RESULT" not in kinds:
            return Answer((), (), max(changed, 0))
        described: Any = self._connection.description or ()
        columns = tuple(Column(str(column[0]), str(column[1])) for column in described)
        return Answer(columns, rows(self._connection))

    def _read(self, text: str) -> None:
        """Nothing; raises RefusedError for a text that DuckDB takes long to read.

        `extract_statements` keeps the interpreter to itself while it reads, and nobody else could do anything. A query
        that runs does not: so one reads the text first.
        """
        import duckdb

        if len(text) <= _SHORT and text.count("(") <= _FLAT:
            return
        before = time.thread_time()
        try:
            self._connection.execute("select json_serialize_sql(?) is null", [text])
        except duckdb.CatalogException:  # an older one, whose reading takes no longer for odd texts
            return
        seconds = time.thread_time() - before
        if seconds > SECONDS_TO_READ:
            raise RefusedError("TooComplex", f"DuckDB took {seconds:.1f} s to read this query alone; write it simpler")

    def finish(self, *, succeeded: bool) -> bool:
        """Whether it may only read: then even an interrupted connection is as good as before.

        In one that may write, the query may have left a transaction, tables or settings to the next one.
        """
        del succeeded
        return self._read_only

    def is_quiet(self) -> bool:
        """Always: there is no server."""
        return True

    def cancel(self) -> None:
        """Interrupt what runs."""
        with suppress(Exception):  # it ended meanwhile, and was closed
            self._connection.interrupt()

    def hang_up(self) -> None:
        """Interrupt what runs."""
        self.cancel()

    def close(self) -> None:
        """Close the connection."""
        self._connection.close()


def _check_nesting(said: Sequence[Token]) -> None:
    """Nothing; raises RefusedError for WITH in brackets of WITH, too many deep."""
    opened: list[bool] = []
    deep = 0
    for token, following in pairwise(said):
        if token.text == "(":
            opened.append(following.text.lower() == "with")
            deep += opened[-1]
            if deep > _NESTED:
                raise RefusedError("TooComplex", f"WITH within WITH may be {_NESTED} deep: DuckDB takes hours for more")
        elif token.text == ")" and opened:
            deep -= opened.pop()
