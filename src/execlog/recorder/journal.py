"""The journal: a record is safe the moment `append` returns, for a killed process leaves its mapped pages behind.

One folder per process and recorder, under `{home}/journal/`:

    00000001.seg …   the segments (`segment`)
    alive            locked by the writer for as long as it lives; its time is when the writer was last seen
    drain            locked by whoever empties the journal, the writer itself or a server
    process.json     who writes here: origin, process id, host, boot id
    cursor           up to where the store has everything; losing it only means replay
    drops            how many records were shed because the journal was full, by class
"""

from __future__ import annotations

import contextlib
import enum
import mmap
import os
import shutil
import struct
import sys
import threading
import time
from pathlib import Path
from zlib import crc32

import msgspec
from msgspec import Struct

from execlog.core.codec import VERSION
from execlog.core.errors import JournalError
from execlog.recorder import segment
from execlog.recorder.lock import FileLock
from execlog.recorder.segment import FIRST, FRAME, FRAME_WORD

_CURSOR = struct.Struct("<QQQQQQ")
_DROPS = struct.Struct("<QQQ")
_CRC = struct.Struct("<I")
_FRAME_SIZE = FRAME.size
_pack_frame = FRAME.pack
PROGRESS_SHARE, START_SHARE = 0.8, 0.9


class Worth(enum.IntEnum):
    """What is shed first when the journal is full: progress, then starts, outcomes last."""

    PROGRESS = 0
    START = 1
    OUTCOME = 2


class Owner(Struct, frozen=True):
    """Who writes a journal."""

    origin: str
    pid: int
    host: str
    boot: str
    started_at: int


class Cursor(Struct, frozen=True):
    """Up to where the store has a journal: segment and offset, the sums so far, and the last sequence number seen."""

    number: int = 0
    offset: int = FIRST
    stored: int = 0
    damaged: int = 0
    lost: int = 0
    sequence: int = 0


class Limits(Struct, frozen=True):
    """How large a journal may grow: bytes per segment, bytes in all, free bytes the disk must keep."""

    segment: int
    cap: int
    min_free: int


class Journal:
    """A process's own journal. Thread-safe; `append` holds its lock over no I/O except to begin a new segment."""

    def __init__(self, folder: Path, owner: Owner, limits: Limits) -> None:
        self.folder, self.owner, self.limits = folder, owner, limits
        folder.mkdir(parents=True, mode=0o700)
        self._alive = FileLock(folder / "alive")
        if not self._alive.acquire():
            message = f"{folder} is in use by another process"
            raise JournalError(message)
        write_durably(folder / "process.json", msgspec.json.encode(owner))
        segment.sync_folder(folder.parent)
        self._lock = threading.Lock()
        self._acquire, self._release = self._lock.acquire, self._lock.release
        self._deferred: list[tuple[bytes, Worth]] = []
        self._drops = [0, 0, 0]
        self._level = -1  # the highest worth that is shed now
        self._number = 0
        self._base = 0
        self._mapped = mmap.mmap(-1, mmap.PAGESIZE)
        self._state = (0, 0)  # where the next frame goes, and the last sequence: one assignment moves both
        self._size = 0
        self._limit = 0  # the size, or 0 while something is shed: one comparison asks for both
        self._synced = self._first_unsynced = 0
        self._sync_lock = threading.Lock()
        self._spare: tuple[int, mmap.mmap] | None = None
        self._begin_segment(limits.segment)

    @property
    def accepted(self) -> int:
        """How many records were taken in."""
        return self._state[1]

    @property
    def dropped(self) -> dict[str, int]:
        """How many records were shed, by what they were worth."""
        return {worth.name.lower(): self._drops[worth] for worth in Worth}

    @property
    def position(self) -> tuple[int, int]:
        """Segment and offset behind the last accepted record."""
        with self._lock:
            return self._number, self._state[0]

    def append(self, payload: bytes, worth: Worth = Worth.OUTCOME) -> bool:
        """Whether the record was taken in: True once it would survive a kill of this process, False when it was shed.

        Raises OSError when no segment could be begun.
        """
        if not self._acquire(False) and not self._wait_for_lock():  # noqa: FBT003 - positional is what makes it cheap
            self._deferred.append((payload, worth))
            return True
        try:
            position, sequence = self._state
            length = len(payload)
            end = position + _FRAME_SIZE + length
            if end > self._limit:
                if not self._make_room(length, worth):
                    return False
                position = self._state[0]
                end = position + _FRAME_SIZE + length
            sequence += 1
            crc = crc32(payload, self._base ^ sequence)
            self._mapped[position:end] = _pack_frame(FRAME_WORD, length, crc, sequence) + payload
            self._state = (end, sequence)
        finally:
            self._release()
        if self._deferred:
            self._append_deferred()
        return True

    def sync(self) -> None:
        """Returns once everything accepted so far is on disk: one fdatasync serves all threads that wait for it."""
        wanted = self.accepted
        with self._sync_lock:
            if self._synced >= wanted:
                return
            with self._lock:
                number, sequence = self._number, self._state[1]
            first = max(self._first_unsynced, 1)
            for each in range(first, number + 1):
                _sync_file(segment.path_of(self.folder, each))
            if number != self._first_unsynced:  # the names of the segments begun since then
                segment.sync_folder(self.folder)
            self._first_unsynced = number
            self._synced = sequence

    def make_spare(self) -> None:
        """Begin the next segment ahead of need, so that no caller waits for it; call it from the drain."""
        if self._spare is None and self._state[0] > self._size // 2 and self._room(self.limits.segment):
            number = self._number + 1
            with contextlib.suppress(OSError):
                self._spare = number, segment.create(segment.spare_of(self.folder), number, self.limits.segment)

    def reassess(self) -> None:
        """Decide anew what is shed, after the drain has freed or not freed space."""
        used, free = self.size(), shutil.disk_usage(self.folder).free
        share = used / self.limits.cap if free > self.limits.min_free else 1.0
        with self._lock:
            self._level = Worth.START if share >= START_SHARE else Worth.PROGRESS if share >= PROGRESS_SHARE else -1
            self._limit = self._size if self._level < 0 else 0

    def size(self) -> int:
        """Bytes of all segments on disk."""
        return sum(_size_of(segment.path_of(self.folder, number)) for number in segment.numbers(self.folder))

    def touch(self) -> None:
        """Note that the writer is still there."""
        self._alive.touch()

    def close(self, *, remove: bool) -> None:
        """Give the journal up; with `remove`, its folder goes too (when the store has everything)."""
        with self._lock:
            self._level, self._limit = Worth.OUTCOME, 0
            if remove:
                shutil.rmtree(self.folder, ignore_errors=True)
            self._alive.release()

    def _wait_for_lock(self) -> bool:
        """True with the lock held; False when this very thread holds it already, below a signal handler."""
        while not self._lock.acquire(timeout=0.05):
            frame = sys._getframe(2)  # noqa: SLF001  # pyright: ignore[reportPrivateUsage] - who did we interrupt?
            while frame is not None:
                if frame.f_code in _HOLDERS and frame.f_locals.get("self") is self:
                    return False
                frame = frame.f_back
        return True

    def _append_deferred(self) -> None:
        deferred, self._deferred = self._deferred, []
        for payload, worth in deferred:
            self.append(payload, worth)

    def _shed(self, worth: Worth) -> bool:
        self._drops[worth] += 1
        _write_small(self.folder / "drops", _DROPS.pack(*self._drops))
        return False

    def _make_room(self, length: int, worth: Worth) -> bool:
        if worth <= self._level:
            return self._shed(worth)
        if self._state[0] + _FRAME_SIZE + length <= self._size:
            return True
        size = max(self.limits.segment, FIRST + _FRAME_SIZE + length)
        if self._spare is None and not self._room(size):
            return self._shed(worth)
        self._begin_segment(size)
        return True

    def _room(self, size: int) -> bool:
        return (
            self.size() + size <= max(self.limits.cap, size)
            and shutil.disk_usage(self.folder).free - size > self.limits.min_free
        )

    def _begin_segment(self, size: int) -> None:
        number = self._number + 1
        path = segment.path_of(self.folder, number)
        spare, self._spare = self._spare, None
        if spare is not None and spare[0] == number and size <= self.limits.segment:
            mapped = spare[1]
            segment.spare_of(self.folder).rename(path)
        else:
            # A spare that is too small for this record, or was made for a number that is taken now, goes to waste.
            mapped = segment.create(path, number, size)
        self._mapped, self._size, self._number = mapped, size, number
        self._limit = size if self._level < 0 else 0
        self._base = segment.seed(number) ^ VERSION << 24
        self._state = (FIRST, self._state[1])


