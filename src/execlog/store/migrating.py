"""Bringing a store to the schema of this version, as a step of its own: what `execlog migrate` does.

Opening a store does the same; a step of its own is for those who grant that right to nobody else.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

import apsw
from msgspec import Struct

from execlog.core.errors import StoreError
from execlog.core.settings import Settings
from execlog.store.opening import open_store


class Migrated(Struct, frozen=True):
    """The schema versions before and after; 0 for a database that was not there, None for a store that has none."""

    url: str
    before: int | None
    after: int | None

    @property
    def changed(self) -> bool:
        """Whether there was something to do."""
        return self.before != self.after


def migrate(url: str, settings: Settings | None = None) -> Migrated:
    """What became of the store at this URL, which now has this version's schema. Several processes may do it at once.

    It is one transaction: all of it, or nothing. Raises StoreError (also for a store of a newer execlog),
    UnsupportedError, MissingExtraError.
    """
    before = _version(url)
    store = open_store(url, settings)
    try:
        version = store.check().get("schema")
        return Migrated(store.url, before, int(version) if version and version.isdigit() else None)
    finally:
        store.close()


def _version(url: str) -> int | None:
    """The schema version before; what has no version is left to the store itself."""
    parts = urlsplit(url)
    if parts.scheme != "sqlite":
        return None
    path = Path(unquote(url.removeprefix("sqlite://").removeprefix("/")))
    if not path.is_file():
        return 0
    try:
        connection: Any = apsw.Connection(str(path), flags=apsw.SQLITE_OPEN_READONLY)
        try:
            return int(str(connection.execute("pragma user_version").get))
        finally:
            connection.close()
    except apsw.Error as error:
        raise StoreError(f"{path}: {error}", retry=False) from error
