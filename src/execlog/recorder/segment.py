"""The journal's file format: segments of frames.

A segment is a file of fixed size, allocated in full when it is made (so that a full disk is an error then, not a
SIGBUS later) and mapped into memory. Its header is written when the writer moves on to it:

    magic with the format's version (8 bytes) · number (u64) · number of its first frame (u64) · CRC-32 (u32)

and then frame follows frame:

    magic with the payload's version (u32) · length (u32) · CRC-32 (u32) · number (u32) · payload

all little-endian. The frame's CRC starts from the segment's number, the version and the number, so that a frame is only
valid where it was written. Zeros mean: nothing was written from here on. What is neither is damage; reading goes on at
the next valid frame, and the gap in the numbers says how many records were lost.
"""

from __future__ import annotations

import errno
import mmap
import os
import struct
from pathlib import Path
from typing import NamedTuple
from zlib import crc32

from execlog.core.codec import VERSION
from execlog.core.errors import JournalError
from execlog.store.ownership import give

HEADER = struct.Struct("<8sQQI")
FRAME = struct.Struct("<IIII")
MAGIC = b"execlog\x02"
FRAME_MAGIC = 0x00_4C_58_45  # "EXL" and the version of the payload in the high byte
FRAME_WORD = FRAME_MAGIC | VERSION << 24
FIRST = 32
_MAGIC_BYTES = b"EXL"
_LOW = 0xFFFFFFFF
_VERSION_MASK = 0xFF000000
_DIGITS = 8


class Frame(NamedTuple):
    """A record as it stands in a segment: its payload and that one's version, its number, where it is."""

    version: int
    number: int
    payload: bytes
    start: int
    end: int


class Scan(NamedTuple):
    """What a look at a segment found: its frames, where to go on, and the stretches in between that were damaged."""

    frames: list[Frame]
    end: int
    damaged: list[tuple[int, int]]


def seed(number: int, version: int = VERSION) -> int:
    """What the CRCs of a segment's frames start from, before the frame's is mixed in by exclusive or."""
    return (number * 0x9E3779B1 & _LOW) ^ version << 24


def path_of(folder: Path, number: int) -> Path:
    """The file of segment `number`."""
    return folder / f"{number:0{_DIGITS}d}.seg"


def numbers(folder: Path) -> list[int]:
    """The numbers of the segments in a folder, ascending; those that were not begun yet among them."""
    names = os.listdir(folder)  # noqa: PTH208 - plain names, ten times a second
    return sorted(int(name[:-4]) for name in names if name.endswith(".seg") and name[:-4].isdigit())


def create(path: Path, size: int) -> mmap.mmap:
    """A new segment, allocated and mapped, not begun. Raises OSError, e.g. ENOSPC, leaving nothing behind."""
    fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    try:
        give(fd, path.parent)
        os.posix_fallocate(fd, 0, size)
        return mmap.mmap(fd, size)
    except BaseException:
        path.unlink()
        raise
    finally:
        os.close(fd)


def header(number: int, first: int) -> bytes:
    """The header of a segment whose first frame is the journal's record number `first`."""
    head = HEADER.pack(MAGIC, number, first, 0)[: -struct.calcsize("<I")]
    return (head + struct.pack("<I", crc32(head))).ljust(FIRST, b"\0")


def is_begun(path: Path) -> bool:
    """Whether the writer has moved on to this segment."""
    try:
        with path.open("rb") as file:
            return any(file.read(len(MAGIC)))
    except FileNotFoundError:
        return False


