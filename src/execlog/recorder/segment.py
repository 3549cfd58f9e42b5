"""The journal's file format: segments of frames.

A segment is a file of fixed size, allocated in full when it is made (so that a full disk is an error then, not a
SIGBUS later) and mapped into memory. It starts with a header naming its format and number, then frame after frame:

    magic and version (u32) · length (u32) · CRC-32 (u32) · sequence (u64) · payload

little-endian. The CRC is seeded with the segment's number and the sequence, so that a frame is only valid where it
was written.
Zeros mean: nothing was written from here on. What is neither is damage; reading goes on at the next valid frame, and
the gap
in the sequence says how many records were lost.
"""

from __future__ import annotations

import mmap
import os
import struct
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple
from zlib import crc32

from execlog.core.codec import VERSION
from execlog.core.errors import JournalError

HEADER = struct.Struct("<8sQ")
FRAME = struct.Struct("<IIIQ")
MAGIC = b"execlog\x01"
FRAME_MAGIC = 0x00_4C_58_45  # "EXL" and the version of the payload in the high byte
FRAME_WORD = FRAME_MAGIC | VERSION << 24
_MAGIC_BYTES = b"EXL"
_LOW = 0xFFFFFFFF
_VERSION_MASK = 0xFF000000
FIRST = HEADER.size


class Frame(NamedTuple):
    """A record as it stands in a segment: its payload and that one's version, its number, where the next begins."""

    version: int
    sequence: int
    payload: bytes
    end: int


class Scan(NamedTuple):
    """What a look at a segment found: its frames, where to go on, and how many bytes in between were damaged."""

    frames: list[Frame]
    end: int
    damaged: int


def seed(number: int) -> int:
    """What the CRCs of a segment's frames start from, before version and sequence are mixed in by exclusive or."""
    return number * 0x9E3779B1 & _LOW


def path_of(folder: Path, number: int) -> Path:
    """The file of segment `number`."""
    return folder / f"{number:08d}.seg"


def spare_of(folder: Path) -> Path:
    """The file of a segment made ahead of need; it gets its number as a name when the writer moves on to it."""
    return folder / "next.spare"


def numbers(folder: Path) -> list[int]:
    """The numbers of the segments in a folder, ascending."""
    return sorted(int(entry.name[:8]) for entry in folder.glob("[0-9]*.seg"))


def create(path: Path, number: int, size: int) -> mmap.mmap:
    """A new segment, allocated and mapped for writing. Raises OSError, e.g. ENOSPC, leaving nothing behind."""
    fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
    try:
        os.posix_fallocate(fd, 0, size)
        mapped = mmap.mmap(fd, size)
    except OSError:
        path.unlink()
        raise
    finally:
        os.close(fd)
    mapped[:FIRST] = HEADER.pack(MAGIC, number)
    return mapped


def sync_folder(folder: Path) -> None:
    """Make the names in a folder durable."""
    fd = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)


class Reader:
    """Reads the frames of one segment, which another process may still be writing."""

    def __init__(self, path: Path) -> None:
        with path.open("rb") as file:
            self.size = os.fstat(file.fileno()).st_size
            if self.size < FIRST:
                message = f"{path.name}: too short to be a segment"
                raise JournalError(message)
            self._mapped = mmap.mmap(file.fileno(), self.size, access=mmap.ACCESS_READ)
        magic, self.number = HEADER.unpack_from(self._mapped)
        self._seed = seed(self.number)
        if magic != MAGIC:
            self._mapped.close()
            message = f"{path.name}: not a segment of this format ({magic!r})"
            raise JournalError(message)

    def close(self) -> None:
        """Unmap the file."""
        self._mapped.close()

    def scan(self, start: int, limit: int, *, sealed: bool) -> Scan:
        """At most `limit` frames from `start` on.

        In a segment that is not sealed, an invalid frame is one still being written: reading stops there. In a sealed
        one
        (its writer has moved on, or is dead) it is damage: reading goes on at the next valid frame.
        """
        frames: list[Frame] = []
        position, damaged = start, 0
        while len(frames) < limit:
            frame = self._frame(position)
            if frame is None:
                found = self._next_valid(position) if sealed and not self._blank(position) else None
                if found is None:
                    damaged += self._torn(position) if sealed else 0
                    position = self.size if sealed else position
                    break
                damaged += found - position
                position = found
                continue
            frames.append(frame)
            position = frame.end
        return Scan(frames, position, damaged)

    def _frame(self, position: int) -> Frame | None:
        if position + FRAME.size > self.size:
            return None
        word, length, crc, sequence = FRAME.unpack_from(self._mapped, position)
        end = position + FRAME.size + length
        if word & 0xFFFFFF != FRAME_MAGIC or end > self.size:
            return None
        payload = self._mapped[position + FRAME.size : end]
        if crc32(payload, (self._seed ^ word & _VERSION_MASK ^ sequence) & _LOW) != crc:
            return None
        return Frame(word >> 24, sequence, payload, end)

    def _next_valid(self, position: int) -> int | None:
        for start in self._candidates(position + 1):
            if self._frame(start) is not None:
                return start
        return None

    def _candidates(self, start: int) -> Iterator[int]:
        while (start := self._mapped.find(_MAGIC_BYTES, start)) >= 0:
            # The magic is the three low bytes of a little-endian word.
            yield start
            start += 1

    def _blank(self, position: int) -> bool:
        """Whether nothing was ever written from here on."""
        if self._mapped[position : position + FRAME.size].strip(b"\0"):
            return False
        return self._mapped.find(_MAGIC_BYTES, position) < 0

    def _torn(self, position: int) -> int:
        """How many bytes of a frame that was never finished stand at the end."""
        return len(self._mapped[position:].rstrip(b"\0"))
