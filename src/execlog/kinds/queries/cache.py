"""Results that may be given again: kept for a while, up to a number of bytes, the least recently asked for go first."""

from __future__ import annotations

import threading
import time
from collections import OrderedDict
from collections.abc import Callable

import msgspec

from execlog.kinds.queries.connectors.base import Params
from execlog.kinds.queries.lexer import Dialect, tokens
from execlog.kinds.queries.page import Cut, Part

_ROW_BYTES = 64
_encode = msgspec.msgpack.Encoder(enc_hook=repr, order="deterministic").encode
Key = tuple[str, bytes, Cut]


class ResultCache:
    """Pages of results of one connection. Only time makes them stale: `ttl` is how old an answer may be, in seconds."""

    def __init__(self, *, ttl: float, most_bytes: int, now: Callable[[], float] = time.monotonic) -> None:
        self._ttl, self._most, self._now = ttl, most_bytes, now
        self._held: OrderedDict[Key, tuple[float, int, Part]] = OrderedDict()
        self._bytes = 0
        self._lock = threading.Lock()

    def get(self, key: Key) -> Part | None:
        """The page, if it is there and young enough."""
        with self._lock:
            found = self._held.get(key)
            if found is None:
                return None
            if found[0] < self._now():
                self._drop(key)
                return None
            self._held.move_to_end(key)
            return found[2]

    def put(self, key: Key, part: Part) -> None:
        """Keep the page, unless it alone is too large."""
        size = part.bytes + _ROW_BYTES * (len(part.rows) + len(part.columns) + 4)
        if size > self._most:
            return
        with self._lock:
            if key in self._held:
                self._drop(key)
            self._held[key] = (self._now() + self._ttl, size, part)
            self._bytes += size
            while self._bytes > self._most:
                self._drop(next(iter(self._held)))

    def _drop(self, key: Key) -> None:
        self._bytes -= self._held.pop(key)[1]


def key_of(statement: str, params: Params, cut: Cut, dialect: Dialect | None) -> Key:
    """What two requests have in common that may have one answer: the statement but for layout, values and page."""
    text = statement
    if dialect is not None:
        text = " ".join(token.text for token in tokens(statement, dialect) if token.kind != "comment")
    return text, _encode(params), cut
