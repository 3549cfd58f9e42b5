"""A job in words, for the command line and the pages."""

from __future__ import annotations

from collections.abc import Callable

from execlog.core.clock import parse_when
from execlog.kinds.jobs.desk import JobView
from execlog.runner.job import Cron, Interval, Once, Trigger

LATE = 10_000_000
"""µs after which an instant that nobody has begun is late: a scheduler looks sooner, and others take over by then."""


def is_late(job: JobView, now: int) -> bool:
    """Whether an instant of the job is due and nobody has begun it: no scheduler runs, or none keeps up."""
    at = parse_when(job.next_run_at, now=None) if job.next_run_at else None
    return at is not None and at + int(job.jitter * 1_000_000) + LATE < now


def trigger_text(trigger: Trigger | None, spell: Callable[[float], str]) -> str:
    """When a job runs, in a few words; `spell` says a number of seconds."""
    match trigger:
        case None:
            return "by hand"
        case Cron(expression=expression, timezone=timezone):
            return f"{expression} {timezone}"
        case Interval(seconds=seconds):
            return f"every {spell(seconds)}"
        case Once(at=at):
            return f"once, {at.isoformat(timespec='seconds')}"
        case _:
            sign = "+" if trigger.offset > 0 else "-"
            offset = f" {sign} {spell(abs(trigger.offset))}" if trigger.offset else ""
            return f"{trigger.calendar} {trigger.at}{offset}"
