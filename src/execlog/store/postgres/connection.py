"""Connections to PostgreSQL: a pool, transactions, time-outs that hold although the server hangs, errors as ours."""

from __future__ import annotations

import logging
import os
import select
import threading
import time
from collections.abc import Callable, Generator, Iterable, Mapping, Sequence
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Any, NoReturn, cast
from urllib.parse import parse_qsl, urlsplit, urlunsplit

from execlog.core.errors import MissingExtraError, StoreError
from execlog.core.sockets import shut_down

if TYPE_CHECKING:
    import psycopg
    from psycopg_pool import ConnectionPool

MOST_CONNECTIONS = 8
_POOL = "execlog"
_CONNECT_SECONDS = 5
_WATCH_SECONDS = 0.5
_UNSORTED_KIB = 128
_SECONDS_LONGER = 5.0
_LIMITS = """
select set_config('statement_timeout', %(milliseconds)s, true), set_config('lock_timeout', %(milliseconds)s, true)
"""
_BEGIN = "begin isolation level repeatable read, read only"
_BEGIN_ONE_PLAN = (
    f"{_BEGIN}; set local plan_cache_mode = force_generic_plan; set local max_parallel_workers_per_gather = 0"
)
_PLAN_ANEW = "set local plan_cache_mode = force_custom_plan; set local max_parallel_workers_per_gather to default"
_LIMITED = ("54000", "54001", "54011", "54023")
"""What the server says of a statement or a row that is more than it can take: trying again cannot help."""

_abandoned: list[Any] = []
"""Pools of a parent process: closing or collecting them here would end its sessions."""


class Session:
    """A transaction: what is said in it holds from its commit on."""

    def __init__(self, connection: psycopg.Connection[tuple[Any, ...]]) -> None:
        self._connection = connection

    def rows(self, sql: str, bindings: Mapping[str, Any] | None = None) -> list[tuple[Any, ...]]:
        """The rows a statement answers with."""
        return self._connection.execute(cast("Any", sql), bindings or {}).fetchall()

    def value(self, sql: str, bindings: Mapping[str, Any] | None = None) -> Any:
        """The first value of the first row; None where there is no row."""
        row = self._connection.execute(cast("Any", sql), bindings or {}).fetchone()
        return row[0] if row else None

    def run(self, sql: str, bindings: Mapping[str, Any] | None = None) -> int:
        """How many rows a statement changed."""
        return self._connection.execute(cast("Any", sql), bindings or {}).rowcount

    def copy(self, sql: str, rows: Iterable[Sequence[Any]], *, meanwhile: Callable[[], object] | None = None) -> None:
        """Write rows by a `copy … from stdin`, and do something `meanwhile`: the server is busy with them a while."""
        with self._connection.cursor() as cursor, cursor.copy(cast("Any", sql)) as copy:
            write = copy.write_row
            for row in rows:
                write(row)
            if meanwhile is not None:
                meanwhile()

    def plan_anew(self) -> None:
        """Let plans follow the values that are asked for, in a transaction where a statement has one plan."""
        self._connection.execute(_PLAN_ANEW, prepare=False)

    @contextmanager
    def savepoint(self) -> Generator[None]:
        """Nothing; what was done inside is undone when an exception leaves it."""
        with self._connection.transaction():
            yield


class _Attempts(logging.Filter):
    """What our pools say of each attempt to connect, twice a second: kept from the log, for the error to come."""

    _last, _at = "", 0.0

    def filter(self, record: logging.LogRecord) -> bool:
        """Whether it is about another pool."""
        said = record.args
        if not isinstance(said, tuple) or not said or said[0] != _POOL:
            return True
        if isinstance(said[-1], Exception):
            self._last, self._at = _said(said[-1]), time.monotonic()
        return False

    def failure(self) -> str:
        """Why the last one failed, "" where that is long ago."""
        return self._last if time.monotonic() - self._at < 2 * _CONNECT_SECONDS else ""


