"""Sockets that a driver holds."""

from __future__ import annotations

import os
import select
import socket
from contextlib import suppress


def shut_down(descriptor: int) -> None:
    """End the line behind a descriptor, which stays open: the thread that reads from it finds its end. Never raises."""
    with suppress(OSError), socket.socket(fileno=os.dup(descriptor)) as line:
        line.shutdown(socket.SHUT_RDWR)


def is_quiet(descriptor: int) -> bool:
    """Whether there is nothing to read, neither words nor the line's end: an idle line is quiet until it is hung up."""
    look = select.poll()
    look.register(descriptor, select.POLLIN)
    return not look.poll(0)
