"""Where bars and features are kept: the tables `bars` and `feature_values`, in a database of the caller's choice."""

from __future__ import annotations

import os
import re
import threading
from collections.abc import Generator, Mapping, Sequence
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import Any, Protocol

import apsw

from execlog.core.codec import to_json
from execlog.core.errors import StoreError
from execlog.kinds.pipelines.bars import Bar
from execlog.store.pairs import Pair

_BUSY_MS = 10_000
_TRANSIENT = (apsw.BusyError, apsw.LockedError, apsw.IOError, apsw.FullError, apsw.CantOpenError)
Values = Mapping[str, Sequence[tuple[int, float]]]


class Warehouse(Protocol):
    """Keeps bars and features. Each call is atomic and durable; it may come from several threads at once.

    Raises StoreError, whose `retry` says whether trying again can help.
    """

    def insert(self, pair: Pair, bars: Sequence[Bar]) -> int:
        """How many of the bars are new or other than what was kept; inserting the same again changes nothing."""
        ...

    def bars(self, pair: Pair) -> list[Bar]:
        """All bars of a pair, oldest first."""
        ...

    def keep(self, pair: Pair, names: Sequence[str], values: Values) -> int:
        """How many values were kept; they take the place of all earlier ones of the features `names`."""
        ...


class SqliteWarehouse:
    """A `Warehouse` in an SQLite file, which several processes may share. The features of a pair change as a whole."""

    def __init__(self, path: Path | str) -> None:
        self.path = Path(path)
        self._lock = threading.Lock()
        self._pid = os.getpid()
        self._connection: Any = None
        self._inherited: Any = None
        with self._lock, self._transaction():
            pass  # the file is made now, so that a place that cannot be written is known at once

    def insert(self, pair: Pair, bars: Sequence[Bar]) -> int:
        """How many of the bars are new or other than what was kept."""
        with self._lock, self._transaction() as connection:
            connection.execute(_queries()["insert_bars"], {**pair._asdict(), "bars": _json(bars)})
            return connection.changes()

    def bars(self, pair: Pair) -> list[Bar]:
        """All bars of a pair, oldest first."""
        with self._lock, self._transaction() as connection:
            return [Bar(*row) for row in _rows(connection, "bars", pair._asdict())]

    def keep(self, pair: Pair, names: Sequence[str], values: Values) -> int:
        """How many values were kept, in the place of all earlier ones."""
        with self._lock, self._transaction() as connection:
            connection.execute(_queries()["clear_features"], {**pair._asdict(), "names": _json(names)})
            connection.execute(_queries()["insert_features"], {**pair._asdict(), "features": _json(values)})
            return connection.changes()

    def features(self, pair: Pair, feature: str | None = None) -> dict[str, list[tuple[int, float]]]:
        """The values of one or all features of a pair, oldest first."""
        found: dict[str, list[tuple[int, float]]] = {}
        with self._lock, self._transaction() as connection:
            for name, at, value in _rows(connection, "features", {**pair._asdict(), "feature": feature}):
                found.setdefault(name, []).append((at, value))
        return found

    def sizes(self) -> tuple[int, int]:
        """How many bars and how many values of features there are."""
        with self._lock, self._transaction() as connection:
            bars, values = _rows(connection, "sizes", {})[0]
        return bars, values

    def close(self) -> None:
        """Close the connection; a later call opens it again."""
        with self._lock:
            if self._connection is not None and self._pid == os.getpid():
                self._connection.close()
            self._connection = None

    @contextmanager
    def _transaction(self) -> Generator[Any]:
        try:
            connection = self._open()
            with connection:
                yield connection
        except (apsw.Error, OSError) as error:
            raise StoreError(f"{self.path}: {error}", retry=isinstance(error, _TRANSIENT)) from error

    def _open(self) -> Any:
        if self._pid != os.getpid():  # a connection must not be used, nor closed, on the other side of a fork
            self._inherited = self._connection
            self._connection, self._pid = None, os.getpid()
        if self._connection is None:
            self.path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
            connection: Any = apsw.Connection(str(self.path))
            connection.set_busy_timeout(_BUSY_MS)
            connection.execute("pragma journal_mode = wal").fetchall()
            connection.execute("pragma synchronous = full")
            connection.execute(_queries()["schema"]).fetchall()
            self._connection = connection
        return self._connection


def _rows(connection: Any, query: str, bindings: dict[str, Any]) -> list[tuple[Any, ...]]:
    return connection.execute(_queries()[query], bindings).fetchall()


@cache
def _queries() -> dict[str, str]:
    """The named statements of warehouse.sql."""
    pieces = re.split(
        r"^-- name: (\w+)\n", Path(__file__).with_name("warehouse.sql").read_text("utf-8"), flags=re.MULTILINE
    )
    return dict(zip(pieces[1::2], pieces[2::2], strict=True))


def _json(value: object) -> str:
    return to_json(value).decode()
