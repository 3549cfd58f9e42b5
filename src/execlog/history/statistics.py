"""Statistics over a store: sums, rates and quantiles of a window of time, whole and by group."""

from __future__ import annotations

from collections import Counter
from datetime import datetime
from decimal import Decimal

import msgspec
from msgspec import Struct

from execlog.core.clock import iso
from execlog.core.filter import MAX_LIMIT, Filter
from execlog.core.model import Status
from execlog.core.rollup import Bucket, quantiles
from execlog.history.view import Money, TokensView, dollars, time
from execlog.store.base import Group, GroupBy, Store

TIMED: frozenset[GroupBy] = frozenset({"minute", "hour", "day"})
_OPEN = (Status.QUEUED, Status.RUNNING)
QUANTILES = (0.5, 0.95, 0.99)


class Figures(Struct, frozen=True, kw_only=True):
    """What the ended executions of one group come to.

    key            what they have in common; the cell's start when grouped by time; null over everything
    success_rate   succeeded in percent of all; partial is not success; 0.0 over nothing
    mean, max, p*  durations in seconds, the quantiles by nearest rank and within 1 %; null where none is known
    cost           of the calls whose price is known; null where tokens were used and no price was known
    """

    key: str | None
    total: int
    succeeded: int
    partial: int
    failed: int
    timed_out: int
    cancelled: int
    crashed: int
    success_rate: float
    mean_duration: float | None
    max_duration: float | None
    p50: float | None
    p95: float | None
    p99: float | None
    rows: int
    tokens: TokensView
    cost: Money | None


class Open(Struct, frozen=True):
    """How many executions have not ended."""

    queued: int
    running: int


class Statistics(Struct, frozen=True, kw_only=True):
    """Figures over everything asked for, and by group: the largest groups first, cells of time in their order.

    `truncated`: there are more groups than the limit; `overall` counts them all.
    """

    since: datetime | None
    until: datetime | None
    group_by: str | None
    overall: Figures
    open: Open
    groups: tuple[Figures, ...]
    truncated: bool


def statistics(store: Store, filter_: Filter, *, group_by: GroupBy | None = None, limit: int = 1000) -> Statistics:
    """The statistics of what the filter asks for, at most `limit` groups."""
    overall = store.stats(filter_)
    groups = store.stats(filter_, group_by=group_by) if group_by else []
    if group_by not in TIMED:
        groups = sorted(groups, key=lambda group: (-group.bucket.total, str(group.key)))
    return Statistics(
        since=time(filter_.since),
        until=time(filter_.until),
        group_by=group_by,
        overall=figures(overall[0] if overall else Group(None, Bucket())),
        open=count_open(store, filter_),
        groups=tuple(map(figures, groups[:limit])),
        truncated=len(groups) > limit,
    )


def count_open(store: Store, filter_: Filter) -> Open:
    """How many of what the filter asks for are queued and running."""
    asked = [status for status in _OPEN if not filter_.statuses or status in filter_.statuses]
    if asked and not store.capabilities.statistics:
        return _count_by_reading(store, msgspec.structs.replace(filter_, statuses=tuple(asked)))
    counts = {status: store.count(msgspec.structs.replace(filter_, statuses=(status,))) for status in asked}
    return Open(*(counts.get(status, 0) for status in _OPEN))


def _count_by_reading(store: Store, asked: Filter) -> Open:
    """The same, at once: where each count would read everything that is kept."""
    counts, cursor = Counter[Status](), None
    while True:
        page = store.find(asked, limit=MAX_LIMIT, cursor=cursor)
        counts.update(execution.status for execution in page.entries)
        cursor = page.next_cursor
        if cursor is None:
            return Open(*(counts[status] for status in _OPEN))


def figures(group: Group) -> Figures:
    """The figures of one group."""
    bucket = group.bucket
    longest = bucket.max_micros / 1e6 if bucket.timed else None
    p50, p95, p99 = _quantiles(bucket)
    return Figures(
        key=iso(group.key) if isinstance(group.key, int) else group.key,
        total=bucket.total,
        succeeded=bucket.succeeded,
        partial=bucket.partial,
        failed=bucket.failed,
        timed_out=bucket.timed_out,
        cancelled=bucket.cancelled,
        crashed=bucket.crashed,
        success_rate=round(bucket.success_rate, 2),
        mean_duration=bucket.mean_seconds,
        max_duration=longest,
        p50=p50,
        p95=p95,
        p99=p99,
        rows=bucket.rows,
        tokens=TokensView(bucket.tokens_input, bucket.tokens_output, bucket.tokens_input + bucket.tokens_output),
        cost=_cost(bucket),
    )


def _quantiles(bucket: Bucket) -> list[float | None]:
    """The quantiles; of few durations the longest is one, and that is known exactly. None is longer than it."""
    longest, timed = bucket.max_micros / 1e6, bucket.timed
    return [
        found if found is None else longest if share * timed > timed - 1 else min(found, longest)
        for share, found in zip(QUANTILES, quantiles(bucket, *QUANTILES), strict=True)
    ]


def _cost(bucket: Bucket) -> Decimal | None:
    """The sum; where it is nothing although there were tokens, nobody knew what they cost."""
    unknown = not bucket.cost_nano and (bucket.tokens_input or bucket.tokens_output)
    return None if unknown else dollars(bucket.cost_nano)
