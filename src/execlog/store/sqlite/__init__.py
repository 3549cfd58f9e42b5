"""The embedded store: SQLite through apsw, which brings a current one along."""

from execlog.store.sqlite.store import SQLiteStore

__all__ = ["SQLiteStore"]
