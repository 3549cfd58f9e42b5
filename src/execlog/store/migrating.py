"""Bringing a store to the schema of this version, as a step of its own: what `execlog migrate` does.

Opening a store does the same; a step of its own is for those who grant that right to nobody else (setting `migrate`).
"""

from __future__ import annotations

from typing import Protocol, runtime_checkable

from msgspec import Struct
from msgspec.structs import replace

from execlog.core.settings import Settings
from execlog.store.opening import open_store
from execlog.store.postgres.connection import without_secrets
from execlog.store.schemas import schema_of


class Migrated(Struct, frozen=True):
    """The schema versions before and after; 0 for a database that was not there, None for a store that has none."""

    url: str
    before: int | None
    after: int | None

    @property
    def changed(self) -> bool:
        """Whether there was something to do."""
        return self.before != self.after


@runtime_checkable
class Growing(Protocol):
    """A store that makes tables as time goes on."""

    def make_ahead(self) -> None:
        """Make the tables of the time to come, for processes that may make none."""
        ...


def migrate(url: str, settings: Settings | None = None) -> Migrated:
    """What became of the store at this URL, which now has this version's schema. Several processes may do it at once.

    It is one transaction: all of it, or nothing. Raises StoreError (also for a store of a newer execlog),
    UnsupportedError, MissingExtraError.
    """
    before = schema_of(url)
    store = open_store(url, replace(settings or Settings(), migrate=True))
    try:
        if isinstance(store, Growing):
            store.make_ahead()
        after = schema_of(url)
        return Migrated(store.url, before and before.version, after and after.version)
    finally:
        store.close()


def foresee(url: str) -> Migrated:
    """What `migrate` would do at this URL; nothing is changed. Raises StoreError, MissingExtraError."""
    schema = schema_of(url)
    shown = url if url.startswith("sqlite:") else without_secrets(url)
    return Migrated(shown, None, None) if schema is None else Migrated(shown, schema.version, schema.known)
