"""Which failures of a pair follow one another: counted and linked until the pair succeeds."""

from __future__ import annotations

import time
from collections import OrderedDict
from threading import Lock
from typing import NamedTuple

from execlog.core.errors import ExeclogError
from execlog.core.filter import Filter
from execlog.kinds.pipelines.words import FEATURE
from execlog.ledger import Ledger
from execlog.store.base import DETAIL
from execlog.store.pairs import FAILED, Pair, pairs_of

_REMEMBERED = 100_000
_SILENCE = 30.0
"""Seconds for which a store that did not answer is not asked again: recording must not wait for it each time."""


class Link(NamedTuple):
    """A failure among those of its pair: how many came before it since the pair last succeeded, and which."""

    retries: int = 0
    retry_of: str | None = None
    root_id: str | None = None


class _Last(NamedTuple):
    id: str
    root_id: str
    retries: int
    at: int


class Retries:
    """Links the failures of pairs. Thread-safe; never raises for the store's sake."""

    def __init__(self, ledger: Ledger) -> None:
        self._ledger = ledger
        self._lock = Lock()
        self._last: OrderedDict[Pair, _Last | None] = OrderedDict()
        self._silent_until = 0.0

    def succeed(self, pair: Pair) -> None:
        """The pair succeeded: its next failure begins a new row of retries."""
        with self._lock:
            self._remember(pair, None)

    def fail(self, pair: Pair, id_: str, at: int, count: int | None = None) -> Link:
        """The link of a failure made at `at`; a count given by the caller holds."""
        with self._lock:
            last = self._open_failure(pair)
            link = Link() if last is None else Link(last.retries + 1, last.id, last.root_id)
            if count is not None:
                link = link._replace(retries=count)
            self._remember(pair, _Last(id_, link.root_id or id_, link.retries, at))
            return link

    def _open_failure(self, pair: Pair) -> _Last | None:
        """The latest failure of the pair that no success followed, as far as this process or the store knows."""
        known = pair in self._last
        last = self._last.get(pair)
        if (known and last is None) or time.monotonic() < self._silent_until:
            return last
        try:
            if not known:
                last = self._from_store(pair)
            state = pairs_of(self._ledger.store).states([pair]).get(pair)
        except (ExeclogError, OSError):  # OSError: the home cannot be made
            self._silent_until = time.monotonic() + _SILENCE
            return last
        succeeded_at = state.succeeded_at if state else None
        return None if last is not None and succeeded_at is not None and succeeded_at > last.at else last

    def _from_store(self, pair: Pair) -> _Last | None:
        question = Filter(kind=FEATURE, subject=pair.key, statuses=FAILED)
        found = self._ledger.store.find(question, limit=1, parts=DETAIL).entries
        if not found:
            return None
        newest = found[0]
        count = (newest.metadata or {}).get("retry_count")
        at = newest.created_at if newest.ended_at is None else newest.ended_at
        return _Last(newest.id, newest.root_id or newest.id, count if isinstance(count, int) else 0, at)

    def _remember(self, pair: Pair, last: _Last | None) -> None:
        self._last[pair] = last
        self._last.move_to_end(pair)
        if len(self._last) > _REMEMBERED:
            self._last.popitem(last=False)
