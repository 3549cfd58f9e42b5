"""How far a pipeline is, and when it may be done."""

from __future__ import annotations

from msgspec import Struct

from execlog.core.model import OPEN, Execution


class Progress(Struct, frozen=True, kw_only=True):
    """How many pairs are done, of how many; `before` were done by earlier executions that this one goes on from.

    eta   seconds until the rest is done at the pace so far; None while there is no pace yet, 0.0 when all is done
    """

    total: int
    succeeded: int
    failed: int
    before: int
    elapsed: float
    eta: float | None

    @property
    def done(self) -> int:
        """How many pairs need no more work, those before included."""
        return self.before + self.succeeded + self.failed


def progress(*, total: int, succeeded: int, failed: int, before: int, elapsed: float) -> Progress:
    """The progress these figures make; `total` includes those before."""
    worked = succeeded + failed
    left = max(total - before - worked, 0)
    eta = 0.0 if not left else left * elapsed / worked if worked and elapsed > 0 else None
    return Progress(total=total, succeeded=succeeded, failed=failed, before=before, elapsed=elapsed, eta=eta)


def progress_of(execution: Execution, now: int) -> Progress:
    """The progress of an execution with items, as the store knows it at `now` (UTC µs); of one that ended, its last."""
    counts, before = execution.counts, (execution.metadata or {}).get("done_before", 0)
    before = before if isinstance(before, int) else 0
    until = now if execution.status in OPEN or execution.ended_at is None else execution.ended_at
    began = execution.created_at if execution.started_at is None else execution.started_at
    return progress(
        total=before + max(execution.total or 0, counts.total),
        succeeded=counts.succeeded,
        failed=counts.failed,
        before=before,
        elapsed=max(until - began, 0) / 1e6,
    )
