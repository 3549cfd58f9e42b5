"""Charts as plain geometry: bars of statuses by hour, and of runs by duration; templates draw them as SVG."""

from __future__ import annotations

import math
from collections.abc import Sequence
from datetime import datetime, timedelta

from msgspec import Struct

from execlog.core.clock import moment
from execlog.core.model import Execution
from execlog.history.statistics import Figures
from execlog.web.wording import duration, iso, stamp, word

HEIGHT = 100.0
STEP = 10.0
_GAP = 2.0
_LEAST = 4.0
_STACK = ("succeeded", "partial", "cancelled", "failed", "timed_out", "crashed")


class Part(Struct, frozen=True):
    """One block of a bar: the status that colours it, and where it stands."""

    status: str
    y: float
    height: float


class Bar(Struct, frozen=True, kw_only=True):
    """One bar: where it stands, what it is made of, what it says, when it begins; `key` is what it leads to."""

    x: float
    width: float
    parts: tuple[Part, ...]
    title: str
    at: str = ""
    key: tuple[str, ...] = ()


def bars_by_hour(groups: Sequence[Figures], start: datetime, hours: int) -> tuple[Bar, ...]:
    """One bar for every hour from `start`, stacked by status, as high as its share of the busiest hour."""
    by_key = {group.key: group for group in groups}
    most = max((group.total for group in groups), default=0)
    bars: list[Bar] = []
    for slot in range(hours):
        begin = start + timedelta(hours=slot)
        group = by_key.get(iso(begin))
        counts = {status: getattr(group, status) for status in _STACK} if group else {}
        said = ", ".join(f"{count} {word(status)}" for status, count in counts.items() if count) or "nothing ended"
        bars.append(
            Bar(
                x=slot * STEP,
                width=STEP - _GAP,
                parts=_stack(counts, most),
                title=f"{begin:%H:%M} UTC: {said}",
                at=iso(begin),
                key=(iso(begin), iso(begin + timedelta(hours=1))) if group else (),
            )
        )
    return tuple(bars)


def runs(executions: Sequence[Execution], slots: int = 0) -> tuple[Bar, ...]:
    """One bar for every execution in the order given, as high as its duration's share; right-aligned in `slots`."""
    longest = max((execution.seconds or 0.0 for execution in executions), default=0.0)
    first = max(slots - len(executions), 0)
    bars: list[Bar] = []
    for slot, execution in enumerate(executions, first):
        seconds = execution.seconds
        share = math.sqrt(seconds / longest) if seconds and longest else 0.25
        height = max(share * HEIGHT, _LEAST * 3)
        bars.append(
            Bar(
                x=slot * STEP,
                width=STEP - _GAP,
                parts=(Part(execution.status.value, HEIGHT - height, height),),
                title=f"{word(execution.status)}, {duration(seconds)}, {stamp(moment(execution.created_at))} UTC",
                key=(execution.kind, execution.namespace, execution.id),
            )
        )
    return tuple(bars)


def _stack(counts: dict[str, int], most: int) -> tuple[Part, ...]:
    """The blocks of one bar from the bottom up; a block of one in a thousand can still be seen."""
    parts: list[Part] = []
    heights = {status: max(count / most * HEIGHT, _LEAST) for status, count in counts.items() if count}
    scale = min(1.0, HEIGHT / total) if (total := sum(heights.values())) else 1.0
    y = HEIGHT
    for status, height in heights.items():
        y -= height * scale
        parts.append(Part(status, round(y, 2), round(height * scale, 2)))
    return tuple(parts)
