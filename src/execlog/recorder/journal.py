"""The journal: a record is safe the moment `append` returns, for a killed process leaves its mapped pages behind.

One folder per process and recorder, under `{home}/journal/{store}/`:

    00000001.seg …   the segments (`segment`); the highest may be made ahead of need, and is not begun then
    alive            locked by the writer for as long as it lives; its time is when the writer was last seen
    drain            locked by whoever empties the journal, the writer itself or a server
    process.json     who writes here: origin, process id, host, boot id
    cursor           up to where the store has everything; losing it only means replay
    drops            how many records were shed because the journal was full, by worth

A folder whose name begins with a dot is one being made or removed.
"""

from __future__ import annotations

import contextlib
import enum
import logging
import mmap
import os
import shutil
import sys
import threading
import time
from pathlib import Path
from typing import NamedTuple
from zlib import crc32

import msgspec
from msgspec import Struct

from execlog.core.errors import JournalError
from execlog.recorder import segment
from execlog.recorder.lock import FileLock
from execlog.recorder.segment import FIRST, FRAME, FRAME_WORD
from execlog.recorder.sidecar import Cursor, Drops, Owner, sync_chain, write_cursor
from execlog.store.durability import sync_folder
from execlog.store.ownership import give_folder

log = logging.getLogger("execlog")
_FRAME_SIZE = FRAME.size
_pack_frame = FRAME.pack
PROGRESS_SHARE, START_SHARE = 0.8, 0.9
PARENTS = 3  # store, "journal", home
_HEAD = slice(0, FIRST)
_KEEP_ALL = -1
_LOW = 0xFFFFFFFF
_LOOK_SECONDS = 0.1
_REMIND_SECONDS = 3600.0
_SHORT, _LARGE = "the disk is nearly full (journal_min_free)", "it is nearly at its cap (journal_cap)"
_State = tuple[mmap.mmap, int, int, int, int]


class Worth(enum.IntEnum):
    """What is shed first when the journal is full: progress, then starts, outcomes last."""

    PROGRESS = 0
    START = 1
    OUTCOME = 2


class Limits(Struct, frozen=True):
    """How large a journal may grow: bytes per segment, bytes in all, free bytes the disk must keep."""

    segment: int
    cap: int
    min_free: int


class JournalClosedError(JournalError):
    """A sealed journal takes no more records; another one does."""


class _Blank(NamedTuple):
    """A segment that was made but not begun."""

    number: int
    mapped: mmap.mmap
    size: int


