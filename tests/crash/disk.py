"""A small disk of one's own: ext4 on a loop device whose power can be cut, or a tmpfs that is soon full."""

from __future__ import annotations

import contextlib
import ctypes
import fcntl
import os
import struct
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

_SHUTDOWN = 0x8004587D  # EXT4_IOC_SHUTDOWN
_WITHOUT_FLUSHING_THE_LOG = 2  # EXT4_GOING_FLAGS_NOLOGFLUSH
_NEW_MOUNTS = 0x00020000  # CLONE_NEWNS


class NoDiskError(Exception):
    """This machine does not let us make one; the message says what it refused."""


def _run(*command: str) -> None:
    try:
        subprocess.run(command, check=True, capture_output=True, text=True)
    except FileNotFoundError as missing:
        raise NoDiskError(f"{command[0]} is not installed") from missing
    except subprocess.CalledProcessError as failed:
        raise NoDiskError(f"{command[0]}: {failed.stderr.strip().splitlines()[-1:]}") from failed


def _need_linux_root() -> None:
    if sys.platform != "linux" or os.geteuid() != 0:
        raise NoDiskError("mounting needs Linux and root")


def keep_mounts_to_oneself() -> None:
    """From here on what this process and its children mount is theirs alone, and goes with them, also by kill -9.

    Raises NoDiskError.
    """
    _need_linux_root()
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.unshare(_NEW_MOUNTS) != 0:
        raise NoDiskError(f"unshare: {os.strerror(ctypes.get_errno())}")
    _run("mount", "--make-rprivate", "/")


class PowerDisk:
    """An ext4 file system in a file. `cut` is a power cut: what was not flushed is gone. Raises NoDiskError."""

    def __init__(self, folder: Path, mebibytes: int = 64) -> None:
        _need_linux_root()
        self._image, self.path = folder / "disk.img", folder / "disk"
        self.path.mkdir()
        with self._image.open("wb") as file:
            file.truncate(mebibytes * 2**20)
        _run("mkfs.ext4", "-q", "-F", str(self._image))
        self._mount()

    def cut(self) -> None:
        fd = os.open(self.path, os.O_RDONLY)
        try:
            fcntl.ioctl(fd, _SHUTDOWN, struct.pack("<I", _WITHOUT_FLUSHING_THE_LOG))
        except OSError as refused:
            raise NoDiskError(f"EXT4_IOC_SHUTDOWN: {refused.strerror}") from refused
        finally:
            os.close(fd)

    def restore_power(self) -> None:
        self._unmount()
        self._mount()

    def close(self) -> None:
        # A test that failed may hold files open: it must not leave a mount behind for those that come after it.
        subprocess.run(["umount", "-l", str(self.path)], check=True)
        self._image.unlink()

    def _mount(self) -> None:
        _run("mount", "-o", "loop", str(self._image), str(self.path))

    def _unmount(self) -> None:
        for _ in range(100):
            with contextlib.suppress(NoDiskError):
                return _run("umount", str(self.path))
            time.sleep(0.05)
        return _run("umount", str(self.path))


@contextlib.contextmanager
def small_disk(folder: Path, kibibytes: int) -> Iterator[Path]:
    """A tmpfs of this size. Raises NoDiskError."""
    _need_linux_root()
    path = folder / "small"
    path.mkdir()
    _run("mount", "-t", "tmpfs", "-o", f"size={kibibytes}k", "tmpfs", str(path))
    try:
        yield path
    finally:
        subprocess.run(["umount", "-l", str(path)], check=True)
