"""Lists of executions over a store: a page, the latest of each subject, failures by what they have in common."""

from __future__ import annotations

from collections.abc import Collection
from datetime import datetime
from typing import cast

from msgspec import Struct
from msgspec.structs import replace

from execlog.core.errors import InvalidError
from execlog.core.filter import Filter, Page
from execlog.core.model import Execution, Status
from execlog.history.question import Question, as_filter
from execlog.history.view import ExecutionView, time, view
from execlog.store.base import FailureGroup, Part, Store

HEAVY_LIMIT = 100
"""Most executions of a page that carries their details or log lines."""
NAMED_WITHIN = 30 * 86_400_000_000
"""How far back a name is looked for, in µs."""


class ExecutionList(Struct, frozen=True, kw_only=True):
    """A page of executions; `total` only where it was asked for."""

    executions: tuple[ExecutionView, ...]
    next_cursor: str | None = None
    total: int | None = None


class KeyView(Struct, frozen=True):
    """The identity of an execution."""

    kind: str
    namespace: str
    id: str


class FailureView(Struct, frozen=True, kw_only=True):
    """Executions that ended badly for the same reason."""

    fingerprint: str
    type: str
    message: str
    count: int
    first_at: datetime | None
    last_at: datetime | None
    last: KeyView
    subjects: tuple[str, ...]


class FailureList(Struct, frozen=True):
    """Failures by what they have in common, the latest first."""

    failures: tuple[FailureView, ...]


def find(store: Store, question: Question, *, now: int, actor: str | None = None) -> Page[Execution]:
    """The page of executions a question asks for; raises InvalidError."""
    heavy = bool({"detail", "logs"} & set(question.include))
    if heavy and question.limit > HEAVY_LIMIT:
        raise InvalidError(f"with detail or logs included, limit is at most {HEAVY_LIMIT}", field="limit")
    return store.find(
        as_filter(question, now=now, actor=actor),
        limit=question.limit,
        cursor=question.cursor,
        offset=question.offset,
        parts=cast("Collection[Part]", frozenset(question.include)),
    )


def list_executions(store: Store, question: Question, *, now: int, actor: str | None = None) -> ExecutionList:
    """The page of executions a question asks for, as it is shown; raises InvalidError."""
    page = find(store, question, now=now, actor=actor)
    parts = frozenset[str](question.include)
    total = store.count(as_filter(question, now=now, actor=actor)) if question.count else None
    views = tuple(view(execution, parts) for execution in page.entries)
    return ExecutionList(executions=views, next_cursor=page.next_cursor, total=total)


def latest(store: Store, filter_: Filter, *, limit: int, now: int) -> list[Execution]:
    """The newest execution of each (kind, namespace, subject), newest first.

    Where nothing has the subject asked for, the newest one under this name: a name has no index, so not of ever.
    """
    found = store.latest(filter_, limit=limit)
    if found or filter_.subject is None:
        return found
    named = replace(filter_, subject=None, name=filter_.subject, since=now - NAMED_WITHIN)
    return list(store.find(named, limit=1).entries)


def newest_with(store: Store, statuses: Collection[Status], one: Execution) -> Execution:
    """The newest of what this is one of that has such a status: `one` is the newest of all, and itself where none has.

    What waits says nothing yet of how it goes, nor what runs how it went.
    """
    if one.status in statuses or not one.subject:
        return one
    asked = Filter(kind=one.kind, namespace=one.namespace, subject=one.subject, statuses=tuple(statuses))
    return next(iter(store.find(asked, limit=1).entries), one)


def list_latest(store: Store, filter_: Filter, *, limit: int, now: int) -> ExecutionList:
    """What `latest` finds, as it is shown."""
    return ExecutionList(executions=tuple(map(view, latest(store, filter_, limit=limit, now=now))))


def list_failures(store: Store, filter_: Filter, *, limit: int) -> FailureList:
    """Executions that ended badly, grouped by the fingerprint of their error, the latest group first."""
    return FailureList(tuple(map(view_failure, store.failures(filter_, limit=limit))))


def view_failure(group: FailureGroup) -> FailureView:
    """A group of failures as it is shown."""
    return FailureView(
        fingerprint=group.fingerprint,
        type=group.type,
        message=group.message,
        count=group.count,
        first_at=time(group.first_at),
        last_at=time(group.last_at),
        last=KeyView(*group.last),
        subjects=group.subjects,
    )
