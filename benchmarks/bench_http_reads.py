"""Reads of a long history, at the store and through one `execlog serve`: p50, p99, CPU of the server a request.

    bench_http_reads.py [FOLDER] [--sizes 100000] [--rounds 300] [--postgres] [--store 'postgresql://…/history_{size}']

FOLDER keeps the SQLite databases, which are built where they are not there: 10 million take a quarter of an hour.
`--postgres` asks a PostgreSQL that is started for this run, `--store` any store that is there; `{size}` is filled in.
Targets: p99 under 5 ms at the store and 15 ms over HTTP (search of a text 20 ms); where 1,000,000 is among the sizes,
the larger ones at most 1.5 times its p99. Store and server take turns within each round. A SQLite file is read once
before, into the kernel's cache; a question about what is on the disk alone takes as long as that takes.
"""

from __future__ import annotations

import argparse
import contextlib
import random
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import history
from environments import cache
from questions import Question, questions, some_ids
from report import Report, percentile
from serving import Client, Served, execlog_serve

from execlog.store.base import Store

RATIO, BASE = 1.5, 1_000_000
P99s = dict[tuple[str, str], float]


def milliseconds(ask: Callable[[random.Random], object], dice: random.Random) -> float:
    """What one question takes."""
    began = time.perf_counter()
    ask(dice)
    return (time.perf_counter() - began) * 1e3


def both(question: Question, store: Store, client: Client, rounds: int) -> tuple[list[float], list[float]]:
    """Milliseconds at the store and over HTTP, after a tenth of the rounds to warm up."""
    dice, same = random.Random(7), random.Random(7)
    at_store: list[float] = []
    over_http: list[float] = []
    for turn in range(rounds + rounds // 10):
        pair = (
            milliseconds(lambda dice: question.ask(store, dice), dice),
            milliseconds(lambda dice: client.get(question.path(dice)), same),
        )
        if turn >= rounds // 10:
            at_store.append(pair[0])
            over_http.append(pair[1])
    return at_store, over_http


def cpu_of_one(question: Question, served: Served, client: Client, rounds: int) -> float:
    """Milliseconds of the server's CPU a request; the kernel counts them in hundredths of a second."""
    dice, before, asked = random.Random(11), served.cpu(), 0
    until = time.monotonic() + 10
    while asked < rounds or (served.cpu() - before < 0.2 and time.monotonic() < until):
        client.get(question.path(dice))
        asked += 1
    return (served.cpu() - before) / asked * 1e3


def measure(report: Report, url: str, size: int, rounds: int) -> P99s:
    """The p99 of each question by where it was asked, over one history."""
    found: P99s = {}
    store = history.opened(url, size)
    history.computed(store)
    history.warm(store)
    with tempfile.TemporaryDirectory() as home, execlog_serve(url, Path(home)) as served:
        client = Client(served.port)
        for name, question in questions(some_ids(store)).items():
            at_store, over_http = both(question, store, client, rounds)
            for where, limit, took in (("store", question.store_limit, at_store), ("HTTP", question.limit, over_http)):
                found[name, where] = percentile(took, 0.99)
                report.add(f"{name}, {where}, p50", percentile(took, 0.5), "ms", size=size)
                report.add(f"{name}, {where}, p99", found[name, where], "ms", size=size, at_most=limit)
            cpu = cpu_of_one(question, served, client, rounds)
            report.add(f"{name}, server CPU", cpu, "ms/request", size=size)
        client.close()
    store.close()
    return found


@contextlib.contextmanager
def place(options: argparse.Namespace) -> Iterator[Callable[[int], str]]:
    """Where the history of each size is."""
    if not options.postgres:
        url: str | None = options.store
        yield lambda size: url.format(size=size) if url else history.url_in(options.folder, size)
        return
    sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))
    from servers import Postgres

    with Postgres({"fsync": "on", "shared_buffers": "512MB"}) as server:
        for size in options.sizes:
            server.execute(f"create database history_{size}")
        yield lambda size: server.database_url(f"history_{size}")


def main() -> int:
    """The exit code: 0 where every target is met."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path, nargs="?", default=cache())
    parser.add_argument("--sizes", type=int, nargs="+", default=[100_000])
    parser.add_argument("--rounds", type=int, default=300)
    parser.add_argument("--postgres", action="store_true")
    parser.add_argument("--store")
    options = parser.parse_args()
    engine = "postgres" if options.postgres or (options.store or "").startswith("postgres") else "sqlite"
    report = Report("bench_http_reads" if engine == "sqlite" else f"bench_http_reads_{engine}")
    found: dict[int, P99s] = {}
    with place(options) as url_of:
        for size in options.sizes:
            found[size] = measure(report, url_of(size), size, options.rounds)
    for size in options.sizes:
        if BASE in found and size > BASE:
            for (name, where), p99 in found[size].items():
                ratio = p99 / found[BASE][name, where]
                report.add(f"{name}, {where}, p99 over 1 million's", ratio, "times", size=size, at_most=RATIO)
    return report.close()


if __name__ == "__main__":
    sys.exit(main())
