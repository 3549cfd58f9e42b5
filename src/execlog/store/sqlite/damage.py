"""A database file whose bytes are not what was written: how that is noticed, and what is said to do about it.

SQLite notices bytes that make nonsense of its structures. Checksums in the pages (its checksum VFS) would tell of all,
but a program that only reads such a file with another SQLite damages it when it is the last to close it after a crash:
it copies pages out of the write-ahead log without them. The contract's names are made to be read by such programs.
"""

from __future__ import annotations

from pathlib import Path

import apsw
import msgspec

from execlog.core.errors import CodecError, StoreError


def require_whole(path: Path, page_size: int) -> None:
    """Nothing. Raises StoreError for a file that ends within a page: SQLite takes what is missing for zeros.

    While there is something in the write-ahead log, a page may be half copied from there, and is read from there.
    """

    def ends_within_a_page() -> bool:
        return path.stat().st_size % page_size != 0

    log = path.with_name(f"{path.name}-wal")
    if ends_within_a_page() and not (log.exists() and log.stat().st_size) and ends_within_a_page():
        raise damaged(path, "it ends within a page")


def damaged(path: Path, reason: str) -> StoreError:
    """The error that says that a file's bytes are not what was written, and what to do about it."""
    return StoreError(
        f"{path} is damaged ({reason}): move it away, with its -wal and -shm, and execlog begins a new one; "
        "what is recorded meanwhile waits in the journal",
        retry=False,
    )


UNREADABLE = UnicodeDecodeError, msgspec.DecodeError, CodecError
"""What reading raises where the bytes of a value are not what was written: SQLite itself does not look at those."""


_SCHEMA_SAYS = (
    "no such ", "unknown function", "wrong number of arguments", "table ", "ambiguous column name", "no query solution",
    "ON CONFLICT clause does not match",
)  # fmt: skip
"""How an error begins that is about names in the schema, which is in the file: the statements are fixed."""


def reason_in(error: Exception) -> str | None:
    """What an error says about the file, where that is that its bytes are not what was written."""
    if isinstance(error, apsw.SQLError):
        return str(error) if str(error).startswith(_SCHEMA_SAYS) else None
    return str(error) if isinstance(error, (apsw.CorruptError, apsw.NotADBError, *UNREADABLE)) else None
