"""Forks: no connection may be open while the process forks.

SQLite notes the locks it holds in tables of the process. A fork copies the tables, but not the locks: a child that
opens the same file again believes it holds what only its parent holds, waits for ever for a write that is not going
on, and loses commits when the parent, alone as far as the locks tell, removes the write-ahead log. So connections are
closed before a fork, without the checkpoint that takes time, and opened again when they are next used.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from typing import Any, Protocol
from weakref import WeakSet

import apsw

WAIT_SECONDS = 1.0
_CLOSE_AT_ONCE = apsw.SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE


class Forkable(Protocol):
    """What has connections."""

    def pause(self, until: float) -> Callable[[], None] | None:
        """Close all connections, and let none be opened until the function that comes back is called.

        None when somebody goes on using one until the monotonic time `until`; then nothing is paused.
        """
        ...


_known: WeakSet[Forkable] = WeakSet()
_resume: list[Callable[[], None]] = []


def mind(forkable: Forkable) -> None:
    """Pause this one at every fork, for as long as it lives."""
    _known.add(forkable)


def close_at_once(connection: Any) -> None:
    """Close a connection, leaving its part of the write-ahead log for later."""
    connection.config(_CLOSE_AT_ONCE, 1)
    connection.close()


def _before() -> None:
    until = time.monotonic() + WAIT_SECONDS
    for forkable in list(_known):
        resume = forkable.pause(until)
        if resume is not None:
            _resume.append(resume)


def _after() -> None:
    while _resume:
        _resume.pop()()


os.register_at_fork(before=_before, after_in_parent=_after, after_in_child=_after)
