"""Locks between processes that the kernel releases the moment their holder dies, and that a fork does not inherit.

POSIX record locks are that, with a trap: they do not exclude threads of one process, and closing any descriptor of
the file drops them. So a table of the held ones, by device and inode, stands in for the kernel inside the process:
no file in it is opened a second time.
"""

from __future__ import annotations

import fcntl
import os
import struct
import threading
from pathlib import Path

from execlog.store.ownership import give

_FLOCK = struct.Struct("hhqqi4x")
_Inode = tuple[int, int]
_held: dict[_Inode, FileLock] = {}
# Re-entrant: a signal handler may record, and so begin a journal, while the same thread is in here.
_guard = threading.RLock()


class FileLock:
    """An exclusive lock on a file, from `acquire` to `release` or the process's death. The file may be renamed."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._fd = -1
        self._inode: _Inode = (0, 0)

    def acquire(self) -> bool:
        """Whether the lock is ours now; never waits. False too when this process holds it through another object.

        Raises OSError where the file cannot be opened.
        """
        with _guard:
            if self._fd >= 0:
                return True
            if _inode_at(self.path) in _held:
                return False
            fd = os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
            try:
                give(fd, self.path.parent)
                fcntl.lockf(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError:
                os.close(fd)
                return False
            stat = os.fstat(fd)
            self._inode = stat.st_dev, stat.st_ino
            _held[self._inode] = self
            self._fd = fd
            return True

    def touch(self) -> None:
        """Set the file's modification time to now: the last time its holder was seen."""
        with _guard:
            if self._fd >= 0:
                os.utime(self._fd)

    def release(self) -> None:
        """Give the lock back; nothing happens when it is not held."""
        with _guard:
            if self._fd >= 0:
                del _held[self._inode]
                fd, self._fd = self._fd, -1
                os.close(fd)

    @property
    def held(self) -> bool:
        """Whether this object holds the lock."""
        return self._fd >= 0


def holder(path: Path) -> int | None:
    """The process id that holds the lock on this file, None when nobody does or there is no such file."""
    with _guard:
        if _inode_at(path) in _held:
            return os.getpid()
        try:
            fd = os.open(path, os.O_RDWR | os.O_CLOEXEC)
        except FileNotFoundError:
            return None
        try:
            asked = _FLOCK.pack(fcntl.F_WRLCK, os.SEEK_SET, 0, 0, 0)
            kind, _, _, _, pid = _FLOCK.unpack(fcntl.fcntl(fd, fcntl.F_GETLK, asked))
        finally:
            os.close(fd)
    return None if kind == fcntl.F_UNLCK else pid


def _inode_at(path: Path) -> _Inode | None:
    try:
        stat = os.stat(path)  # noqa: PTH116 - asked ten times a second
    except OSError:
        return None
    return stat.st_dev, stat.st_ino


def _forget_after_fork() -> None:
    global _guard  # noqa: PLW0603 - a lock another thread held at the fork would stay locked in the child
    _guard = threading.RLock()
    for lock in _held.values():
        os.close(lock._fd)  # noqa: SLF001  # pyright: ignore[reportPrivateUsage] - the parent's locks are not the child's
        lock._fd = -1  # noqa: SLF001  # pyright: ignore[reportPrivateUsage] - its own class's
    _held.clear()


os.register_at_fork(after_in_child=_forget_after_fork)
