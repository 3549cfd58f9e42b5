"""The files store beside what its folder can do at best: the same bytes into the same files, the same reads by hand.

Ingest: `FilesStore.apply` beside plain writing, which is given paths and contents ready made: a temporary file, fsync,
rename, and an fsync of each folder. Reads: the store beside bare SQL on its index that finds the files, which are read
and decoded; statistics beside bare SQL sums over the index. The contenders take turns in one run; medians and ratios.

    --rows N     executions to write, in batches of 500 (default 10,000)
"""

from __future__ import annotations

import argparse
import os
import random
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import apsw
import msgspec
from generator import DAYS, END, batches
from questions import STATUSES, job, some_ids, week
from report import Report, take_turns

from execlog.core.codec import to_json
from execlog.core.filter import Filter
from execlog.core.fold import fold
from execlog.core.model import Event, Key
from execlog.store.files.paths import path_of
from execlog.store.files.store import FilesStore
from execlog.store.layout import to_record
from execlog.store.preparing import complete

BATCH, ROUNDS, PAGE = 500, 200, 50
TARGET = 0.8
LATEST = (
    "select kind, namespace, id from executions indexed by executions_subject "
    "where kind = ? and subject = ? and namespace = ? order by created_at desc limit 1"
)
FAILED = (
    "select kind, namespace, id from executions indexed by executions_unsuccessful "
    "where status = ? and status in ('partial', 'failed', 'timed_out', 'cancelled', 'crashed') "
    f"order by created_at desc limit {PAGE}"
)
SUMS = (
    "select status, count(*), sum(duration), max(duration), sum(rows), sum(cost_nano) "
    "from executions where created_at >= ? and created_at < ? group by status"
)


def write(contents: Iterable[tuple[Path, bytes]]) -> None:
    """Write files as safely as the store does, and do nothing else."""
    folders: set[Path] = set()
    for path, content in contents:
        temporary = path.with_suffix(".tmp")
        fd = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o644)
        os.write(fd, content)
        os.fsync(fd)
        os.close(fd)
        temporary.rename(path)
        folders.add(path.parent)
    for folder in folders:
        fd = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
        os.fsync(fd)
        os.close(fd)


def ready(root: Path, events: list[Event]) -> list[tuple[Path, bytes]]:
    """The files of a batch: what plain writing is given for nothing, their folders too."""
    files: list[tuple[Path, bytes]] = []
    for event in events:
        execution: Any = fold(None, complete(event))
        files.append((path_of(root, event.key), msgspec.json.format(to_json(to_record(execution)), indent=2)))
    for folder in {path.parent for path, _ in files}:
        folder.mkdir(parents=True, exist_ok=True)
    return files


def ingest(report: Report, store: FilesStore, root: Path, rows: int) -> None:
    """Report the store beside plain writing."""
    timed: dict[str, list[float]] = {"store": [], "plain": []}
    cpu = {"store": 0.0, "plain": 0.0}
    for turn, events in enumerate(batches(rows, size=BATCH)):
        files = ready(root, events)
        runs: list[tuple[str, Callable[[], object]]] = [
            ("store", lambda e=events: store.apply(e)),
            ("plain", lambda f=files: write(f)),
        ]
        for name, run in runs if turn % 2 else runs[::-1]:
            began, busy = time.perf_counter(), time.thread_time()
            run()
            timed[name].append(time.perf_counter() - began)
            cpu[name] += time.thread_time() - busy
    rates = {name: BATCH / statistics.median(took) for name, took in timed.items()}
    for name, text in (("store", "FilesStore.apply"), ("plain", "plain files, ready made")):
        report.add(f"{text}, median", rates[name], "rows/s")
        report.add(f"{text}, CPU", cpu[name] / rows * 1e6, "µs/row")
    report.add("store over plain files", rates["store"] / rates["plain"], "times", at_least=TARGET)


class Plain:
    """The folder and its index, asked by hand."""

    def __init__(self, root: Path) -> None:
        self._root = root
        self._index: Any = apsw.Connection(str(root / ".execlog" / "index.db"), flags=apsw.SQLITE_OPEN_READONLY)
        self._decode = msgspec.json.Decoder().decode

    def records(self, sql: str, *bindings: object) -> list[Any]:
        """The files that the index finds."""
        return [self.record(Key(*row)) for row in self._index.execute(sql, bindings)]

    def record(self, key: Key) -> Any:
        """What is in a file."""
        return self._decode(path_of(self._root, key).read_bytes())

    def rows(self, sql: str, *bindings: object) -> list[Any]:
        """What the index itself answers."""
        return self._index.execute(sql, bindings).fetchall()

    def close(self) -> None:
        """Close the index."""
        self._index.close()


def reads(report: Report, store: FilesStore, root: Path, rounds: int) -> None:
    """Report the store's answers beside those by hand."""
    plain = Plain(root)
    keys = [entry.key for id_ in some_ids(store) if (entry := store.get(id_))]
    asked: dict[str, tuple[Callable[[random.Random], object], Callable[[random.Random], object]]] = {
        "by id": (
            lambda dice: (key := dice.choice(keys)) and store.get(key.id, kind=key.kind, namespace=key.namespace),
            lambda dice: plain.record(dice.choice(keys)),
        ),
        "latest of a job": (
            lambda dice: store.find(job(dice), limit=1),
            lambda dice: plain.records(LATEST, "job", job(dice).subject, ""),
        ),
        "page of 50 by status": (
            lambda dice: store.find(Filter(statuses=(dice.choice(STATUSES),)), limit=PAGE),
            lambda dice: plain.records(FAILED, dice.choice(STATUSES).value),
        ),
        "7 days of everything": (
            lambda dice: store.stats(week(dice, Filter())),
            lambda dice: plain.rows(SUMS, *_window(dice)),
        ),
    }
    for name, (ask, by_hand) in asked.items():
        ours, theirs = random.Random(5), random.Random(5)
        took = take_turns(
            {
                "store": lambda ask=ask, dice=ours: _took(ask, dice),
                "plain": lambda ask=by_hand, dice=theirs: _took(ask, dice),
            },
            rounds,
        )
        report.add(f"{name}, store", took["store"] * 1e3, "ms")
        report.add(f"{name}, by hand", took["plain"] * 1e3, "ms")
        report.add(f"{name}, store over by hand", took["plain"] / took["store"], "times")
    plain.close()


def _window(dice: random.Random) -> tuple[int, int]:
    asked = week(dice, Filter())
    return asked.since or END, asked.until or END


def _took(ask: Callable[[random.Random], object], dice: random.Random) -> float:
    began = time.perf_counter()
    ask(dice)
    return time.perf_counter() - began


def main() -> int:
    """The exit code."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=10_000)
    parser.add_argument("--rounds", type=int, default=ROUNDS)
    options = parser.parse_args()
    report = Report("bench_files")
    print(f"{options.rows:,} executions over {DAYS} days")
    with tempfile.TemporaryDirectory(prefix="execlog-bench-") as folder:
        root = Path(folder) / "store"
        store = FilesStore(root)
        ingest(report, store, Path(folder) / "plain", options.rows)
        reads(report, store, root, options.rounds)
        store.close()
    return report.close()


if __name__ == "__main__":
    sys.exit(main())
