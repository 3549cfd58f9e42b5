"""Kept histories of any length, built once and reused: the generator's executions, and 100,000 pairs watched over.

A build that was interrupted goes on where it stopped. SQLite waits for no disk meanwhile: a power cut would only
cost time.
"""

from __future__ import annotations

import multiprocessing
import sys
import time
from collections.abc import Iterator
from pathlib import Path

from generator import batches, pair_batches

from execlog.core.filter import Filter
from execlog.core.model import Event
from execlog.store.base import Store
from execlog.store.opening import open_store
from execlog.store.postgres.store import PostgresStore
from execlog.store.sqlite import SQLiteStore

BATCH, PAIRS, AHEAD = 10_000, 100_000, 4


def url_in(folder: Path, size: int) -> str:
    """Where the SQLite history of this size is kept."""
    folder.mkdir(parents=True, exist_ok=True)
    return f"sqlite:///{folder.absolute()}/history-{size}.db"


def opened(url: str, size: int) -> Store:
    """The store at this URL with that many executions in it, built where they are not there yet."""
    store = open_store(url)
    there = sum(group.bucket.total for group in store.stats(Filter()))
    if there < size:
        relax(store, "off")
        began = time.perf_counter()
        for turn, events in enumerate(made_beside(size, there // BATCH), there // BATCH + 1):
            store.apply(events)
            if turn % 10 == 0:
                print(f"{turn * BATCH:>12,} in {time.perf_counter() - began:8.0f} s", file=sys.stderr, flush=True)
        relax(store, "full")
    return store


def computed(store: Store, pairs: int = PAIRS) -> None:
    """Let the pairs have been computed over the last two days, as seen from now: how fresh they are depends on it."""
    for events in pair_batches(pairs, now=time.time_ns() // 1000):
        store.apply(events)


def warm(store: Store) -> None:
    """Have a SQLite file or a PostgreSQL database in the kernel's cache, as it is of a server that is in use.

    What is larger than the memory waits for the disk all the same when it is asked first. PostgreSQL needs its
    extension `pg_prewarm` for this.
    """
    if isinstance(store, SQLiteStore):
        with store.path.open("rb") as file:
            while file.read(2**24):
                pass
    elif isinstance(store, PostgresStore):
        with store.connections.connect() as connection:
            connection.execute("set statement_timeout = 0")
            connection.execute("create extension if not exists pg_prewarm")
            connection.execute(
                "select sum(pg_prewarm(oid::regclass, 'read')) from pg_class "
                "where relkind in ('r', 'i') and relnamespace = current_schema()::regnamespace"
            )


def relax(store: Store, synchronous: str) -> None:
    """Let SQLite's writer wait for the disk, or not; nothing for another store."""
    if isinstance(store, SQLiteStore):
        connections = store.connections
        with connections.write():
            pass  # the writer is there from now on; within a transaction the setting does not change
        with connections._write_lock:  # noqa: SLF001 - only benchmarks trade safety for time
            connections._writer.execute(f"pragma synchronous = {synchronous}")  # noqa: SLF001 - as above


def made_beside(size: int, skipped: int) -> Iterator[list[Event]]:
    """The batches after the first `skipped`, made in a process of their own while this one applies them."""
    spawn = multiprocessing.get_context("spawn")
    made = spawn.Queue(AHEAD)
    maker = spawn.Process(target=_make, args=(size, skipped, made), daemon=True)
    maker.start()
    while (events := made.get()) is not None:
        yield events
    maker.join()


def _make(size: int, skipped: int, made: multiprocessing.Queue[list[Event] | None]) -> None:
    for number, events in enumerate(batches(size, size=BATCH)):
        if number >= skipped:
            made.put(events)
    made.put(None)
