"""Ingest into Redis, `RedisStore.apply` beside the raw pipeline of the same commands; then what reading costs.

Batches of 1,000 executions, each said by one event. The raw pipeline is given its commands ready made and sends them to
a server of its own; the two take turns. Target: 0.8 of the raw speed.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import time
from functools import reduce
from pathlib import Path
from typing import Any

from generator import END, batches

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))
import redis

import servers
from execlog.core.filter import Filter
from execlog.core.fold import fold
from execlog.core.model import Event, Status
from execlog.core.settings import Settings
from execlog.store.redis.store import RedisStore

BATCH = 1_000
TARGET = 0.8


class Commands:
    """What a pipeline is told, kept."""

    def __init__(self) -> None:
        self.told: list[tuple[Any, ...]] = []

    def evalsha(self, *words: Any) -> None:
        """Keep a call of a script."""
        self.told.append(words)


def ready(store: RedisStore, events: list[Event]) -> list[tuple[Any, ...]]:
    """The commands that save new executions: what the raw pipeline is given for nothing."""
    commands = Commands()
    for event in events:
        execution: Any = reduce(fold, [event], None)
        store._save_one(commands, "", execution, execution)  # noqa: SLF001 - what it would send
    return commands.told


def ingest(store: RedisStore, raw: Any, rows: int) -> float:
    """The store's share of the raw speed, by medians."""
    timed: dict[str, list[float]] = {"store": [], "raw": []}
    cpu: dict[str, float] = {"store": 0.0, "raw": 0.0}

    def send(commands: list[tuple[Any, ...]]) -> None:
        with raw.pipeline(transaction=True) as pipeline:
            for words in commands:
                pipeline.evalsha(*words)
            pipeline.execute()

    for turn, events in enumerate(batches(rows, size=BATCH)):
        commands = ready(store, events)
        runs = [("store", lambda e=events: store.apply(e)), ("raw", lambda c=commands: send(c))]
        for name, run in runs if turn % 2 else runs[::-1]:
            began, busy = time.perf_counter(), time.thread_time()
            run()
            timed[name].append(time.perf_counter() - began)
            cpu[name] += time.thread_time() - busy
    for name, text in (("store", "RedisStore.apply"), ("raw", "the same commands, ready made")):
        speed = BATCH / statistics.median(timed[name])
        print(f"{text:32s} {speed:10,.0f} rows/s median, {cpu[name] / rows * 1e6:6.1f} us CPU a row")
    ratio = statistics.median(timed["raw"]) / statistics.median(timed["store"])
    print(f"ratio to raw {ratio:.2f}; target {TARGET}")
    return ratio


def read(store: RedisStore) -> None:
    """What questions cost, in milliseconds."""
    subject = store.find(Filter(kind="job"), limit=1).entries[0].subject
    day = END - 86_400_000_000
    for text, ask in (
        ("latest execution of a job", lambda: store.find(Filter(kind="job", namespace="", subject=subject), limit=1)),
        ("page of 50 by status", lambda: store.find(Filter(statuses=(Status.FAILED,)), limit=50)),
        ("statistics of a day", lambda: store.stats(Filter(since=day))),
        ("statistics of everything kept", lambda: store.stats(Filter())),
    ):
        took = []
        for _ in range(7):
            began = time.perf_counter()
            ask()
            took.append(time.perf_counter() - began)
        print(f"{text:32s} {1000 * statistics.median(took):10.1f} ms")


def main() -> int:
    """The exit code: 0 where the store reaches its share of the raw speed."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=30_000)
    options = parser.parse_args()
    with servers.Valkey() as one, servers.Valkey() as two:
        store, raw = RedisStore(one.url, Settings()), redis.Redis.from_url(two.url)
        raw.script_load(store._save.script)  # noqa: SLF001 - the same script
        ratio = ingest(store, raw, options.rows)
        print(f"executions kept: {store.check()['executions']} of {options.rows}")
        read(store)
        store.close()
        raw.close()
    return int(ratio < TARGET)


if __name__ == "__main__":
    sys.exit(main())
