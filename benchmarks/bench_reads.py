"""Reads at the store at 1 million and 10 million executions: p50 and p99, and how the larger history compares.

    bench_reads.py FOLDER [--sizes 1000000 10000000] [--rounds 200]

FOLDER keeps the databases (`history-N.db`), which are built when they are not there: ten million take long. Each round
asks about another job, id and window. Target: p99 < 5 ms, and the larger history at most 1.5 times the smaller.
"""

from __future__ import annotations

import argparse
import random
import statistics
import sys
import time
from collections.abc import Callable
from pathlib import Path

from generator import DAYS, END, batches

from execlog.core.filter import Filter
from execlog.core.model import UNSUCCESSFUL, Status
from execlog.store.sqlite import SQLiteStore
from execlog.store.sqlite.summing import TAIL

DAY = 86_400_000_000
FAILED = tuple(status for status in Status if status in UNSUCCESSFUL)
LIMIT_MS, LIMIT_RATIO = 5.0, 1.5
TARGETS = frozenset(
    {"latest of a job", "50 newest failed of a job", "by id", "7 days of a job", "7 days of everything"}
)
TEXTS = ("timeout after", "prices_7", "503 from")
Ask = Callable[[SQLiteStore, random.Random], object]


def job(dice: random.Random) -> Filter:
    """One of the jobs, the busy ones as often as the others."""
    return Filter(kind="job", namespace="", subject=f"job-{dice.randrange(1_000):04d}")


def window(dice: random.Random) -> dict[str, int]:
    """Seven days that begin and end at any microsecond of the history."""
    until = END - dice.randrange(round((DAYS - 7) * DAY))
    return {"since": until - 7 * DAY, "until": until}


def changed(filter: Filter, **fields: object) -> Filter:
    """The filter with fields changed."""
    import msgspec

    return msgspec.structs.replace(filter, **fields)


def questions(ids: list[str]) -> dict[str, Ask]:
    """What is asked."""
    return {
        "latest of a job": lambda store, dice: store.find(job(dice), limit=1),
        "50 newest failed of a job": lambda store, dice: store.find(changed(job(dice), statuses=FAILED), limit=50),
        "by id": lambda store, dice: store.get(dice.choice(ids)),
        "7 days of a job": lambda store, dice: store.stats(changed(job(dice), **window(dice))),
        "7 days of everything": lambda store, dice: store.stats(Filter(**window(dice))),
        "page of a user": lambda store, dice: store.find(Filter(kind="query", actor=f"user-{dice.randrange(200):03d}")),
        "newest of everything": lambda store, _: store.find(Filter()),
        "text search": lambda store, dice: store.find(Filter(text=dice.choice(TEXTS))),
        "count of a status": lambda store, _: store.count(Filter(kind="job", statuses=(Status.FAILED,))),
        "open ones": lambda store, _: store.absent(),
    }  # fmt: skip


def opened(folder: Path, size: int) -> SQLiteStore:
    """The store of that size, built if it is not there."""
    path = folder / f"history-{size}.db"
    if not path.is_file():
        partial = folder / f"history-{size}.partial.db"
        folder.mkdir(parents=True, exist_ok=True)
        for old in folder.glob(f"history-{size}.partial.db*"):
            old.unlink()
        store = SQLiteStore(partial)
        began = time.perf_counter()
        for turn, events in enumerate(batches(size, size=10_000), 1):
            # The newest stay beyond the cells, as many as may: every question about statistics adds them up itself.
            last = TAIL - 1 if turn * 10_000 >= size else 0
            store.apply(events[: len(events) - last])
            if last:
                store.apply(events[-last:])
            if turn % 20 == 0:
                print(f"{turn * 10_000:>12,} in {time.perf_counter() - began:8.0f} s", file=sys.stderr, flush=True)
        store.close()
        partial.rename(path)
    return SQLiteStore(path)


def milliseconds(ask: Ask, store: SQLiteStore, rounds: int) -> tuple[float, float]:
    """p50 and p99 of a question, after a tenth of the rounds to warm up."""
    dice = random.Random(7)
    took: list[float] = []
    for turn in range(rounds + rounds // 10):
        began = time.perf_counter()
        ask(store, dice)
        if turn >= rounds // 10:
            took.append((time.perf_counter() - began) * 1e3)
    return statistics.median(took), sorted(took)[round(0.99 * (len(took) - 1))]


def main() -> int:
    """The exit code: 0 where every target is met."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path, nargs="?", default=Path.home() / ".cache" / "execlog-bench")
    parser.add_argument("--sizes", type=int, nargs="+", default=[1_000_000, 10_000_000])
    parser.add_argument("--rounds", type=int, default=200)
    options = parser.parse_args()
    found: dict[str, list[tuple[float, float]]] = {}
    for size in options.sizes:
        store = opened(options.folder, size)
        dice = random.Random(3)
        ids = [store.find(Filter(until=END - dice.randrange(round(DAYS * DAY))), limit=1).entries for _ in range(200)]
        asked = questions([entry.id for page in ids for entry in page])
        for name, ask in asked.items():
            found.setdefault(name, []).append(milliseconds(ask, store, options.rounds))
        store.close()
    failed = 0
    print(f"{'':28s}" + "".join(f"{size:>14,} p50    p99" for size in options.sizes) + "   ratio of p50")
    for name, figures in found.items():
        ratio = figures[-1][0] / figures[0][0]
        missed = name in TARGETS and (any(p99 >= LIMIT_MS for _, p99 in figures) or ratio > LIMIT_RATIO)
        failed += missed
        shown = "".join(f"{p50:18.2f} {p99:6.2f}" for p50, p99 in figures)
        print(f"{name:28s}{shown}   {ratio:6.2f}{'  MISSED' if missed else ''}")
    return int(failed > 0)


if __name__ == "__main__":
    sys.exit(main())
