"""Answers over executions in hand: for stores that have no query language, and for the one that judges the others."""

from __future__ import annotations

import itertools
from collections.abc import Iterable

from execlog.core.model import TERMINAL, Execution
from execlog.core.rollup import DAY, HOUR, MINUTE, Bucket, Sketch, tally
from execlog.store.base import SUMMARY, FailureGroup, Group, GroupBy
from execlog.store.matching import trim
from execlog.store.preparing import FAILURES, failure_of, unexplained

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
    """The newest of each (kind, namespace, subject), newest first."""
    newest: dict[tuple[str, str, str], Execution] = {}
    for execution in newest_first:
        if execution.subject:
            newest.setdefault((execution.kind, execution.namespace, execution.subject), execution)
    return [trim(execution, SUMMARY) for execution in itertools.islice(newest.values(), limit)]


def failures_of(newest_first: Iterable[Execution], limit: int) -> list[FailureGroup]:
    """Those that failed, grouped by error fingerprint, the latest group first."""
    groups: dict[str, list[Execution]] = {}
    for execution in newest_first:
        error = failure_of(execution)
        if execution.status in FAILURES and error is not None:
            groups.setdefault(error.fingerprint or "", []).append(execution)
    return [_failure_group(group) for group in itertools.islice(groups.values(), limit)]


def _group(execution: Execution, group_by: GroupBy | None) -> str | int | None:
    if group_by is None:
        return None
    if group_by in SPANS:
        return execution.created_at - execution.created_at % (SPANS[group_by] * 1_000_000)
    return getattr(execution, group_by)


def _failure_group(executions: list[Execution]) -> FailureGroup:
    last, first = executions[0], executions[-1]
    error = failure_of(last) or unexplained(last.status)
    return FailureGroup(
        fingerprint=error.fingerprint or "",
        type=error.type,
        message=error.message,
        count=len(executions),
        first_at=first.created_at,
        last_at=last.created_at,
        last=last.key,
        subjects=tuple(sorted({execution.subject for execution in executions if execution.subject})),
    )
