"""Ingest into SQLite, `SQLiteStore.apply` beside raw apsw `executemany` into the same table with the same indexes.

`apply` writes the spine, items for some, statistics and the text index on errors. Its own statements, ready made, are a
contender too: what they take is SQLite's, the rest is the store's. Batches of 1,000 executions, each said by one event;
the contenders take turns in one run; medians and ratios.

    --only side      side by side, target >= 0.8 of the raw speed
    --only thread    in a thread while the main thread computes, target >= 15,000 rows/s and >= 75 % of its speed
    --only process   in another process, target >= 20,000 rows/s and >= 95 %
"""

from __future__ import annotations

import argparse
import multiprocessing
import statistics
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import apsw
from generator import batches
from replay import Said, replay, statements
from report import Report

from execlog.core.model import Event
from execlog.store.sqlite import SQLiteStore, connection
from execlog.store.sqlite.connection import PAGE_SIZE
from execlog.store.sqlite.rows import WRITTEN, event_row

BATCH = 1_000
TARGET = 0.8
CONTENDERS = {
    "store": "SQLiteStore.apply",
    "said": "its statements, ready made",
    "raw": "executemany, the store's pragmas",
    "plain": "executemany, WAL and FULL only",
}
PER_DAY = 1_000_000
"""How densely the executions lie: a batch spans a minute and a half."""


class Raw:
    """What SQLite can do at best: the same table with the same indexes, and nothing else."""

    def __init__(self, path: Path, store: Path, *, tuned: bool) -> None:
        self._connection: Any = apsw.Connection(str(path))
        if tuned:
            self._connection.execute(f"pragma page_size = {PAGE_SIZE}")
        self._connection.execute("pragma journal_mode = wal; pragma synchronous = full")
        if tuned:
            for pragma in ("cache_size", "wal_autocheckpoint"):
                self._connection.execute(f"pragma {pragma} = {_settings(store)[pragma]}")
        for (sql,) in apsw.Connection(str(store)).execute(
            "select sql from sqlite_master where tbl_name = 'executions' and sql is not null order by type desc"
        ):
            self._connection.execute(sql)
        self._insert = f"insert into executions ({', '.join(WRITTEN)}) values ({', '.join('?' * len(WRITTEN))})"
        self._number = 0

    def apply(self, rows: list[tuple[Any, ...]]) -> None:
        """Insert rows that are ready to be bound, in one transaction."""
        self._connection.execute("begin immediate")
        self._connection.executemany(self._insert, rows)
        self._connection.execute("commit")

    def close(self) -> None:
        """Close the database."""
        self._connection.close()


def _settings(path: Path) -> dict[str, Any]:
    """The pragmas of the store's writing connection."""
    from execlog.store.sqlite.connection import CHECKPOINT_PAGES, WRITER_CACHE_KIB

    del path
    return {"cache_size": -WRITER_CACHE_KIB, "wal_autocheckpoint": CHECKPOINT_PAGES}


def ready(events: list[Event], number: int) -> list[tuple[Any, ...]]:
    """The rows of a batch, ready to be bound: what the raw insert is given for nothing."""
    rows = [event_row(at, event, has_text=event.error is not None) for at, event in enumerate(events, number + 1)]
    return [tuple(value.value if hasattr(value, "value") else value for value in row) for row in rows]


def say(store: SQLiteStore, said: list[Said]) -> None:
    """What another store said, in one transaction."""
    with store.connections.write() as session:
        session.mended = True
        replay(session, said)


