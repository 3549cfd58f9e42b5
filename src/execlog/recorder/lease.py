"""Leases of executions that somebody without a journal tells of: a script of another language, over HTTP.

A lease is said as the execution's origin, so it travels and is folded like everything else that is said, and a server
that was down when it ran out finds it. Each renewal is an origin of its own, so that what was renewed a moment ago is
never taken for what ran out.
"""

from __future__ import annotations

from typing import NamedTuple

_PREFIX = "lease:"
DEFAULT_SECONDS = 86_400


class Lease(NamedTuple):
    """How long nothing need be heard, in seconds, and until when: UTC µs on the clock of the server that was told."""

    seconds: int
    until: int

    @classmethod
    def beginning(cls, now: int, seconds: int) -> Lease:
        """The lease of what was heard of now (UTC µs)."""
        return cls(seconds, now + seconds * 1_000_000)

    @property
    def origin(self) -> str:
        """How it is said."""
        return f"{_PREFIX}{self.seconds}:{self.until}"

    @property
    def heard_at(self) -> int:
        """When it began, UTC µs."""
        return self.until - self.seconds * 1_000_000


def lease_in(origin: str | None) -> Lease | None:
    """The lease an origin says; None for that of a process with a journal."""
    if origin is None or not origin.startswith(_PREFIX):
        return None
    seconds, _, until = origin.removeprefix(_PREFIX).partition(":")
    try:
        return Lease(int(seconds), int(until))
    except ValueError:
        return None
