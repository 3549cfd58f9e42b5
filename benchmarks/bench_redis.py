"""Ingest into Redis, `RedisStore.apply` beside raw pipelines; then what reading costs.

Batches of 1,000 executions, each said by one event. The raw pipelines are given their commands ready made and have a
server each: one sends the same calls of the script, the other what writes the same keys by plain commands, without the
questions a script asks. They take turns. Target: 0.8 of the speed of both.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import time
from collections.abc import Callable
from functools import reduce
from pathlib import Path
from typing import Any

from generator import END, batches
from report import Report

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))
import redis

import servers
from execlog.core.filter import Filter
from execlog.core.fold import fold
from execlog.core.model import Event, Execution, Status
from execlog.core.settings import Settings
from execlog.store.redis.connection import Command
from execlog.store.redis.keys import member
from execlog.store.redis.saving import OneStep, Save, record_of
from execlog.store.redis.store import RedisStore

BATCH = 1_000
TARGET = 0.8


def ready(store: RedisStore, events: list[Event]) -> tuple[list[Command], list[Command]]:
    """The commands that save new executions, the store's and plain ones: what raw pipelines get for nothing."""
    executions: list[Any] = [reduce(fold, [event], None) for event in events]
    assert isinstance(store.saving, OneStep)
    calls = store.saving.commands([Save(execution) for execution in executions])
    return calls, [command for execution in executions for command in plain(store, execution)]


def plain(store: RedisStore, execution: Execution) -> list[Command]:
    """What writes an execution's keys where nobody else does, and the newest comes last."""
    keys, ttl = store.keys, 30 * 86_400_000
    index, places = keys.index_of(execution), keys.own("places", execution.id)
    return [
        ("SET", keys.record(execution.key), record_of(execution), "PX", ttl),
        ("LPUSH", index, execution.id), ("LTRIM", index, 0, 99), ("PEXPIRE", index, ttl),
        ("ZADD", keys.own("order"), execution.created_at, member(execution.key)),
        ("SADD", places, member(execution.key)), ("PEXPIRE", places, ttl),
        ("XADD", keys.own("changes"), "MAXLEN", "~", 100_000, "*", "m", member(execution.key), "d", "0"),
    ]  # fmt: skip


def ingest(report: Report, store: RedisStore, same: Any, bare: Any, rows: int) -> None:
    """Report the store's speed beside those of the raw pipelines, by medians."""
    timed: dict[str, list[float]] = {"store": [], "same": [], "bare": []}
    cpu = dict.fromkeys(timed, 0.0)

    def send(client: Any, commands: list[Command]) -> None:
        with client.pipeline(transaction=True) as pipeline:
            for words in commands:
                pipeline.execute_command(*words)
            pipeline.execute()

    for turn, events in enumerate(batches(rows, size=BATCH)):
        calls, commands = ready(store, events)
        runs: list[tuple[str, Callable[[], object]]] = [
            ("store", lambda e=events: store.apply(e)),
            ("same", lambda c=calls: send(same, c)),
            ("bare", lambda c=commands: send(bare, c)),
        ]
        for name, run in runs[turn % 3 :] + runs[: turn % 3]:
            began, busy = time.perf_counter(), time.thread_time()
            run()
            timed[name].append(time.perf_counter() - began)
            cpu[name] += time.thread_time() - busy
    median = {name: statistics.median(took) for name, took in timed.items()}
    for name, client, text in (
        ("store", store.connection.client, "RedisStore.apply"),
        ("same", same, "the same calls, ready made"),
        ("bare", bare, "plain commands, ready made"),
    ):
        used = client.info("cpu")
        served = (used["used_cpu_user"] + used["used_cpu_sys"]) / rows * 1e6
        report.add(f"{text}, median", BATCH / median[name], "rows/s")
        report.add(f"{text}, CPU", cpu[name] / rows * 1e6, "µs/row")
        report.add(f"{text}, CPU of the server", served, "µs/row")
    report.add("store over the same calls", median["same"] / median["store"], "times", at_least=TARGET)
    report.add("store over plain commands", median["bare"] / median["store"], "times", at_least=TARGET)


def read(report: Report, store: RedisStore) -> None:
    """Report what questions cost."""
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
        report.add(f"{text}, median", 1000 * statistics.median(took), "ms")


def main() -> int:
    """The exit code: 0 where the store reaches its share of the raw speed."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=30_000)
    options = parser.parse_args()
    report = Report("bench_redis")
    with servers.Valkey() as one, servers.Valkey() as two, servers.Valkey() as three:
        store = RedisStore(one.url, Settings())
        same, bare = redis.Redis.from_url(two.url), redis.Redis.from_url(three.url)
        same.script_load(store.connection.script("save").text)
        ingest(report, store, same, bare, options.rows)
        read(report, store)
        for opened in (store, same, bare):
            opened.close()
    return report.close()


if __name__ == "__main__":
    sys.exit(main())
