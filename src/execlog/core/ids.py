"""Ids: UUIDv7 (RFC 9562, §5.7), made cheaply and in order within a process."""

from __future__ import annotations

import os
import re
import time
from collections.abc import Callable
from itertools import count

from execlog.core.errors import InvalidError

MAX_LENGTH = 100
_FORBIDDEN = re.compile(r"[/\\\x00-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff]|\.\.|^\.$")


class IdMaker:
    """Calling it gives a new UUIDv7 as text; ids of one maker sort in the order they were made.

    48 bits of milliseconds, a 26-bit counter that runs on within the process (in rand_a and the top of rand_b), and 48
    random bits of this maker. A fork must make a maker of its own.
    """

    def __init__(self, now_ns: Callable[[], int] = time.time_ns, entropy: Callable[[int], bytes] = os.urandom) -> None:
        self._now_ns = now_ns
        self._tail = entropy(6).hex()
        self._count = count(int.from_bytes(entropy(2)) << 6)
        self._ms = 0
        self._head = ""

    def __call__(self) -> str:
        """A new id."""
        ms = self._now_ns() // 1_000_000
        if ms > self._ms:
            self._ms = ms
            digits = f"{ms:012x}"
            self._head = f"{digits[:8]}-{digits[8:]}-7"
        number = next(self._count) & 0x3FFFFFF
        return f"{self._head}{number >> 14:03x}-{0x8000 | number & 0x3FFF:04x}-{self._tail}"


def check_id(text: str, *, field: str = "id") -> str:
    """The id itself, if it may enter: 1 to 100 characters, none that could escape a path, a key or a route.

    Raises InvalidError otherwise.
    """
    if not 1 <= len(text) <= MAX_LENGTH:
        message = f"{field} must have 1 to {MAX_LENGTH} characters, this one has {len(text)}"
        raise InvalidError(message, field=field)
    if _FORBIDDEN.search(text):
        message = f"{field} must not contain '/', '\\', '..' or control characters: {text!r:.120}"
        raise InvalidError(message, field=field)
    return text