_HOLDERS = {Journal.append.__code__, Journal.reassess.__code__, Journal.sync.__code__, Journal.close.__code__}


def read_owner(folder: Path) -> Owner | None:
    """Who writes the journal in this folder; None where that is not (yet, or no longer) to be read."""
    try:
        return msgspec.json.decode((folder / "process.json").read_bytes(), type=Owner)
    except (OSError, msgspec.MsgspecError):
        return None


def read_cursor(folder: Path) -> Cursor:
    """Up to where the store has the journal in this folder; the beginning where that is not known."""
    values = _read_small(folder / "cursor", _CURSOR)
    return Cursor(*values) if values else Cursor()


def write_cursor(folder: Path, cursor: Cursor) -> None:
    """Note up to where the store has the journal; not durable on purpose."""
    _write_small(folder / "cursor", _CURSOR.pack(*msgspec.structs.astuple(cursor)))


def read_drops(folder: Path) -> tuple[int, ...]:
    """How many records the journal in this folder shed, by worth."""
    return _read_small(folder / "drops", _DROPS) or (0, 0, 0)


def write_durably(path: Path, data: bytes) -> None:
    """Write a file whole: to a temporary one, fsynced, renamed."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}.{time.monotonic_ns()}")
    fd = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    try:
        view = memoryview(data)
        while view:
            view = view[os.write(fd, view) :]
        os.fsync(fd)
    finally:
        os.close(fd)
    temporary.replace(path)
    segment.sync_folder(path.parent)


def _write_small(path: Path, data: bytes) -> None:
    fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        os.pwrite(fd, data + _CRC.pack(crc32(data)), 0)
    finally:
        os.close(fd)


def _read_small(path: Path, shape: struct.Struct) -> tuple[int, ...] | None:
    try:
        data = path.read_bytes()
    except OSError:
        return None
    body, crc = data[: shape.size], data[shape.size : shape.size + 4]
    return shape.unpack(body) if len(crc) == _CRC.size and _CRC.unpack(crc)[0] == crc32(body) else None


def _size_of(path: Path) -> int:
    try:
        return path.stat().st_size
    except FileNotFoundError:
        return 0


def _sync_file(path: Path) -> None:
    try:
        fd = os.open(path, os.O_RDWR | os.O_CLOEXEC)
    except FileNotFoundError:  # the store has it, and the drain dropped it
        return
    try:
        os.fdatasync(fd)
    finally:
        os.close(fd)
