"""The small files beside a journal's segments: who writes it, how far the store has it, what it shed."""

from __future__ import annotations

import contextlib
import mmap
import os
import struct
from collections.abc import Sequence
from pathlib import Path
from zlib import crc32

import msgspec
from msgspec import Struct

from execlog.recorder.segment import FIRST
from execlog.store.durability import sync_folder
from execlog.store.ownership import give

_CURSOR = struct.Struct("<QQQQQQQ")
_COUNT = struct.Struct("<Q")
_CRC = struct.Struct("<I")
_GUARDED = struct.Struct("<QI")
_WORTHS = 3
_PLAIN = _WORTHS * _COUNT.size


class Owner(Struct, frozen=True):
    """Who writes a journal."""

    origin: str
    pid: int
    host: str
    boot: str
    started_at: int


class Cursor(Struct, frozen=True):
    """Up to where the store has a journal: segment and offset, and what became of the records before.

    stored     records the store has
    aside      records kept in the quarantine instead: of an unknown version, or of no use to the store
    damaged    bytes that were no record
    lost       records that are missing in between
    sequence   how many records the writer had accepted there
    """

    number: int = 0
    offset: int = FIRST
    stored: int = 0
    aside: int = 0
    damaged: int = 0
    lost: int = 0
    sequence: int = 0


class Drops:
    """How many records a journal shed, by what they were worth: in a mapped file, so that counting cannot fail.

    Each count is there twice, plain and with a CRC. The plain one holds where that fails.
    """

    def __init__(self, path: Path) -> None:
        fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            os.posix_fallocate(fd, 0, mmap.PAGESIZE)
            self._mapped = mmap.mmap(fd, mmap.PAGESIZE)
        finally:
            os.close(fd)
        self.counts = [0] * _WORTHS
        for worth in range(_WORTHS):
            self._write(worth, 0)

    def add(self, worth: int) -> None:
        """Count one more. The caller holds a lock."""
        self.counts[worth] += 1
        self._write(worth, self.counts[worth])

    def _write(self, worth: int, count: int) -> None:
        _GUARDED.pack_into(self._mapped, _PLAIN + worth * _GUARDED.size, count, _crc_of(count))
        _COUNT.pack_into(self._mapped, worth * _COUNT.size, count)


def read_owner(folder: Path) -> Owner | None:
    """Who writes the journal in this folder; None where that cannot be read."""
    try:
        return msgspec.json.decode((folder / "process.json").read_bytes(), type=Owner)
    except (OSError, ValueError):  # msgspec's errors are ValueErrors, and so are those of texts that are none
        return None


def is_of(owner: Owner | None, folder: Path) -> bool:
    """Whether the owner that was read is surely this folder's: its origin says twice what a flipped bit hits once."""
    return owner is not None and owner.origin == f"{owner.boot}:{tail_of(folder)}"


def tail_of(folder: Path) -> str:
    """What the origin of a journal's owner ends with, behind the colon."""
    return folder.name.partition(".")[0]


def read_drops(folder: Path) -> tuple[int, int, int]:
    """How many records the journal in this folder shed, by worth."""
    size = _PLAIN + _WORTHS * _GUARDED.size
    try:
        data = (folder / "drops").read_bytes()[:size].ljust(size, b"\0")
    except OSError:
        return 0, 0, 0
    plain = [count for (count,) in _COUNT.iter_unpack(data[:_PLAIN])]
    guarded = list(_GUARDED.iter_unpack(data[_PLAIN:]))
    progress, start, outcome = (
        count if crc == _crc_of(count) else other for other, (count, crc) in zip(plain, guarded, strict=True)
    )
    return progress, start, outcome


def _crc_of(count: int) -> int:
    return crc32(_COUNT.pack(count))


def read_cursor(folder: Path) -> Cursor:
    """Up to where the store has the journal in this folder; the beginning where that is not known."""
    try:
        data = (folder / "cursor").read_bytes()
    except OSError:
        return Cursor()
    body, crc = data[: _CURSOR.size], data[_CURSOR.size :]
    intact = len(crc) == _CRC.size and _CRC.unpack(crc)[0] == crc32(body)
    return Cursor(*_CURSOR.unpack(body)) if intact else Cursor()


def write_cursor(folder: Path, cursor: Cursor) -> None:
    """Note up to where the store has the journal; neither durable nor sure on purpose: without it, it is replayed."""
    body = _CURSOR.pack(*msgspec.structs.astuple(cursor))
    with contextlib.suppress(OSError):
        fd = os.open(folder / "cursor", os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            os.pwrite(fd, body + _CRC.pack(crc32(body)), 0)
        finally:
            os.close(fd)


def write_durably(path: Path, data: bytes) -> None:
    """Write a file whole, for its user's eyes alone: to a temporary one, fsynced, renamed."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    with open(temporary, "wb", opener=_private) as file:
        give(file.fileno(), path.parent)
        file.write(data)
        file.flush()
        os.fsync(file.fileno())
    temporary.replace(path)
    sync_folder(path.parent)


def _private(path: str, flags: int) -> int:
    return os.open(path, flags | os.O_CLOEXEC, 0o600)


def sync_chain(folder: Path, depth: int) -> None:
    """Make a folder's name durable, and those of `depth` folders above it."""
    for each in (folder, *folder.parents[: depth + 1]):
        sync_folder(each)


def total(counts: Sequence[Sequence[int]]) -> tuple[int, int, int]:
    """The sums, by worth, of several journals' counts."""
    progress, start, outcome = (sum(column) for column in zip((0, 0, 0), *counts, strict=True))
    return progress, start, outcome
