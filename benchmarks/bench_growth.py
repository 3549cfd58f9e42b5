"""What a growing SQLite history costs: ingest rate, size of the file and each read, at ten lengths on the way to N.

    bench_growth.py [--size 300000] [--rounds 40]         the curves of docs/benchmarks.md

Everything is durable as in life: batches of 1,000, each its own transaction. The last ingest rate must be at least
half of the best one; no read is held to a target here (bench_http_reads does that).
"""

from __future__ import annotations

import argparse
import random
import statistics
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import history
from generator import batches
from questions import questions, some_ids
from report import Report

from execlog.core.model import Event
from execlog.store.sqlite import SQLiteStore

BATCH, STEPS, PAIRS = 1_000, 10, 100_000


def grow(store: SQLiteStore, source: Iterator[list[Event]], records: int) -> float:
    """Records a second of applying so many, by the median batch."""
    took: list[float] = []
    for _ in range(records // BATCH):
        events = next(source)
        began = time.perf_counter()
        store.apply(events)
        took.append(time.perf_counter() - began)
    return BATCH / statistics.median(took)


def read(report: Report, store: SQLiteStore, size: int, rounds: int) -> None:
    """Report the median of each read."""
    for name, question in questions(some_ids(store, 50)).items():
        dice = random.Random(7)
        took: list[float] = []
        for _ in range(rounds):
            began = time.perf_counter()
            question.ask(store, dice)
            took.append(time.perf_counter() - began)
        report.add(f"{name}, p50", statistics.median(took) * 1e3, "ms", size=size)


def main() -> int:
    """The exit code: 0 where the target is met."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--size", type=int, default=300_000)
    parser.add_argument("--rounds", type=int, default=40)
    options = parser.parse_args()
    report = Report("bench_growth")
    rates: list[float] = []
    with tempfile.TemporaryDirectory(prefix="execlog-bench-") as folder:
        path = Path(folder) / "store.db"
        store = SQLiteStore(path)
        history.computed(store, PAIRS)
        empty = size_of(path)
        source = batches(options.size, size=BATCH)
        for step in range(1, STEPS + 1):
            rates.append(grow(store, source, options.size // STEPS))
            size = options.size // STEPS * step
            report.add("ingest", rates[-1], "records/s", size=size)
            report.add("file, without the pairs", (size_of(path) - empty) / 2**20, "MiB", size=size)
            read(report, store, size, options.rounds)
        store.close()
    report.add("last ingest rate over the best", rates[-1] / max(rates), "times", at_least=0.5)
    return report.close()


def size_of(path: Path) -> int:
    """Bytes of the database, what is still in its write-ahead log included."""
    return sum(file.stat().st_size for file in path.parent.glob(f"{path.name}*") if not file.name.endswith("-shm"))


if __name__ == "__main__":
    sys.exit(main())
