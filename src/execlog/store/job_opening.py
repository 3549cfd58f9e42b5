"""Opening the jobs that belong to a store."""

from __future__ import annotations

from pathlib import Path
from threading import Lock
from weakref import WeakKeyDictionary

from execlog.store.base import Store
from execlog.store.jobs import JobStore, KeepsJobs
from execlog.store.memory import MemoryStore
from execlog.store.memory_jobs import MemoryJobStore
from execlog.store.ownership import make_private

_in_memory: WeakKeyDictionary[Store, MemoryJobStore] = WeakKeyDictionary()
_lock = Lock()


def open_jobs(store: Store, home: Path) -> JobStore:
    """The jobs of an open store; to be closed by the caller, before the store is.

    A store in memory has the same jobs each time, the others keep them beside the executions. One that keeps no jobs
    leaves them to `{home}/jobs.db`, which the schedulers of one host share. Raises StoreError.
    """
    if isinstance(store, MemoryStore):
        with _lock:
            return _in_memory.setdefault(store, MemoryJobStore())
    if isinstance(store, KeepsJobs):
        return store.open_jobs()
    from execlog.store.sqlite.jobs import SqliteJobStore

    make_private(home)
    return SqliteJobStore(home / "jobs.db")
