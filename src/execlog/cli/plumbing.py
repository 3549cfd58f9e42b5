"""Copying a command's input and output, and keeping the end of it."""

from __future__ import annotations

import os
import selectors
import termios
import threading
from collections.abc import Callable
from contextlib import suppress
from typing import NamedTuple

_CHUNK = 65_536


class Tail:
    """The last `keep` bytes of what was written to it, and how much there was in all."""

    def __init__(self, keep: int) -> None:
        self._keep = keep
        self._kept = bytearray()
        self.total = 0

    def write(self, data: bytes) -> None:
        """Take in more."""
        self.total += len(data)
        self._kept += data
        if len(self._kept) > 2 * self._keep + _CHUNK:
            self._trim()

    def text(self) -> str:
        """What was kept, beginning at a whole line where something is missing; line ends are newlines."""
        self._trim()
        data = bytes(self._kept)
        if self.total > len(data):
            data = data[data.find(b"\n") + 1 :]
        return data.decode("utf-8", "replace").replace("\r\n", "\n")

    def last_line(self) -> str:
        """The last line that says something, or "" where there is none."""
        lines = (line.strip() for line in reversed(self.text().splitlines()))
        return next((line for line in lines if line), "")

    def _trim(self) -> None:
        surplus = len(self._kept) - self._keep
        if surplus > 0:
            del self._kept[:surplus]


class Output(NamedTuple):
    """A descriptor to read from, one to write to, and who keeps the end."""

    source: int
    target: int
    tails: tuple[Tail, ...]


def copy_outputs(outputs: list[Output], finished: int) -> None:
    """Copy until all sources end, or the pipe `finished` is closed at its other end and nothing is left to read.

    A descendant that lives on in the background and holds an output open is not waited for: what it may still write to
    is what is left in `outputs`. When a target is gone its source is closed, so that the command learns of it the way
    it would have without us.
    """
    selector = selectors.DefaultSelector()
    selector.register(finished, selectors.EVENT_READ)
    for output in outputs:
        selector.register(output.source, selectors.EVENT_READ, output)
    ended = False
    while outputs:
        ready = [key.data for key, _ in selector.select(0 if ended else None)]
        ended = ended or None in ready
        busy = [output for output in ready if output is not None]
        if ended and not busy:
            break
        for output in busy:
            if not _copy_some(output):
                selector.unregister(output.source)
                os.close(output.source)
                outputs.remove(output)
    selector.close()


def hand_on(output: Output) -> None:
    """Leave the rest of an output to a `cat`, for as long as a descendant in the background may write to it.

    Else that would be killed by SIGPIPE at its next line once we are gone. `cat` is in a group of its own, so that what
    a terminal tells the command's does not reach it.
    """
    actions = [
        (os.POSIX_SPAWN_DUP2, output.source, 0),
        (os.POSIX_SPAWN_DUP2, output.target, 1),
        (os.POSIX_SPAWN_OPEN, 2, os.devnull, os.O_WRONLY, 0),
    ]
    with suppress(OSError):  # there is none, or no room for it
        os.posix_spawnp("cat", ["cat"], os.environ, file_actions=actions, setpgroup=0, setsigmask=[])
    os.close(output.source)


def copy_input(
    source: int, target: int, finished: int, in_front: threading.Event, intercept: Callable[[int, bytes], bool]
) -> None:
    """Copy what is typed, while we are in the foreground, until a side is gone or `finished` closed at its other end.

    Not what `intercept` takes. The target is closed in the end.
    """
    selector = selectors.DefaultSelector()
    selector.register(source, selectors.EVENT_READ)
    selector.register(finished, selectors.EVENT_READ)
    try:
        while in_front.wait():
            ready = {key.fd for key, _ in selector.select()}
            if finished in ready:
                return
            if not in_front.is_set() or os.tcgetpgrp(source) != os.getpgrp():
                in_front.clear()
                continue
            data = os.read(source, _CHUNK)
            if not data:
                return
            if not intercept(target, data):
                write_all(target, data)
    except (OSError, termios.error):
        return  # the terminal or the command is gone; who waits for the command sees its end
    finally:
        selector.close()
        os.close(target)


def write_all(target: int, data: bytes) -> None:
    """Write all of it, waiting where the target takes no more for now. Raises OSError."""
    view = memoryview(data)
    while view:
        try:
            view = view[os.write(target, view) :]
        except BlockingIOError:  # a terminal shared with someone who made it non-blocking
            with selectors.DefaultSelector() as selector:
                selector.register(target, selectors.EVENT_WRITE)
                selector.select()


def _copy_some(output: Output) -> bool:
    """Whether there may be more."""
    try:
        data = os.read(output.source, _CHUNK)
    except OSError:  # EIO: the last one who had the pty open has closed it
        return False
    if not data:
        return False
    for tail in output.tails:
        tail.write(data)
    try:
        write_all(output.target, data)
    except OSError:  # nobody reads any more, or the disk is full: the command's next write fails, as it would have
        return False
    return True
