"""Where bars and features are kept: the tables `bars` and `feature_values`, in a database of the caller's choice."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Protocol

from execlog.core.errors import StoreError
from execlog.kinds.pipelines.bars import Bar
from execlog.store.ownership import make_private
from execlog.store.pairs import Pair
from execlog.store.sqlite.connection import translated
from execlog.store.sqlite.jobs import open_file

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
    """A `Warehouse` in an SQLite file, which threads and processes may share. A pair's features change as a whole."""

    def __init__(self, path: Path | str) -> None:
        """Raises StoreError where the file cannot be opened."""
        self.path = Path(path)
        try:
            make_private(self.path.parent)
        except OSError as error:
            raise StoreError(f"{self.path}: {error.strerror}", retry=False) from error
        self._connections = open_file(self.path)
        with translated(self.path), self._connections.write() as session:
            session.run(_queries()["bars_table"])
            session.run(_queries()["features_table"])

    def insert(self, pair: Pair, bars: Sequence[Bar]) -> int:
        """How many of the bars are new or other than what was kept."""
        with translated(self.path), self._connections.write() as session:
            before = session.changed
            session.run(_queries()["insert_bars"], pair._asdict() | {"bars": bars})
            return session.changed - before

    def bars(self, pair: Pair) -> list[Bar]:
        """All bars of a pair, oldest first."""
        with self._connections.read() as session:
            return [Bar(*row) for row in session.rows(_queries()["bars"], pair._asdict())]

    def keep(self, pair: Pair, names: Sequence[str], values: Values) -> int:
        """How many values were kept, in the place of all earlier ones."""
        with translated(self.path), self._connections.write() as session:
            session.run(_queries()["clear_features"], pair._asdict() | {"names": names})
            before = session.changed
            session.run(_queries()["insert_features"], pair._asdict() | {"features": values})
            return session.changed - before

    def features(self, pair: Pair, feature: str | None = None) -> dict[str, list[tuple[int, float]]]:
        """The values of one or all features of a pair, oldest first, as (time in UTC µs, value)."""
        found: dict[str, list[tuple[int, float]]] = {}
        with self._connections.read() as session:
            for name, at, value in session.rows(_queries()["features"], pair._asdict() | {"feature": feature}):
                found.setdefault(name, []).append((at, value))
        return found

    def sizes(self) -> tuple[int, int]:
        """How many bars and how many values of features there are."""
        with self._connections.read() as session:
            bars, values = session.rows(_queries()["sizes"])[0]
        return bars, values

    def close(self) -> None:
        """Close the connections."""
        self._connections.close()


@cache
def _queries() -> dict[str, str]:
    """The named statements of warehouse.sql."""
    text = Path(__file__).with_name("warehouse.sql").read_text("utf-8")
    pieces = re.split(r"^-- name: (\w+)\n", text, flags=re.MULTILINE)
    return dict(zip(pieces[1::2], pieces[2::2], strict=True))
