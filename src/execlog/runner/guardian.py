"""A guardian beside a command: should this process be killed, it kills the command's process group.

A small shell waits at a pipe whose other end only this process holds (and what it forks without an exec). However this
process ends, the kernel closes that end. What left the command's group (a daemon) is out of reach, as it is for a
time-out. The kernel's own means, PR_SET_PDEATHSIG, would reach the command alone and not what it started, and would
have to be set between fork and exec, where a process of several threads must not run Python.
"""

from __future__ import annotations

import contextlib
import os
import subprocess
from collections.abc import Callable, Generator

_WATCH = 'read -r group && { read -r over || kill -s KILL -- "-$group"; }'


@contextlib.contextmanager
def guarding() -> Generator[Callable[[int], None]]:
    """A function that tells the guardian the process group it guards; leaving takes the guardian away.

    Where no shell can be started, nothing is guarded.
    """
    theirs, ours = os.pipe()
    guardian = None
    try:
        with contextlib.suppress(OSError):
            guardian = subprocess.Popen(
                ["/bin/sh", "-c", _WATCH],
                stdin=theirs,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                start_new_session=True,
                cwd="/",
            )
        os.close(theirs)

        def guard(group: int) -> None:
            with contextlib.suppress(BrokenPipeError):
                os.write(ours, f"{group}\n".encode())

        yield guard
    finally:
        with contextlib.suppress(BrokenPipeError):
            os.write(ours, b"over\n")
        os.close(ours)
        if guardian is not None:
            guardian.wait()
