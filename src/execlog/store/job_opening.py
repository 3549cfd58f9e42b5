"""Opening the jobs that belong to a store."""

from __future__ import annotations

from threading import Lock
from urllib.parse import unquote, urlsplit
from weakref import WeakKeyDictionary

from execlog.core.errors import UnsupportedError
from execlog.store.base import Store
from execlog.store.jobs import JobStore
from execlog.store.memory_jobs import MemoryJobStore

_in_memory: WeakKeyDictionary[Store, MemoryJobStore] = WeakKeyDictionary()
_lock = Lock()


def open_jobs(store: Store, url: str) -> JobStore:
    """The jobs of an open store, `url` being what it was opened with.

    Those of a store in memory are the same each time; others get a connection of their own, to be closed by the caller.
    Raises UnsupportedError (capability "jobs") for a store that keeps none, StoreError.
    """
    parts = urlsplit(url)
    if parts.scheme == "memory":
        with _lock:
            return _in_memory.setdefault(store, MemoryJobStore())
    if parts.scheme == "sqlite":
        from execlog.store.sqlite_jobs import SqliteJobStore

        return SqliteJobStore(unquote(parts.path.removeprefix("/")))
    raise UnsupportedError(f"a {parts.scheme} store keeps no jobs", capability="jobs")
