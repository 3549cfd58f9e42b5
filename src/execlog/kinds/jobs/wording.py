"""A job in words, for the command line and the pages."""

from __future__ import annotations

from collections.abc import Callable

from execlog.runner.job import Cron, Interval, Once, Trigger


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
