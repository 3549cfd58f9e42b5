"""Connections: one that writes, a pool that reads, and apsw's errors in the house's words."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable, Generator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Any

import apsw
import msgspec

from execlog.core.codec import to_json
from execlog.core.errors import CodecError, InvalidError, StoreError
from execlog.store.base import CHANGED
from execlog.store.sqlite.damage import UNREADABLE, damaged, reason_in
from execlog.store.sqlite.forking import close_at_once, mind

PAGE_SIZE = 8_192
CHECKPOINT_PAGES = 4_000
WRITER_CACHE_KIB = 65_536
READER_CACHE_KIB = 16_384
_READERS_KEPT = 8
_PROGRESS_STEPS = 200_000
_CACHED_STATEMENTS = 256
_LOOK_SECONDS = 0.001

RETRY = (apsw.BusyError, apsw.LockedError, apsw.FullError, apsw.IOError, apsw.CantOpenError, apsw.NoMemError)
"""What may go away by itself: another writer, a full disk, a device that answers again."""

UNUSABLE = (apsw.CantOpenError, apsw.ReadOnlyError, apsw.FullError, apsw.IOError, apsw.PermissionsError)
"""What the file or its disk is to blame for."""

POISON = (apsw.ConstraintError, apsw.MismatchError, apsw.TooBigError, apsw.RangeError, apsw.SQLError)
"""What one event can cause for the whole batch it is in."""


NUL = "a NUL character, or what looks like one"


class Session:
    """A connection in use: statements with named bindings. Lists, tuples and dicts are bound as JSON text.

    SQLite takes NUL characters and then cuts texts off at them. Unless the events are known to be `mended`, what is
    written is looked through for them.
    """

    def __init__(self, connection: Any) -> None:
        self._connection = connection
        self.mended = False

    def run(self, sql: str, bindings: Mapping[str, Any] | None = None) -> None:
        """Run a statement for its effect. Raises ValueError where it would write a NUL character."""
        bound = _bound(bindings)
        if not self.mended and any(isinstance(value, str) and "u0000" in value for value in bound.values()):
            raise ValueError(NUL)
        self._connection.execute(sql, bound)

    def put(self, sql: str, values: Sequence[Any] = ()) -> None:
        """Run a statement for its effect, with values in the order of its question marks, bound as they are."""
        self._connection.execute(sql, values)

    def value(self, sql: str, bindings: Mapping[str, Any] | None = None) -> Any:
        """The first column of the first row a statement answers with; None where there is none."""
        return self._connection.execute(sql, _bound(bindings)).get

    def rows(self, sql: str, bindings: Mapping[str, Any] | None = None) -> list[tuple[Any, ...]]:
        """All rows a statement answers with."""
        return self._connection.execute(sql, _bound(bindings)).fetchall()

    def copying(self, copy: Any) -> AbstractContextManager[Any]:
        """What copies the database into the one of another apsw.Connection."""
        return copy.backup("main", self._connection, "main")

    @property
    def changed(self) -> int:
        """How many rows were inserted, changed or deleted over this connection so far."""
        return self._connection.total_changes()

    def savepoint(self) -> AbstractContextManager[Any]:
        """A transaction within the transaction: an exception undoes what was done in it, and goes on."""
        return self._connection


class Connections:
    """The connections of one database file. Readers see the last commit, and wait for no writer."""

    def __init__(
        self,
        path: Path,
        *,
        busy_timeout: float,
        read_timeout: float,
        functions: Mapping[str, Callable[..., Any]],
        writing: str = "",
    ) -> None:
        """`functions` are those every connection has; `writing` is SQL that the writing one begins with."""
        self.path = path
        self._functions = functions
        self._writing = writing
        self._busy_ms = round(busy_timeout * 1000)
        self._busy_timeout = busy_timeout
        self._read_timeout = read_timeout
        self._pid = os.getpid()
        self._write_lock = threading.Lock()
        self._lock = threading.Lock()
        self._writer: Any = None
        self._idle: list[Any] = []
        self._abandoned: list[Any] = []
        self._reading = 0
        self._closed = False
        self._schema: int | None = None
        mind(self)

    def insist_on(self, schema: int) -> None:
        """Write only while the database has this schema version: what a newer one counts, this code would not."""
        self._schema = schema

    @contextmanager
    def write(self) -> Generator[Session]:
        """The writing connection inside a transaction: committed at the end, rolled back on any exception.

        Raises StoreError; what an event can cause (`POISON`) is raised as it is, for the caller to sort out.
        """
        self._check()
        if not self._write_lock.acquire(timeout=self._busy_timeout):
            raise StoreError(f"{self.path}: another thread has been writing for {self._busy_timeout:g} s", retry=True)
        try:
            with translated(self.path, poison=True):
                connection = self._writer = self._writer or self._open_writer()
                with _transaction(connection):
                    if self._schema is not None and connection.pragma("user_version") != self._schema:
                        raise StoreError(f"{self.path}: {CHANGED}", retry=False)
                    yield Session(connection)
        finally:
            self._write_lock.release()

    @contextmanager
    def read(self, *, snapshot: bool = False, unhurried: bool = False) -> Generator[Session]:
        """A reading connection; with `snapshot` all its statements see the same state.

        It is interrupted at the time-out, unless it is `unhurried`.
        """
        self._check()
        with translated(self.path):
            with self._lock:
                connection = self._idle.pop() if self._idle else None
                self._reading += 1
            try:
                connection = connection or self.open(cache_kib=READER_CACHE_KIB, readonly=True)
                if not unhurried:
                    connection.set_progress_handler(_deadline(self._read_timeout), _PROGRESS_STEPS)
                if snapshot:
                    connection.execute("begin")
                yield Session(connection)
            except (msgspec.DecodeError, CodecError) as error:
                raise damaged(self.path, f"a row cannot be read: {error}") from error
            finally:
                self._give_back(connection)

    def open(self, *, cache_kib: int, readonly: bool = False) -> Any:
        """A new apsw.Connection with the settings every connection has."""
        connection: Any = apsw.Connection(str(self.path), statementcachesize=_CACHED_STATEMENTS)
        try:
            self._set_up(connection, cache_kib)
            if readonly:
                connection.execute("pragma query_only = on")
        except BaseException:  # the first that reads may find the file damaged
            connection.close()
            raise
        return connection

    def _set_up(self, connection: Any, cache_kib: int) -> None:
        connection.set_busy_timeout(self._busy_ms)
        connection.execute(f"pragma cache_size = {-cache_kib}")
        connection.execute("pragma synchronous = full")
        connection.execute("pragma foreign_keys = off")
        connection.execute("pragma trusted_schema = off")
        connection.execute(f"pragma wal_autocheckpoint = {CHECKPOINT_PAGES}")
        for name, function in self._functions.items():
            connection.create_scalar_function(name, function, deterministic=True)

    def _open_writer(self) -> Any:
        connection = self.open(cache_kib=WRITER_CACHE_KIB)
        if connection.readonly("main"):
            # A file that cannot be opened for writing, for want of descriptors, say, SQLite opens for reading, and the
            # connection stays so: the next one may be better.
            connection.close()
            raise StoreError(f"{self.path}: the file cannot be opened for writing", retry=True)
        connection.execute("pragma temp_store = memory")
        connection.execute(self._writing)
        return connection

    def close(self) -> None:
        """Close what is idle; a reading still under way closes its connection itself when it ends."""
        with self._write_lock, self._lock:
            self._closed = True
            if self._pid == os.getpid():
                for connection in (self._writer, *self._idle):
                    if connection is not None:
                        connection.close()
            self._writer, self._idle = None, []

    def pause(self, until: float) -> Callable[[], None] | None:
        """Close all connections before a fork; see `forking`."""
        if not self._write_lock.acquire(timeout=max(until - time.monotonic(), 0)):
            return None
        while not self._lock_idle():
            if time.monotonic() > until:
                self._write_lock.release()
                return None
            time.sleep(_LOOK_SECONDS)
        for connection in (self._writer, *self._idle):
            if connection is not None:
                close_at_once(connection)
        self._writer, self._idle = None, []
        return self._resume

    def _lock_idle(self) -> bool:
        self._lock.acquire()
        if not self._reading:
            return True
        self._lock.release()
        return False

    def _resume(self) -> None:
        self._pid = os.getpid()
        self._lock.release()
        self._write_lock.release()

    def _give_back(self, connection: Any) -> None:
        if connection is not None:
            if connection.in_transaction:
                connection.execute("rollback")
            connection.set_progress_handler(None)
        with self._lock:
            self._reading -= 1
            if connection is None:
                return
            if not self._closed and len(self._idle) < _READERS_KEPT:
                self._idle.append(connection)
                return
        connection.close()

    def _check(self) -> None:
        if self._closed:
            raise StoreError(f"{self.path}: the store is closed", retry=False)
        if self._pid != os.getpid():
            self._leave_to_parent()

    def _leave_to_parent(self) -> None:
        """Forget the connections a fork brought along: using or closing them here would break the parent's."""
        self._abandoned += [self._writer, *self._idle]
        self._writer, self._idle, self._reading = None, [], 0
        self._write_lock, self._lock = threading.Lock(), threading.Lock()
        self._pid = os.getpid()