class Journal:
    """A process's own journal. Thread-safe, and safe to use from signal handlers and finalizers at any point.

    `append` takes no lock: a lock would let a thread that was preempted inside stall all others, leave a signal
    handler's record waiting for the code it interrupted, and stay locked when a KeyboardInterrupt strikes behind
    `acquire`. It prepares a frame for the place it saw free, and stores frame and new state only if the state is still
    the one it saw, else it tries again. Between that look and the two stores the interpreter makes no call and no
    jump backwards, and only there it switches threads, runs signal handlers or (before 3.12: allocates objects and)
    collects garbage. tests/unit/test_journal.py reads the byte code to see that it stays so. An interpreter without
    that global lock gets one of its own around `append`.
    """

    def __init__(self, folder: Path, owner: Owner, limits: Limits) -> None:
        """Begin a journal in `folder`, which must not exist. Raises OSError, leaving nothing behind."""
        self.folder, self.owner, self.limits = folder, owner, limits
        self._growing = threading.RLock()
        self._syncing = threading.RLock()
        self._level = _KEEP_ALL  # the highest worth that is shed now
        self._look_again = 0.0
        self._said, self._say_again = "", 0.0
        self._closed = False
        self._number = self._made = 0  # the segment being written; the highest that was made
        self._size = 0
        self._spare: _Blank | None = None
        self._state: _State = (mmap.mmap(-1, mmap.PAGESIZE), 0, 0, FIRST, 0)
        self._synced = 0
        self._first_unsynced: int = 0
        self._dirty_again = False
        making = folder.with_name(f".new-{folder.name}")
        making.mkdir(mode=0o700)  # given to the home's user when all is in it
        try:
            self._alive = FileLock(making / "alive")
            self._alive.acquire()
            (making / "process.json").write_bytes(msgspec.json.encode(owner))
            self._drops = Drops(making / "drops")
            write_cursor(making, Cursor())
            self.folder = making
            while not self._begin_segment(self._state, limits.segment):
                pass
            give_folder(making)
            making.rename(folder)
        except BaseException:
            shutil.rmtree(making, ignore_errors=True)
            self._alive.release()
            raise
        self.folder = folder
        if not _has_gil():
            self._protect()

    @property
    def accepted(self) -> int:
        """How many records were taken in."""
        return self._state[4]

    @property
    def dropped(self) -> dict[str, int]:
        """How many records were shed, by what they were worth."""
        return {worth.name.lower(): self._drops.counts[worth] for worth in Worth}

    @property
    def is_shedding(self) -> bool:
        """Whether some records are not taken in now, because the journal cannot grow."""
        return self._level != _KEEP_ALL

    @property
    def position(self) -> tuple[int, int]:
        """Segment and offset behind the last accepted record."""
        while True:
            state, number = self._state, self._number
            if self._state is state:
                return number, state[3]

    def append(self, payload: bytes, worth: Worth = Worth.OUTCOME) -> bool:
        """Whether the record was taken in: True once it would survive a kill of this process, False when it was shed.

        Raises OSError when no segment could be begun, JournalClosedError after `seal`.
        """
        while True:
            state = self._state
            mapped, base, limit, position, sequence = state
            end = position + _FRAME_SIZE + len(payload)
            if end > limit:
                if not self._make_room(state, end, worth):
                    return False
                if self._state is not state:
                    continue
            number = sequence & _LOW
            frame = _pack_frame(FRAME_WORD, len(payload), crc32(payload, base ^ number), number) + payload
            place, new = slice(position, end), (mapped, base, limit, end, sequence + 1)
            if self._state is state:
                mapped[place] = frame
                self._state = new
                return True

    def sync(self) -> None:
        """Returns once everything accepted so far is on disk: one fdatasync serves all threads that wait for it.

        Raises OSError; calling it again then tries again.
        """
        wanted = self.accepted
        with self._syncing:
            if self._synced >= wanted:
                return
            sequence = self.accepted
            number, _ = self.position  # asked after the sequence, so that its record is in there
            first = self._first_unsynced
            try:
                for each in range(max(first, 1), number + 1):
                    _sync_file(segment.path_of(self.folder, each), dirty_first=self._dirty_again)
                if first == 0:
                    _sync_file(self.folder / "process.json", dirty_first=False)
                    sync_chain(self.folder, PARENTS)
                elif number != first:  # the names of the segments begun since then
                    sync_folder(self.folder)
            except OSError:
                # The kernel reports a page it could not write once, and then takes it for clean.
                self._dirty_again = True
                raise
            self._first_unsynced, self._synced, self._dirty_again = number, sequence, False

    def make_spare(self) -> None:
        """Make the next segment ahead of need, so that no caller waits for it; call it from the drain."""
        if self._spare is not None or self._closed or self._state[3] <= self._size // 2:
            return
        if not self._room(self.limits.segment):
            return
        with contextlib.suppress(OSError):
            spare = self._make_segment(self.limits.segment)
            with self._growing:
                if self._spare is None and spare.number > self._number:
                    self._spare = spare

    def reassess(self) -> None:
        """Decide anew what is shed, after the drain has freed or not freed space."""
        with self._growing:
            used = self.size() - (self._size - self._state[3]) - (self._spare.size if self._spare else 0)
            is_short = is_short_of_space(self.folder, self.limits.min_free)
            share = 1.0 if is_short else used / self.limits.cap
            self._level = (
                Worth.START if share >= START_SHARE else Worth.PROGRESS if share >= PROGRESS_SHARE else _KEEP_ALL
            )
            self._set_limit()
            if self._level != _KEEP_ALL:
                self._say(_SHORT if is_short else _LARGE)

    def size(self) -> int:
        """Bytes of all segments on disk."""
        return sum(_size_of(segment.path_of(self.folder, number)) for number in segment.numbers(self.folder))

    def touch(self) -> None:
        """Note that the writer is still there."""
        self._alive.touch()

    def seal(self) -> tuple[int, int]:
        """The final position: from now on `append` raises JournalClosedError."""
        with self._growing:
            self._closed = True
            self._set_limit()
            return self.position

    def close(self, *, remove: bool) -> None:
        """Give the journal up; with `remove`, its folder goes too (when the store has everything)."""
        self.seal()
        if remove:
            remove_folder(self.folder)
        self._alive.release()

    def _set_limit(self) -> None:
        while True:
            state = self._state
            limit = self._size if self._level == _KEEP_ALL and not self._closed else 0
            new = (state[0], state[1], limit, state[3], state[4])
            if self._state is state:
                self._state = new
                return

    def _make_room(self, state: _State, end: int, worth: Worth) -> bool:
        """Whether the record may go in: into the current segment, or into one begun here (then the state changed)."""
        with self._growing:
            if self._state is not state:
                return True
            if self._closed:
                raise JournalClosedError(f"{self.folder.name} is closed")
            if worth <= self._level and not self._relaxed(worth):
                return self._shed(worth)
            if self._state is not state or end <= self._size:
                return True
            size = max(self.limits.segment, FIRST + end - state[3])
            try:
                if self._spare is None and not self._room(size):
                    is_short = is_short_of_space(self.folder, self.limits.min_free, more=size)
                    return self._shed_all(worth, _SHORT if is_short else _LARGE)
                if self._begin_segment(state, size):
                    self.reassess()
            except OSError as error:
                return self._shed_all(worth, str(error))
            return True

    def _relaxed(self, worth: Worth) -> bool:
        """Whether this worth is no longer shed, looked at ten times a second."""
        if time.monotonic() < self._look_again:
            return False
        self._look_again = time.monotonic() + _LOOK_SECONDS
        self.reassess()
        return worth > self._level

    def _shed(self, worth: Worth) -> bool:
        self._drops.add(worth)
        return False

    def _shed_all(self, worth: Worth, reason: str) -> bool:
        """Shed this one and all others, until a look a little later finds room again."""
        self._level = Worth.OUTCOME
        self._look_again = time.monotonic() + _LOOK_SECONDS
        self._set_limit()
        self._say(reason)
        return self._shed(worth)

    def _say(self, reason: str) -> None:
        """Tell the log why records are dropped; as long as it is the same, now and then."""
        now = time.monotonic()
        if reason != self._said or now > self._say_again:
            self._said, self._say_again = reason, now + _REMIND_SECONDS
            log.warning("execlog drops records, the journal cannot grow: %s: %s", self.folder, reason)

    def _room(self, size: int) -> bool:
        # Two segments always: the drain can only drop one when the next has begun.
        fits = self.size() + size <= max(self.limits.cap, 2 * size)
        return fits and not is_short_of_space(self.folder, self.limits.min_free, more=size)

    def _make_segment(self, size: int) -> _Blank:
        number = self._made = self._made + 1
        return _Blank(number, segment.create(segment.path_of(self.folder, number), size), size)

    def _begin_segment(self, state: _State, size: int) -> bool:
        """Whether the next segment has begun; False when somebody else changed the state meanwhile."""
        spare, self._spare = self._spare, None
        if spare is None or spare.size < size or spare.number <= self._number:
            # A spare that is of no use stays behind, not begun: the drain drops it.
            spare = self._make_segment(size)
        number, mapped, size = spare
        head = segment.header(number, state[4])
        new = (mapped, segment.seed(number), size, FIRST, state[4])
        if self._state is state:
            mapped[_HEAD] = head
            self._number = number
            self._size = size
            self._state = new
            return True
        self._spare = spare
        return False

    def _protect(self) -> None:
        lock, append = threading.RLock(), self.append

        def guarded(payload: bytes, worth: Worth = Worth.OUTCOME) -> bool:
            with lock:
                return append(payload, worth)

        setattr(self, "append", guarded)  # noqa: B010 - it stands before the method on purpose