_attempts = _Attempts()
logging.getLogger("psycopg.pool").addFilter(_attempts)


class Connections:
    """The connections to one database. Thread-safe; a forked child gets connections of its own."""

    def __init__(self, url: str, *, write_timeout: float, read_timeout: float) -> None:
        try:
            import psycopg
            import psycopg_pool
        except ImportError as error:
            raise MissingExtraError("postgres", needed_for="the PostgreSQL store") from error
        self._psycopg: Any = psycopg
        self._pools: Any = psycopg_pool
        self.url = without_secrets(url)
        self._conninfo = url
        self._write_timeout, self._read_timeout = write_timeout, read_timeout
        self._lock = threading.Lock()
        self._pid = os.getpid()
        self._pool: ConnectionPool[Any] | None = None
        self._watch = Watch()
        self._closed = False

    @property
    def poison(self) -> tuple[type[Exception], ...]:
        """What an event can cause, as opposed to a server that does not answer."""
        errors = self._psycopg
        return (
            errors.DataError,
            errors.IntegrityError,
            *(errors.errors.lookup(code) for code in _LIMITED),
            UnicodeEncodeError,
        )

    def connect(self) -> psycopg.Connection[tuple[Any, ...]]:
        """A connection of its own, outside of the pool, in autocommit. Raises StoreError."""
        with self.translated():
            return self._psycopg.connect(self._conninfo, autocommit=True, **self._options())

    @contextmanager
    def write(self) -> Generator[Session]:
        """A transaction: committed at the end, rolled back on any exception. Raises StoreError; `poison` as it is."""
        with self._session(self._write_timeout, poison=True) as connection, connection.transaction():
            session = Session(connection)
            session.run(_LIMITS, {"milliseconds": str(round(self._write_timeout * 1000))})
            yield session

    def take_back(self) -> NoReturn:
        """Leave the innermost `write` or savepoint, without an error and without what was done in it."""
        raise self._psycopg.Rollback

    @contextmanager
    def read(self, *, one_plan: bool = False) -> Generator[Session]:
        """A transaction that only reads; all its statements see the same state.

        With `one_plan` a statement is planned once for all the values it is asked with, until `plan_anew` is called;
        and for one process, since what looks like many rows to such a plan are few.
        """
        with self._session(self._read_timeout) as connection:
            connection.execute(_BEGIN_ONE_PLAN if one_plan else _BEGIN, prepare=False)  # one message, not two
            try:
                yield Session(connection)
            except BaseException:
                with suppress(self._psycopg.Error):
                    connection.execute("rollback")
                raise
            connection.execute("commit")

    def close(self) -> None:
        """Close the connections that are idle; those in use are closed when they are given back."""
        with self._lock:
            self._closed = True
            pool, self._pool = self._pool, None
        self._watch.stop()
        if pool is not None and self._pid == os.getpid():
            pool.close(timeout=1.0)

    @contextmanager
    def translated(self, *, poison: bool = False) -> Generator[None]:
        """Nothing; errors of psycopg become StoreError, except, with `poison`, those an event can cause."""
        errors = self._psycopg
        try:
            yield
        except self.poison as error:
            if poison:
                raise
            raise StoreError(f"{self.url}: {_said(error)}", retry=False) from error
        except self._pools.PoolTimeout as error:
            why = _attempts.failure() or _said(error)
            raise StoreError(f"{self.url}: {why}", retry=True) from error
        except (errors.InterfaceError, errors.OperationalError) as error:
            retry = not isinstance(error, errors.errors.InvalidAuthorizationSpecification)
            raise StoreError(f"{self.url}: {_said(error)}", retry=retry) from error
        except errors.Error as error:
            raise StoreError(f"{self.url}: {_said(error)}", retry=False) from error

    @contextmanager
    def _session(self, timeout: float, *, poison: bool = False) -> Generator[psycopg.Connection[tuple[Any, ...]]]:
        if self._closed:
            raise StoreError(f"{self.url}: the store is closed", retry=False)
        with (
            self.translated(poison=poison),
            self._open_pool().connection(timeout=_CONNECT_SECONDS) as connection,
            self._watch.over(connection, timeout + _SECONDS_LONGER),
        ):
            yield connection

    def _open_pool(self) -> ConnectionPool[Any]:
        with self._lock:
            if self._pid != os.getpid():
                _abandoned.append(self._pool)
                self._pool, self._pid, self._watch = None, os.getpid(), Watch()
            if self._pool is None:
                self._pool = self._pools.ConnectionPool(
                    self._conninfo,
                    min_size=0,
                    max_size=MOST_CONNECTIONS,
                    open=True,
                    kwargs={"autocommit": True, **self._options()},
                    check=self._check,
                    reconnect_timeout=_CONNECT_SECONDS,
                    max_idle=300.0,
                    name=_POOL,
                )
            return cast("ConnectionPool[Any]", self._pool)

    def _check(self, connection: Any) -> None:
        """Nothing; raises for a connection that does not answer any more, or not in time.

        From a server that went away there is something to read: the end, at least. Only then is it asked anything.
        """
        if not _has_something_to_read(connection.fileno()):
            return
        with self._watch.over(connection, _CONNECT_SECONDS):
            self._pools.ConnectionPool.check_connection(connection)

    def _options(self) -> dict[str, Any]:
        given = dict(parse_qsl(urlsplit(self._conninfo).query))
        # Plans follow the values asked for: one plan for all would have to suit the rarest and the most common subject.
        # A plan over many months looks dear enough to be compiled, which takes longer than any of our statements.
        # A search reads all of what a text index has not sorted in yet: 4 MB took it longer than everything else.
        settings = f"-c plan_cache_mode=force_custom_plan -c jit=off -c gin_pending_list_limit={_UNSORTED_KIB}"
        settings += f" -c statement_timeout={round(self._read_timeout * 1000)}"
        return {
            "connect_timeout": int(given.get("connect_timeout", _CONNECT_SECONDS)),
            "application_name": given.get("application_name", "execlog"),
            "options": " ".join(filter(None, (given.get("options"), settings))),
        }


