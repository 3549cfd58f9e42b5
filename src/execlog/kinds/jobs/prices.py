"""The table `prices`: what fetch jobs bring home, kept in `{home}/prices.db`."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path

import msgspec
from msgspec import Struct

from execlog.core.errors import StoreError
from execlog.store.ownership import make_private
from execlog.store.sqlite.connection import translated
from execlog.store.sqlite.jobs import open_file

_SCHEMA = """
create table if not exists prices (
    symbol     text    not null,
    date       text    not null,
    open       real,
    high       real,
    low        real,
    close      real    not null,
    volume     real,
    source     text    not null,
    fetched_at integer not null,
    primary key (symbol, date, source)
) strict, without rowid
"""
_KEEP = """
insert into prices (symbol, date, open, high, low, close, volume, source, fetched_at)
select :symbol, p.value ->> 'date', p.value ->> 'open', p.value ->> 'high', p.value ->> 'low', p.value ->> 'close',
    p.value ->> 'volume', :source, :fetched_at
from json_each(:prices) as p where true
on conflict do update set open = excluded.open, high = excluded.high, low = excluded.low, close = excluded.close,
    volume = excluded.volume, fetched_at = excluded.fetched_at
"""
_READ = """
select date, close, open, high, low, volume from prices
where symbol = :symbol and date between :start and :end and (:source is null or source = :source)
order by date, source limit :limit
"""


class Price(Struct, frozen=True, omit_defaults=True):
    """The price of a symbol on a day (2004-08-19)."""

    date: str
    close: float
    open: float | None = None
    high: float | None = None
    low: float | None = None
    volume: float | None = None


class PriceTable:
    """Prices by symbol, day and source; keeping a row again replaces it. Threads and processes may share it."""

    def __init__(self, path: Path) -> None:
        """Raises StoreError where the file cannot be opened."""
        self.path = path
        try:
            make_private(path.parent)
        except OSError as error:
            raise StoreError(f"{path}: {error.strerror}", retry=False) from error
        self._connections = open_file(path)
        with translated(path), self._connections.write() as session:
            session.run(_SCHEMA)

    def keep(self, symbol: str, prices: Sequence[Price], *, source: str, fetched_at: int) -> int:
        """How many rows were kept, all or none; `fetched_at` in UTC µs. Raises StoreError."""
        values = {
            "symbol": symbol,
            "source": source,
            "fetched_at": fetched_at,
            "prices": msgspec.json.encode(prices).decode(),
        }
        with translated(self.path), self._connections.write() as session:
            session.run(_KEEP, values)
        return len(prices)

    def read(
        self, symbol: str, start: str = "", end: str = "9999", *, source: str | None = None, limit: int = 100_000
    ) -> list[Price]:
        """The prices of a symbol from `start` to `end`, both days included, oldest first."""
        values = {"symbol": symbol, "start": start, "end": end, "source": source, "limit": limit}
        with self._connections.read() as session:
            return [Price(*row) for row in session.rows(_READ, values)]

    def count(self) -> int:
        """How many rows there are."""
        with self._connections.read() as session:
            return session.value("select count(*) from prices")

    def close(self) -> None:
        """Close the connections."""
        self._connections.close()


@lru_cache(maxsize=8)
def price_table(path: Path) -> PriceTable:
    """The table at this path, opened once a process."""
    return PriceTable(path)