class Reader:
    """Reads the frames of one segment, which another process may still be writing."""

    def __init__(self, path: Path) -> None:
        self.path, self.number = path, int(path.stem)
        self._seed = seed(self.number, 0)
        with path.open("rb") as file:
            self.size = os.fstat(file.fileno()).st_size
            if self.size < FIRST:
                raise JournalError(f"{path.name}: too short to be a segment ({self.size} bytes)")
            self._mapped = mmap.mmap(file.fileno(), self.size, access=mmap.ACCESS_READ)
        self._known_first: int | None = None
        if self.first is None and self._next_valid(FIRST) is None and self._mapped[:FIRST].strip(b"\0"):
            found = self._mapped[: len(MAGIC)]
            self._mapped.close()
            raise JournalError(f"{path.name}: not a segment of this format ({found!r})")

    @property
    def first(self) -> int | None:
        """The number of its first frame; None where its header does not say so, or not yet."""
        if self._known_first is None:
            self._known_first = self._read_first()
        return self._known_first

    def _read_first(self) -> int | None:
        magic, number, first, crc = HEADER.unpack_from(self._mapped)
        intact = crc == crc32(self._mapped[: HEADER.size - 4]) and magic == MAGIC and number == self.number
        return first if intact and not any(self._mapped[HEADER.size : FIRST]) else None

    def close(self) -> None:
        """Unmap the file."""
        self._mapped.close()

    def piece(self, start: int, end: int) -> bytes:
        """The bytes from `start` to `end` as they stand there."""
        return self._mapped[start:end]

    def scan(self, start: int, limit: int, *, sealed: bool) -> Scan:
        """At most `limit` frames from `start` on.

        In a segment that is not sealed, an invalid frame with nothing valid behind it is one still being written:
        reading stops there. In a sealed one (its writer has moved on, or is dead) it is damage: reading goes on at the
        next valid frame, or at the end of the segment.
        """
        frames: list[Frame] = []
        damaged: list[tuple[int, int]] = []
        position = start
        while len(frames) < limit:
            frame = self._frame(position)
            if frame is None:
                frame = self._behind_damage(position, sealed=sealed)
                if frame is None:
                    break
                if frame.start > position:
                    damaged.append((position, frame.start))
            frames.append(frame)
            position = frame.end
        if sealed and len(frames) < limit:
            torn = self._written(position)
            if torn:
                damaged.append((position, position + torn))
            position = self.size
        return Scan(frames, position, damaged)

    def _behind_damage(self, position: int, *, sealed: bool) -> Frame | None:
        if not sealed and not any(self._mapped[position : position + FRAME.size]):
            return None
        found = self._next_valid(position + 1)
        # Frames are written in order. So the invalid frame before a valid one is damage, unless it was being written
        # when we looked at it, and is there now.
        return found and (self._frame(position) or found)

    def _frame(self, position: int) -> Frame | None:
        start = position + FRAME.size
        if start > self.size:
            return None
        word, length, crc, number = FRAME.unpack_from(self._mapped, position)
        end = start + length
        if word & 0xFFFFFF != FRAME_MAGIC or end > self.size:
            return None
        payload = self._mapped[start:end]
        if crc32(payload, self._seed ^ word & _VERSION_MASK ^ number) != crc:
            return None
        return Frame(word >> 24, number, payload, position, end)

    def _next_valid(self, start: int) -> Frame | None:
        # The magic is the three low bytes of a little-endian word. A frame has a whole header behind it, so the last
        # bytes need no search; and until Python 3.11.5 `find` reads a byte behind its end, which must not be behind
        # the mapping's.
        end = min(self._data_end(start), self.size - FRAME.size + len(_MAGIC_BYTES))
        while (start := self._mapped.find(_MAGIC_BYTES, start, end)) >= 0:
            frame = self._frame(start)
            if frame is not None:
                return frame
            start += 1
        return None

    def _written(self, position: int) -> int:
        """How many bytes from here on are not the zeros that nobody wrote to."""
        return len(self._mapped[position : self._data_end(position)].rstrip(b"\0"))

    def _data_end(self, start: int) -> int:
        """Where the file's last data from `start` on ends: what was allocated but never written need not be read."""
        try:
            fd = os.open(self.path, os.O_RDONLY | os.O_CLOEXEC)
        except FileNotFoundError:
            return self.size
        try:
            while start < self.size:
                start = os.lseek(fd, os.lseek(fd, start, os.SEEK_DATA), os.SEEK_HOLE)
        except OSError as error:
            if error.errno != errno.ENXIO:  # no data behind `start`
                return self.size
        finally:
            os.close(fd)
        return min(start, self.size)
