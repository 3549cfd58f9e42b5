"""Opening the jobs that belong to a store."""

from __future__ import annotations

from pathlib import Path
from threading import Lock
from urllib.parse import unquote
from weakref import WeakKeyDictionary

from execlog.store.base import Store
from execlog.store.jobs import JobStore
from execlog.store.memory_jobs import MemoryJobStore

_in_memory: WeakKeyDictionary[Store, MemoryJobStore] = WeakKeyDictionary()
_lock = Lock()


def open_jobs(store: Store, url: str, home: Path) -> JobStore:
    """The jobs of an open store, `url` being what it was opened with; to be closed by the caller.

    A store in memory has the same jobs each time, an SQLite store keeps them in its own file. One that keeps no jobs
    leaves them to `{home}/jobs.db`, which the schedulers of one host share. Raises StoreError.
    """
    scheme = url.partition(":")[0]
    if scheme == "memory":
        with _lock:
            return _in_memory.setdefault(store, MemoryJobStore())
    from execlog.store.sqlite_jobs import SqliteJobStore

    if scheme == "sqlite":
        return SqliteJobStore(Path(unquote(url.removeprefix("sqlite://").removeprefix("/"))).absolute())
    home.mkdir(parents=True, exist_ok=True, mode=0o700)
    return SqliteJobStore(home / "jobs.db")