def side_by_side(report: Report, rows: int) -> None:
    """Report the store beside raw inserts."""
    with tempfile.TemporaryDirectory(prefix="execlog-bench-") as folder:
        path = Path(folder)
        store, asked, said_to = (SQLiteStore(path / f"{name}.db") for name in ("store", "asked", "said"))
        raw = Raw(path / "raw.db", path / "store.db", tuned=True)
        plain = Raw(path / "plain.db", path / "store.db", tuned=False)
        timed: dict[str, list[float]] = {name: [] for name in CONTENDERS}
        cpu: dict[str, list[float]] = {name: [] for name in CONTENDERS}
        number = 0
        for turn, events in enumerate(batches(rows, size=BATCH, days=rows / PER_DAY)):
            given = ready(events, number)
            said = statements(connection, lambda e=events: asked.apply(e))
            number += len(events)
            runs: list[tuple[str, Callable[[], object]]] = [
                ("store", lambda e=events: store.apply(e)),
                ("said", lambda s=said: say(said_to, s)),
                ("raw", lambda g=given: raw.apply(g)),
                ("plain", lambda g=given: plain.apply(g)),
            ]
            first = turn % len(runs)
            for name, run in runs[first:] + runs[:first]:
                began, busy = time.perf_counter(), time.thread_time()
                run()
                timed[name].append(time.perf_counter() - began)
                cpu[name].append(time.thread_time() - busy)
        for each in (store, asked, said_to, raw, plain):
            each.close()
    for name, text in CONTENDERS.items():
        report.add(f"{text}, median", BATCH / statistics.median(timed[name]), "rows/s")
        report.add(f"{text}, mean", rows / sum(timed[name]), "rows/s")
        report.add(f"{text}, CPU", sum(cpu[name]) / rows * 1e6, "µs/row")
    # Judged by the means: every second batch of the store counts the one before it into the statistics too.
    for name, text in (("raw", "raw"), ("plain", "raw without the pragmas"), ("said", "its own statements")):
        target = {"at_least": TARGET} if name == "raw" else {}
        medians = statistics.median(timed[name]) / statistics.median(timed["store"])
        report.add(f"store over {text}, medians", medians, "times")
        report.add(f"store over {text}, means", sum(timed[name]) / sum(timed["store"]), "times", **target)
    report.add("its own statements over raw, means", sum(timed["raw"]) / sum(timed["said"]), "times")


def compute(until: float) -> int:
    """How many rounds of plain Python the main thread gets done until then."""
    rounds, value = 0, 1
    while time.perf_counter() < until:
        for _ in range(1_000):
            value = (value * 3 + 1) & 0xFFFF
        rounds += 1
    return rounds


def contended(report: Report, seconds: float) -> None:
    """Report what becomes of both: applies batches in a thread while this one computes without a pause."""
    alone = compute(time.perf_counter() + 2) / 2
    with tempfile.TemporaryDirectory(prefix="execlog-bench-") as folder:
        store = SQLiteStore(Path(folder) / "store.db")
        made = list(batches(200_000, size=BATCH, days=200_000 / PER_DAY))
        done: list[int] = []
        stop = threading.Event()

        def drain(source: Iterator[list[Event]]) -> None:
            for events in source:
                if stop.is_set():
                    return
                store.apply(events)
                done.append(len(events))

        thread = threading.Thread(target=drain, args=(iter(made),))
        began = time.perf_counter()
        thread.start()
        beside = compute(began + seconds) / seconds
        took = time.perf_counter() - began
        rows = sum(done)
        stop.set()
        thread.join()
        store.close()
    report.add("in a thread", rows / took, "rows/s", at_least=15_000)
    report.add("in a thread, main thread", 100 * beside / alone, "% of its speed", at_least=75)


def _drain(path: str, count: int, ready_: Any, go: Any, result: Any) -> None:
    store = SQLiteStore(path)
    made = list(batches(count, size=BATCH, days=count / PER_DAY))
    ready_.set()
    go.wait()
    began = time.perf_counter()
    for events in made:
        store.apply(events)
    result.put(time.perf_counter() - began)


def beside(report: Report, count: int) -> None:
    """Report what becomes of both: applies batches in another process while this one computes without a pause."""
    spawn = multiprocessing.get_context("spawn")
    alone = compute(time.perf_counter() + 2) / 2
    with tempfile.TemporaryDirectory(prefix="execlog-bench-") as folder:
        is_ready, go, result = spawn.Event(), spawn.Event(), spawn.Queue()
        child = spawn.Process(target=_drain, args=(f"{folder}/store.db", count, is_ready, go, result))
        child.start()
        is_ready.wait()
        go.set()
        rate = compute(time.perf_counter() + 3) / 3
        took = result.get()
        child.join()
    report.add("in a process", count / took, "rows/s", at_least=20_000)
    report.add("in a process, main thread", 100 * rate / alone, "% of its speed", at_least=95)


def main() -> int:
    """The exit code: 0 where every target asked for is met."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=200_000)
    parser.add_argument("--only", choices=("side", "thread", "process"))
    options = parser.parse_args()
    report = Report("bench_ingest")
    if options.only in {None, "side"}:
        side_by_side(report, options.rows)
    if options.only in {None, "thread"}:
        contended(report, 4.0)
    if options.only in {None, "process"}:
        beside(report, 100_000)
    return report.close()


if __name__ == "__main__":
    sys.exit(main())
