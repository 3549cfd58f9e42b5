"""PostgreSQL, the store beside the server's own limit: the same rows into the same table, the same pages by hand.

Ingest: `PostgresStore.apply` (executions, identity, items, statistics, subjects, one transaction a batch) beside a raw
COPY into a staging table and one upsert into a table with the same columns, partitions and indexes, and beside its own
statements, ready made: what these take is the server's and the driver's, the rest is the store's. Reads: the store
beside the same SQL on a bare connection. The contenders take turns; medians and ratios. The server is a real
PostgreSQL from a wheel on a loopback port, with fsync as it is by default.

    --rows N     executions to write, in batches of 1,000 (default 50,000)
"""

from __future__ import annotations

import argparse
import statistics
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psycopg
from generator import batches
from replay import Said, replay, statements
from report import Report, percentile

from execlog.core.filter import Filter
from execlog.core.model import Event, Status
from execlog.store.postgres import connection
from execlog.store.postgres.query import ask, order
from execlog.store.postgres.reading import HEAD
from execlog.store.postgres.store import PostgresStore
from execlog.store.sql import migrations, queries
from execlog.store.sqlite.rows import WRITTEN, event_row

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))
from servers import Postgres

BATCH, PER_DAY, ROUNDS = 1_000, 1_000_000, 300
TARGET = 0.8
COLUMNS = ", ".join("searched" if name == "text_key" else name for name in WRITTEN)


class Raw:
    """COPY into a staging table and one upsert, in one transaction, into the store's own schema; nothing else."""

    def __init__(self, url: str) -> None:
        self._connection: Any = psycopg.connect(url, autocommit=True)
        for _, sql in migrations("postgres"):
            self._connection.execute(sql)
        self._connection.execute("create extension if not exists pg_trgm")
        self._connection.execute("create index on executions using gin (searched gin_trgm_ops)")
        self._connection.execute("create temporary table staging (like executions) on commit delete rows")

    def apply(self, rows: list[tuple[Any, ...]]) -> None:
        """Write rows that are ready."""
        with self._connection.transaction(), self._connection.cursor() as cursor:
            with cursor.copy(f"copy staging ({COLUMNS}) from stdin") as copy:
                for row in rows:
                    copy.write_row(row)
            cursor.execute(
                f"insert into executions ({COLUMNS}) select {COLUMNS} from staging "
                "on conflict (created_at, number) do update set status = excluded.status"
            )


def ready(events: list[Event], number: int) -> list[tuple[Any, ...]]:
    """The rows of a batch as plain values: what the raw contender is given for nothing."""
    rows = [event_row(at, event, has_text=False) for at, event in enumerate(events, number + 1)]
    return [tuple(value.value if hasattr(value, "value") else value for value in row) for row in rows]


def say(store: PostgresStore, said: list[Said]) -> None:
    """What another store said, in one transaction."""
    with store.connections.write() as session:
        replay(session, said[1:])  # the first sets the limits that a transaction begins with


def ingest(report: Report, store: PostgresStore, others: tuple[PostgresStore, PostgresStore], raw: Raw, n: int) -> None:
    """Report the store's speed beside that of its statements and the raw one's, over so many rows."""
    timed: dict[str, list[float]] = {"store": [], "said": [], "raw": []}
    asked, said_to = others
    number = 0
    for turn, events in enumerate(batches(n, size=BATCH, days=n / PER_DAY)):
        given = ready(events, number)
        said = statements(connection, lambda e=events: asked.apply(e))
        number += len(events)
        runs: list[tuple[str, Callable[[], object]]] = [
            ("store", lambda e=events: store.apply(e)),
            ("said", lambda s=said: say(said_to, s)),
            ("raw", lambda g=given: raw.apply(g)),
        ]
        first = turn % len(runs)
        for name, run in runs[first:] + runs[:first]:
            began = time.perf_counter()
            run()
            timed[name].append(time.perf_counter() - began)
    rates = {name: BATCH / statistics.median(took) for name, took in timed.items()}
    report.add("PostgresStore.apply, median", rates["store"], "rows/s")
    report.add("its statements, ready made, median", rates["said"], "rows/s")
    report.add("raw copy and upsert, median", rates["raw"], "rows/s")
    report.add("store over raw", rates["store"] / rates["raw"], "times", at_least=TARGET)
    report.add("store over its own statements", rates["store"] / rates["said"], "times")
    report.add("its own statements over raw", rates["said"] / rates["raw"], "times")


def reads(report: Report, store: PostgresStore, url: str) -> None:
    """Report how the store's answers compare to the same SQL on a bare connection."""
    newest = store.find(Filter(kind="job"), limit=1).entries[0]
    week = newest.created_at - 7 * 86_400_000_000
    pages = {
        "latest of a job": (Filter(kind="job", namespace=newest.namespace, subject=newest.subject), 1),
        "50 newest failed": (Filter(kind="job", statuses=(Status.FAILED,)), 50),
    }
    with psycopg.connect(url, autocommit=True, options="-c plan_cache_mode=force_custom_plan") as connection:
        for name, (asked, limit) in pages.items():
            question = ask(asked)
            sql = queries("postgres", "read")["find"].format(
                head=HEAD, source=question.source, where=question.where, order=order(asked)
            )
            bindings = {**question.bindings, "limit": limit + 1, "offset": 0}
            compare(
                report,
                name,
                lambda a=asked, n=limit: store.find(a, limit=n),
                lambda s=sql, b=bindings: connection.execute(s, b).fetchall(),  # pyright: ignore[reportArgumentType] - SQL from a file
            )
    figures = [took(lambda: store.stats(Filter(kind="job", subject=newest.subject, since=week))) for _ in range(100)]
    everything = [took(lambda: store.stats(Filter(since=week))) for _ in range(100)]
    for name, found in (("7 days of a job", figures), ("7 days of everything", everything)):
        report.add(f"{name}, p50", statistics.median(found) * 1e3, "ms")
        report.add(f"{name}, p99", percentile(found, 0.99) * 1e3, "ms")


def compare(report: Report, name: str, ask_store: Callable[[], object], ask_raw: Callable[[], object]) -> None:
    """Report both, taking turns."""
    ours, raws = [], []
    for _ in range(ROUNDS):
        ours.append(took(ask_store) * 1e3)
        raws.append(took(ask_raw) * 1e3)
    report.add(f"{name}, p50", statistics.median(ours), "ms")
    report.add(f"{name}, p99", percentile(ours, 0.99), "ms")
    report.add(f"{name}, bare SQL, p50", statistics.median(raws), "ms")
    report.add(f"{name}, store over bare SQL", statistics.median(raws) / statistics.median(ours), "times")


def took(work: Callable[[], object]) -> float:
    """Seconds."""
    began = time.perf_counter()
    work()
    return time.perf_counter() - began


def main() -> int:
    """The exit code: 0 where the target is met."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=50_000)
    options = parser.parse_args()
    report = Report("bench_postgres")
    with Postgres({"fsync": "on", "shared_buffers": "512MB"}) as server:
        for name in ("raw", "asked", "said"):
            server.execute(f"create database {name}")
        asked, said_to = (PostgresStore(server.database_url(name)) for name in ("asked", "said"))
        store, raw = PostgresStore(server.url), Raw(server.database_url("raw"))
        ingest(report, store, (asked, said_to), raw, options.rows)
        for opened in (asked, said_to):
            opened.close()
        with store.connections.write() as session:
            session.run("analyze")
        reads(report, store, server.url)
        store.close()
    return report.close()


if __name__ == "__main__":
    sys.exit(main())
