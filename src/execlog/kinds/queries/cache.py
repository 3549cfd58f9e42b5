"""Results that may be given again: kept for a while, up to a number of bytes, the least recently asked for go first.

What a query finds by chance is never given again: two who ask for a new id must not get the same. What it finds by the
clock is, as all is: an answer is as old as its settings allow.
"""

from __future__ import annotations

import re
import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Sequence

import msgspec

from execlog.kinds.queries.connectors.base import Params
from execlog.kinds.queries.lexer import Dialect, Token, tokens
from execlog.kinds.queries.page import Cut, Part

_ROW_BYTES = 64
_encode = msgspec.msgpack.Encoder(enc_hook=repr, order="deterministic").encode
_BY_CHANCE = frozenset(
    {"random", "rand", "randomblob", "random_normal", "shuffle", "nextval", "currval", "lastval", "uuid", "uuidv4",
     "uuidv7", "gen_random_uuid", "gen_random_bytes", "uuid_generate_v1", "uuid_generate_v4", "uuid_short", "newid"}
)  # fmt: skip
"""Functions; the same words may be names of columns."""

_BY_CHANCE_IN_Q = re.compile(r"\brand\b|\d\w*\s*\?")
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


def key_of(statement: str, params: Params, cut: Cut, dialect: Dialect | None) -> Key | None:
    """What two requests have in common that may have one answer: the statement but for layout, values and page.

    None for a statement whose answer is another one each time, and for values that no key can hold.
    """
    try:
        values = _encode(params)
    except OverflowError:  # an integer of more than 64 bits, which some databases take
        return None
    if dialect is None:
        return None if _BY_CHANCE_IN_Q.search(statement) else (statement, values, cut)
    said = [token for token in tokens(statement, dialect) if token.kind != "comment"]
    return None if _is_by_chance(said) else (" ".join(token.text for token in said), values, cut)


def _is_by_chance(said: Sequence[Token]) -> bool:
    before = ""
    for token in said:
        text = token.text.strip('"`[]').lower()
        if (
            (token.text == "(" and before in _BY_CHANCE)
            or text == "tablesample"
            or (before, text) == ("using", "sample")
        ):
            return True
        before = text if token.kind in {"word", "name"} else ""
    return False
