"""Who is alive, for stores that several hosts share: heartbeats with a lease on the store's clock.

On its own host a process is known to be dead by the lock it held (`lock`), at once and without doubt. Only processes
whose journals are not here are judged by their heartbeat.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from urllib.parse import urlsplit

from execlog.store.base import Store

LEASE_SECONDS = 30.0
_BEATS = 3
_ON_ONE_HOST = frozenset({"memory", "sqlite", "file", "files"})


def is_shared_between_hosts(url: str) -> bool:
    """Whether processes of other hosts may write to the store at this URL."""
    return urlsplit(url).scheme not in _ON_ONE_HOST


class Presence:
    """Tells the store which processes are alive here, and asks it which elsewhere are not any more."""

    def __init__(
        self, *, wanted: bool, lease_seconds: float = LEASE_SECONDS, monotonic: Callable[[], float] = time.monotonic
    ) -> None:
        self.wanted, self.lease_seconds = wanted, lease_seconds
        self._monotonic = monotonic
        self._next: dict[str, float] = {}
        self._next_look = 0.0
        self._reached_since: float | None = None
        self._missed_since: dict[str, float] = {}

    def attend(self, store: Store, origin: str) -> None:
        """Say that a process is alive, a few times within each lease. Raises StoreError.

        Said before its records are stored, so that nobody sees open executions of a process that was not announced.
        """
        now = self._monotonic()
        if not self.wanted or now < self._next.get(origin, 0.0):
            return
        store.attend(origin, seconds=self.lease_seconds)
        self._next[origin] = now + self.lease_seconds / _BEATS
        if self._reached_since is None:
            self._reached_since = now

    def leave(self, store: Store, origin: str) -> None:
        """Say that a process is gone. Raises StoreError."""
        self._next.pop(origin, None)
        if self.wanted:
            store.attend(origin, seconds=0.0)

    def lost_touch(self) -> None:
        """Note that the store did not answer: then the others could not reach it either, and prove nothing by it."""
        self._reached_since = None
        self._missed_since.clear()
        self._next.clear()

    def absent(self, store: Store) -> list[str]:
        """The processes whose heartbeat has stopped, asked now and then. Raises StoreError.

        None before the store was in reach for a whole lease: after an outage everybody gets that long to be heard. And
        each only once it was missed for half a lease by the clock that does not jump: when the store's does, everybody
        is missed until the next heartbeat.
        """
        now = self._monotonic()
        if not self.wanted or now < self._next_look:
            return []
        self._next_look = now + self.lease_seconds / _BEATS
        if self._reached_since is None:
            self._reached_since = now
        if now - self._reached_since <= self.lease_seconds:
            return []
        self._missed_since = {origin: self._missed_since.get(origin, now) for origin in store.absent()}
        return [origin for origin, since in self._missed_since.items() if now - since > self.lease_seconds / 2]
