"""Opening a store by its URL: one table of schemes."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import cast
from urllib.parse import urlsplit

from execlog.core.errors import UnsupportedError
from execlog.core.settings import Settings
from execlog.store.base import Store
from execlog.store.places import path_of
from execlog.store.schemas import require_current

Opener = Callable[[str, Settings], Store]


def open_store(url: str, settings: Settings | None = None) -> Store:
    """The store at this URL, ready for use: `memory://`, `sqlite:///relative.db`, `sqlite:////absolute.db`.

    Raises UnsupportedError for a scheme no store answers to, MissingExtraError where its driver is not installed,
    StoreError where it cannot be opened.
    """
    scheme = urlsplit(url).scheme
    opener = OPENERS.get(scheme)
    if opener is None:
        known = ", ".join(f"{name}://" for name in OPENERS)
        raise UnsupportedError(f"no store answers to {scheme or url[:40]!r}; known are {known}", capability="store")
    settings = settings or Settings()
    if not settings.migrate:
        require_current(url)
    return opener(url, settings)


def _memory(url: str, settings: Settings) -> Store:
    from execlog.store.memory import MemoryStore

    del url, settings
    return MemoryStore()


def _postgres(url: str, settings: Settings) -> Store:
    from execlog.store.postgres.store import PostgresStore

    return PostgresStore(url, makes_tables=settings.migrate)


def _redis(url: str, settings: Settings) -> Store:
    from execlog.store.redis.store import RedisStore

    return RedisStore(url, settings)


def _sqlite(url: str, settings: Settings) -> Store:
    from execlog.store.sqlite import SQLiteStore

    del settings
    return SQLiteStore(cast("Path", path_of(url)))


def _files(url: str, settings: Settings) -> Store:
    from execlog.store.files.store import FilesStore

    del settings
    return FilesStore(cast("Path", path_of(url)))


OPENERS: dict[str, Opener] = {
    "memory": _memory,
    "sqlite": _sqlite,
    "postgresql": _postgres,
    "postgres": _postgres,
    "redis": _redis,
    "rediss": _redis,
    "redis+cluster": _redis,
    "rediss+cluster": _redis,
    "files": _files,
}
"""Scheme → what opens it. A store brings its driver with it only when it is opened."""
