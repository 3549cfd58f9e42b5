"""What an execution runs in: the process, and the facts that "what changed" compares."""

from __future__ import annotations

import contextlib
import os
import platform
import socket
import sys
from functools import lru_cache
from pathlib import Path


@lru_cache(maxsize=1)
def boot_id() -> str:
    """What tells this boot of this host from any other; the host's name where the kernel does not say."""
    with contextlib.suppress(OSError):
        return Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    return host()


@lru_cache(maxsize=1)
def host() -> str:
    """The name of the host."""
    return socket.gethostname()


@lru_cache(maxsize=1)
def surroundings() -> dict[str, str]:
    """Host, Python, program and source revision of this process; the process id is added per record."""
    facts = {
        "host": host(),
        "python": platform.python_version(),
        "program": os.path.basename(sys.argv[0]) if sys.argv and sys.argv[0] else "python",  # noqa: PTH119 - text, not a path
    }
    revision = os.environ.get("EXECLOG_REVISION") or _git_revision()
    return facts | ({"revision": revision} if revision else {})


def _git_revision() -> str | None:
    """The commit checked out here, read from the files: starting git would cost milliseconds."""
    with contextlib.suppress(OSError, ValueError):
        folder = Path.cwd()  # the folder itself may be gone
        for parent in (folder, *folder.parents):
            git = parent / ".git"
            if git.is_file():
                git = (parent / git.read_text().partition("gitdir:")[2].strip()).resolve()
            if git.is_dir():
                return _resolve(git)
    return None


def _resolve(git: Path) -> str | None:
    head = (git / "HEAD").read_text().strip()
    if not head.startswith("ref: "):
        return head[:40] or None
    name = head[5:]
    common = git / (git / "commondir").read_text().strip() if (git / "commondir").is_file() else git
    loose = common / name
    if loose.is_file():
        return loose.read_text().strip()[:40]
    packed = common / "packed-refs"
    for line in packed.read_text().splitlines() if packed.is_file() else ():
        if line.endswith(f" {name}"):
            return line.split(" ", 1)[0]
    return None
