"""Answers over executions in hand: for stores that have no query language, and for the one that judges the others."""

from __future__ import annotations

import itertools
from collections.abc import Iterable

from msgspec import Struct, field

from execlog.core.model import TERMINAL, Error, Execution, Key
from execlog.core.rollup import DAY, HOUR, MINUTE, Bucket, Sketch, tally
from execlog.store.base import SUMMARY, FailureGroup, Group, GroupBy
from execlog.store.matching import trim
from execlog.store.preparing import FAILURES, failure_of

SPANS = {"minute": MINUTE, "hour": HOUR, "day": DAY}


def stats_of(executions: Iterable[Execution], group_by: GroupBy | None) -> list[Group]:
    """Sums over the terminal ones, in one group or several."""
    tallies: dict[str | int | None, tuple[Bucket, Sketch]] = {} if group_by else {None: (Bucket(), Sketch())}
    for execution in executions:
        group = _group(execution, group_by)
        if execution.status in TERMINAL and (group_by is None or group not in {None, ""}):
            tally(*tallies.setdefault(group, (Bucket(), Sketch())), execution)
    for bucket, sketch in tallies.values():
        bucket.sketch = sketch.encode()
    return [Group(group, tallies[group][0]) for group in sorted(tallies, key=lambda key: (key is not None, key))]


def latest_of(newest_first: Iterable[Execution], limit: int) -> list[Execution]:
    """The newest of each (kind, namespace, subject), newest first; no more are looked at than that takes."""
    newest: dict[tuple[str, str, str], Execution] = {}
    for execution in newest_first if limit > 0 else ():
        place = (execution.kind, execution.namespace, execution.subject or "")
        if execution.subject and place not in newest:
            newest[place] = trim(execution, SUMMARY)
            if len(newest) == limit:
                break
    return list(newest.values())


def failures_of(newest_first: Iterable[Execution], limit: int) -> list[FailureGroup]:
    """Those that failed, grouped by error fingerprint, the latest group first."""
    groups: dict[str, _Failures] = {}
    for execution in newest_first:
        error = failure_of(execution) if execution.status in FAILURES else None
        if error is not None:
            group = groups.setdefault(error.fingerprint or "", _Failures(error, execution.key, execution.created_at))
            group.count, group.first_at = group.count + 1, execution.created_at
            group.subjects |= {execution.subject} if execution.subject else set()
    return [
        FailureGroup(
            fingerprint=fingerprint,
            type=group.error.type,
            message=group.error.message,
            count=group.count,
            first_at=group.first_at,
            last_at=group.last_at,
            last=group.last,
            subjects=tuple(sorted(group.subjects)),
        )
        for fingerprint, group in itertools.islice(groups.items(), limit)
    ]


class _Failures(Struct):
    """A group of failures while it is counted, from the last one on."""

    error: Error
    last: Key
    last_at: int
    first_at: int = 0
    count: int = 0
    subjects: set[str] = field(default_factory=set[str])


def _group(execution: Execution, group_by: GroupBy | None) -> str | int | None:
    if group_by is None:
        return None
    if group_by in SPANS:
        return execution.created_at - execution.created_at % (SPANS[group_by] * 1_000_000)
    return getattr(execution, group_by)
