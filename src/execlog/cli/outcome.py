"""What became of executions, as an exit code."""

from __future__ import annotations

from collections.abc import Iterable

from execlog.cli import exits
from execlog.core.model import OPEN, Status


def exit_code(statuses: Iterable[Status]) -> int:
    """1 where one failed, was cancelled or crashed, else 6 where one is partial, else 0; open ones do not count."""
    seen = set(statuses) - OPEN - {Status.SUCCEEDED}
    if seen - {Status.PARTIAL}:
        return exits.FAILED
    return exits.PARTIAL if seen else exits.OK