class Watch:
    """Ends what a server does not answer in time: `statement_timeout` is its own, and does not help when it hangs."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._until: dict[int, float] = {}
        self._wake = threading.Event()
        self._thread: threading.Thread | None = None
        self._stopped = False

    @contextmanager
    def over(self, connection: Any, seconds: float) -> Generator[None]:
        """Nothing; the connection breaks if the block takes longer than this."""
        descriptor: int = connection.fileno()
        with self._lock:
            self._until[descriptor] = time.monotonic() + seconds
            if self._thread is None and not self._stopped:
                self._thread = threading.Thread(target=self._run, name="execlog-postgres-watch", daemon=True)
                self._thread.start()
        try:
            yield
        finally:
            with self._lock:
                self._until.pop(descriptor, None)

    def stop(self) -> None:
        """End the thread."""
        self._stopped = True
        self._wake.set()

    def _run(self) -> None:
        while not self._stopped:
            self._wake.wait(_WATCH_SECONDS)
            now = time.monotonic()
            with self._lock:
                for descriptor, until in list(self._until.items()):
                    if now > until:
                        del self._until[descriptor]
                        shut_down(descriptor)


def without_secrets(url: str) -> str:
    """The URL without user, password and options."""
    parts = urlsplit(url)
    return urlunsplit((parts.scheme, parts.netloc.rpartition("@")[2], parts.path, "", ""))


def _has_something_to_read(descriptor: int) -> bool:
    poll = select.poll()
    poll.register(descriptor, select.POLLIN)
    return bool(poll.poll(0))


def _said(error: Exception) -> str:
    """The error's first line, which has no password in it."""
    return str(error).strip().partition("\n")[0] or type(error).__name__
