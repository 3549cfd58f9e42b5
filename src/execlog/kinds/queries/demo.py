"""Real SQL through the gateway over real prices, for `execlog demo`: on SQLite, and on DuckDB where it is installed."""

from __future__ import annotations

import csv
import importlib.util
from datetime import date, datetime
from pathlib import Path
from typing import Any

import apsw
from msgspec import Struct

from execlog.kinds.queries.connections import Connection, connection_of
from execlog.kinds.queries.gateway import Gateway, Query
from execlog.kinds.queries.record import WORDS
from execlog.ledger import Ledger

SQLITE, DUCKDB = "prices", "analytics"
_ROLLING = """
select symbol, date, price,
    round(avg(price) over (partition by symbol order by date rows 11 preceding), 2) as mean_of_a_year
from prices order by date desc, symbol
"""
_RETURNS = """
with monthly as (
    select symbol, date, price / lag(price) over (partition by symbol order by date) - 1 as gain from prices
)
select
    symbol,
    count(gain) as months,
    round(avg(gain) * 100, 2) as mean_percent,
    round(min(gain) * 100, 2) as worst_percent
from monthly group by symbol order by mean_percent desc
"""
_YEARS = """
select cast(strftime('%Y', date) as integer) as year, symbol, min(price) as low, max(price) as high
from prices group by 1, 2 order by 1, 2
"""
_ENDLESS = "select count(*) from prices a, prices b, prices c, prices d where a.price + b.price + c.price + d.price < 0"
_CORRELATION = """
select a.symbol, b.symbol as other, round(corr(a.price, b.price), 3) as correlation
from prices a join prices b on a.date = b.date and a.symbol < b.symbol group by all order by correlation desc
"""
_LOAD = """
create table prices as
select symbol, strptime(date, '%b %d %Y')::date as date, price
from read_csv(:path, header = true, columns = {'symbol': 'varchar', 'date': 'varchar', 'price': 'double'})
"""
_QUANTILES = (
    "select symbol, quantile_cont(price, [0.05, 0.5, 0.95]) as prices from prices group by symbol order by symbol"
)


class DemoQuery(Struct, frozen=True, kw_only=True):
    """A query the demo ran, and what became of it: `status` in the words of the API."""

    execution_id: str
    user_id: str
    connection: str
    title: str
    status: str
    seconds: float
    total_rows: int | None
    message: str | None


_SHOWN: tuple[tuple[str, str, str, str, float], ...] = (
    (SQLITE, "ann", "mean price of the last year, month by month", _ROLLING, 5.0),
    (SQLITE, "ann", "monthly returns", _RETURNS, 5.0),
    (SQLITE, "bob", "lows and highs of each year", _YEARS, 5.0),
    (SQLITE, "bob", "a column that is not there", "select symbol, volume from prices", 5.0),
    (SQLITE, "bob", "a read-only connection stays as it is", "drop table prices", 5.0),
    (SQLITE, "ann", "a join that would take hours", _ENDLESS, 0.3),
    (DUCKDB, "ann", "monthly returns", _RETURNS, 5.0),
    (DUCKDB, "ann", "correlations", _CORRELATION, 5.0),
    (DUCKDB, "bob", "quantiles", _QUANTILES, 5.0),
    (DUCKDB, "bob", "a file that is none of its business", "select * from read_csv('/etc/hosts')", 5.0),
)


def demo_gateway(ledger: Ledger, csv_path: Path) -> Gateway:
    """A gateway to the prices: `prices` on SQLite, a file in the ledger's home, and `analytics` on DuckDB in memory.

    It leaves out DuckDB where that is not installed. The caller closes it.
    """
    connections = [_sqlite(ledger.settings.home / "demo" / "prices.db", csv_path)]
    if importlib.util.find_spec("duckdb") is not None:
        connections.append(_duckdb(csv_path))
    return Gateway(ledger, {connection.name: connection for connection in connections})


def run_query_demo(ledger: Ledger, csv_path: Path, gateway: Gateway | None = None) -> list[DemoQuery]:
    """What became of the demo's queries, in the order they ran: most succeed, some are refused, one times out."""
    if gateway is None:
        with demo_gateway(ledger, csv_path) as opened:
            return run_query_demo(ledger, csv_path, opened)
    return [_ask(gateway, *shown) for shown in _SHOWN if shown[0] in gateway.connections]


def read_prices(csv_path: Path) -> list[tuple[str, date, float]]:
    """Symbol, day and closing price of each line of the file, whose days are written "Jan 1 2000"."""
    with csv_path.open(newline="", encoding="utf-8") as lines:
        return [
            (line["symbol"], datetime.strptime(line["date"], "%b %d %Y").date(), float(line["price"]))  # noqa: DTZ007 - a day
            for line in csv.DictReader(lines)
        ]


def _ask(gateway: Gateway, connection: str, user_id: str, title: str, query: str, timeout: float) -> DemoQuery:
    asked = Query(
        query=query.strip(), connection=connection, user_id=user_id, timeout=timeout, metadata={"title": title}
    )
    outcome = gateway.execute(asked)
    return DemoQuery(
        execution_id=outcome.execution_id,
        user_id=user_id,
        connection=connection,
        title=title,
        status=WORDS[outcome.status],
        seconds=outcome.seconds,
        total_rows=outcome.part.total_rows if outcome.part else None,
        message=outcome.trouble.message if outcome.trouble else None,
    )


def _sqlite(path: Path, csv_path: Path) -> Connection:
    path.parent.mkdir(parents=True, exist_ok=True)
    rows = [(symbol, day.isoformat(), price) for symbol, day, price in read_prices(csv_path)]
    database: Any = apsw.Connection(str(path))
    with database:
        database.execute("drop table if exists prices")
        database.execute("create table prices (symbol text, date text, price real, primary key (symbol, date))")
        database.executemany("insert into prices values (?, ?, ?)", rows)
    database.close()
    return connection_of(SQLITE, {"type": "sqlite", "path": str(path)})


def _duckdb(csv_path: Path) -> Connection:
    path = str(csv_path).replace("'", "''")
    load = _LOAD.replace(":path", f"'{path}'")
    return connection_of(DUCKDB, {"type": "duckdb", "init": [load], "threads": 2})