def remove_folder(folder: Path) -> None:
    """Remove a journal's folder, so that nobody sees half of it."""
    gone = folder.with_name(f".gone-{folder.name}")
    with contextlib.suppress(OSError):
        folder.rename(gone)
        shutil.rmtree(gone, ignore_errors=True)


def _has_gil() -> bool:
    return getattr(sys, "_is_gil_enabled", bool)() or not hasattr(sys, "_is_gil_enabled")


def is_short_of_space(folder: Path, least: int, *, more: int = 0) -> bool:
    """Whether the folder's disk, once it has `more` bytes on it, has no more than `reserve` free."""
    stat = os.statvfs(folder)
    return stat.f_bavail * stat.f_frsize - more <= reserve(folder, least)


def reserve(folder: Path, least: int) -> int:
    """What is to stay free on the folder's disk: `least`, but of a small one, such as a container's, a tenth."""
    stat = os.statvfs(folder)
    return min(least, stat.f_blocks * stat.f_frsize // 10)


def _size_of(path: Path) -> int:
    try:
        return path.stat().st_size
    except FileNotFoundError:
        return 0


def _sync_file(path: Path, *, dirty_first: bool) -> None:
    try:
        fd = os.open(path, os.O_RDWR | os.O_CLOEXEC)
    except FileNotFoundError:  # the store has it, and the drain dropped it
        return
    try:
        if dirty_first:
            with mmap.mmap(fd, 0) as mapped:
                for offset in range(0, len(mapped), mmap.PAGESIZE):
                    mapped[offset] = mapped[offset]
        os.fdatasync(fd)
    finally:
        os.close(fd)
