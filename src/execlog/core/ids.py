"""Ids: UUIDv7 (RFC 9562, §5.7), made cheaply and in order within a process."""

from __future__ import annotations

import os
import re
import threading
import time
from collections.abc import Callable, Iterator

from execlog.core.errors import InvalidError

MAX_LENGTH = 100
RESERVED = (("workflow", "stats"),)
"""Kind and id of what would be an execution's, were it not a fixed segment of its family's routes."""

_LAST_BLOCK = 0xFFF
_FORBIDDEN = re.compile(r"[/\\\x00-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff]|\.\.|^\.$")


class IdMaker:
    """Calling it gives a new UUIDv7 as text; ids of one maker sort in the order they were made, whichever thread asked.

    48 bits of milliseconds; rand_a counts blocks of 4,096 ids within the millisecond, the top of rand_b the ids within
    a block; the remaining 50 bits are this maker's own, random. The clock going back does not bring the ids back. A
    fork must make a maker of its own.
    """

    def __init__(self, now_ns: Callable[[], int] = time.time_ns, entropy: Callable[[int], bytes] = os.urandom) -> None:
        self._now_ns = now_ns
        self._tail = "-" + entropy(6).hex()
        variant = 0x8 | entropy(1)[0] & 0x3
        self._suffixes = [f"{variant:x}{number:03x}{self._tail}" for number in range(4096)]
        # Re-entrant: a signal handler may ask for an id while one is being made.
        self._lock = threading.RLock()
        self._ms = 0
        self._blocks = 0
        # Until when (ns), head and suffixes of ids that can be put together without a call of this object. One
        # assignment replaces all of it, so that no thread sees the head of one block with the suffixes of another.
        self.block: tuple[int, str, Iterator[str]] = (0, "", iter(()))

    def __call__(self) -> str:
        """A new id."""
        until, head, suffixes = self.block
        if self._now_ns() < until:
            suffix = next(suffixes, None)
            if suffix is not None:
                return head + suffix
        return self._next_block()

    def _next_block(self) -> str:
        with self._lock:
            ms, blocks = self._now_ns() // 1_000_000, 0
            # No call until both are noted: a signal handler must not be given the same block.
            if ms <= self._ms:
                ms, blocks = self._ms, self._blocks + 1
                if blocks > _LAST_BLOCK:
                    ms, blocks = ms + 1, 0
            self._ms = ms
            self._blocks = blocks
            digits = f"{ms:012x}"
            head, suffixes = f"{digits[:8]}-{digits[8:]}-7{blocks:03x}-", iter(self._suffixes)
            first = head + next(suffixes)
            self.block = ((ms + 1) * 1_000_000, head, suffixes)
            return first


def fit_id(text: str) -> str:
    """The text as an id that may enter: U+FFFD stands for what must not be in one, and it ends at 100 characters.

    For names that callers hand in on the way, whose record must not fail for them; not for what names the record.
    """
    return _FORBIDDEN.sub("\ufffd", text)[:MAX_LENGTH]


def is_fit(text: str) -> bool:
    """Whether `check_id` takes the text."""
    return 1 <= len(text) <= MAX_LENGTH and _FORBIDDEN.search(text) is None


def check_id(text: str, *, field: str = "id", kind: str | None = None) -> str:
    """The id itself, if it may enter: 1 to 100 characters, none that could escape a path, a key or a route.

    With a `kind` it is an execution's, and must not be a name that is a route's own. Raises InvalidError otherwise.
    """
    if not isinstance(text, str):  # pyright: ignore[reportUnnecessaryIsInstance] - callers hand in anything
        raise InvalidError(f"{field} must be a text, not {text!r:.60}", field=field)
    if not 1 <= len(text) <= MAX_LENGTH:
        message = f"{field} must have 1 to {MAX_LENGTH} characters, this one has {len(text)}"
        raise InvalidError(message, field=field)
    if _FORBIDDEN.search(text):
        message = f"{field} must not contain '/', '\\', '..' or control characters: {text!r:.120}"
        raise InvalidError(message, field=field)
    if (kind, text) in RESERVED:
        raise InvalidError(f"{field} must not be {text!r}: that is a route's name", field=field)
    return text