@contextmanager
def translated(path: Path, *, poison: bool = False) -> Generator[None]:
    """Nothing; errors of apsw become StoreError, except, with `poison`, those an event can cause."""
    try:
        yield
    except UnicodeEncodeError as error:
        if poison:
            raise
        raise InvalidError("a text with a lone surrogate cannot be looked for") from error
    except (apsw.Error, *UNREADABLE) as error:
        reason = reason_in(error)
        if reason is not None:
            raise damaged(path, reason) from error
        if poison and isinstance(error, POISON):
            raise
        message = f"{path}: {error}" if str(error) else f"{path}: {type(error).__name__}"
        if isinstance(error, UNUSABLE):
            message += _obstacle(path)
        if isinstance(error, apsw.InterruptError):
            message = f"{path}: the question took longer than its time-out"
        raise StoreError(message, retry=isinstance(error, RETRY)) from error


def _obstacle(path: Path) -> str:
    """What keeps a database from being used, where that can be seen: SQLite says no more than that it cannot."""
    folder = path.parent
    if path.is_dir():
        return " (it is a folder)"
    if not os.access(folder, os.R_OK | os.W_OK | os.X_OK):
        return f" (user {os.geteuid()} may not write in {folder}, which SQLite needs for reading too)"
    if not os.access(path, os.R_OK | os.W_OK):
        return f" (user {os.geteuid()} may not write to it)"
    if os.statvfs(folder).f_bavail == 0:
        return f" (the disk of {folder} is full)"
    return ""


@contextmanager
def _transaction(connection: Any) -> Generator[None]:
    connection.execute("begin immediate")
    try:
        yield
        connection.execute("commit")
    except BaseException:
        if connection.in_transaction:
            connection.execute("rollback")
        raise


def _deadline(seconds: float) -> Callable[[], bool]:
    end = time.monotonic() + seconds
    return lambda: time.monotonic() > end


def _bound(bindings: Mapping[str, Any] | None) -> dict[str, Any]:
    return {
        name: to_json(value).decode() if isinstance(value, list | tuple | dict) else value
        for name, value in (bindings or {}).items()
    }
