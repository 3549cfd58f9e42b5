"""Whose a home is: its folders are open to one user alone, and what root makes in another user's home is that user's.

SQLite does the same with what it makes beside a database. Without it, what root's crontab records in the home of a
service could not be read by the service, and would stay in the journal.
"""

from __future__ import annotations

import os
from pathlib import Path

_ROOT = 0
_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC


def make_private(folder: Path, *, depth: int = 1) -> None:
    """Make a folder that only its user may open, with the `depth` - 1 above it; those further up as is usual.

    One that is there stays as it is. Raises OSError.
    """
    chain = [folder, *folder.parents][:depth]
    chain[-1].parent.mkdir(parents=True, exist_ok=True)
    for each in reversed(chain):
        try:
            each.mkdir(mode=0o700)
        except FileExistsError:
            if not each.is_dir():
                raise
        else:
            give_folder(each)


def give(fd: int, folder: Path) -> None:
    """Let a file that was just made in this folder be whose the folder is. Raises OSError."""
    if os.geteuid() == _ROOT:
        owner = folder.stat()
        # Over the descriptor: whoever the folder belongs to may put another file under the name meanwhile.
        if os.fstat(fd).st_uid != owner.st_uid:
            os.fchown(fd, owner.st_uid, owner.st_gid)


def give_folder(folder: Path) -> None:
    """As `give`, for a folder that was just made, and whatever is in it. Raises OSError."""
    if os.geteuid() != _ROOT or folder.parent.stat().st_uid == _ROOT:
        return
    owner = folder.parent.stat()
    for entry in folder.iterdir():  # nobody else may reach them yet
        os.chown(entry, owner.st_uid, owner.st_gid, follow_symlinks=False)
    fd = os.open(folder, _FOLDER)
    try:
        os.fchown(fd, owner.st_uid, owner.st_gid)
    finally:
        os.close(fd)


def create_private(path: Path) -> None:
    """Make an empty file that only its user may read, where there is none. Raises OSError.

    One that is there is not opened: closing it would drop the locks of this process's connections to it.
    """
    try:
        fd = os.open(path, os.O_CREAT | os.O_EXCL | os.O_RDWR | os.O_CLOEXEC, 0o600)
    except FileExistsError:
        return
    try:
        give(fd, path.parent)
    finally:
        os.close(fd)
