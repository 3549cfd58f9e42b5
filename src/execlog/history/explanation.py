"""Why an execution did not succeed, out of what else is known: its last success, what changed since, others like it."""

from __future__ import annotations

from datetime import datetime

from msgspec import Struct
from msgspec.structs import replace

from execlog.core.errors import NotFoundError
from execlog.core.filter import Filter
from execlog.core.model import TERMINAL, Execution, Item, Status
from execlog.core.rollup import DAY
from execlog.history.comparison import Difference, differences
from execlog.history.view import ErrorView, ExecutionView, time, view, view_error
from execlog.store.base import DETAIL, Part, Store
from execlog.store.preparing import FAILURES, failure_of

DAYS = 30
LOOK_BACK = 20
MOST_ITEMS = 100
MOST_DIFFERENCES = 50
_ITEMS: frozenset[Part] = frozenset({"items"})


class Occurrences(Struct, frozen=True, kw_only=True):
    """How often the same error came in the last 30 days, and where."""

    count: int
    first_at: datetime | None
    last_at: datetime | None
    subjects: tuple[str, ...]


class ItemTrouble(Struct, frozen=True, kw_only=True):
    """A failed item: of the executions before (at most 20) that had it, how many it failed in."""

    key: str
    error: ErrorView | None
    failed_before: int
    seen_before: int


class Explanation(Struct, frozen=True, kw_only=True):
    """What is known about why an execution did not succeed.

    error           its own, or its first failed item's; null for one that succeeded
    occurrences     the same error elsewhere; null where there is none to look for
    last_success    of the same subject, before it
    failures_since  how many of the same subject failed after that one and before this one
    changed         what differs from the last success: params, context, metadata, tags
    items           its failed items
    summary         the same in plain words
    """

    error: ErrorView | None
    occurrences: Occurrences | None
    last_success: ExecutionView | None
    failures_since: int
    changed: tuple[Difference, ...]
    items: tuple[ItemTrouble, ...]
    summary: tuple[str, ...]


def explain(store: Store, execution: Execution, *, now: int, actor: str | None = None) -> Explanation:
    """The explanation of a whole execution; `actor` limits what it looks at to that actor's."""
    error = failure_of(execution)
    kin = Filter(kind=execution.kind, namespace=execution.namespace, subject=execution.subject, actor=actor)
    success = _last_success(store, kin, execution) if execution.subject else None
    found = Explanation(
        error=view_error(error),
        occurrences=_occurrences(store, error.fingerprint, now, actor) if error and error.fingerprint else None,
        last_success=view(success) if success else None,
        failures_since=_failures_since(store, kin, success, execution),
        changed=tuple(differences(success, execution)[:MOST_DIFFERENCES]) if success else (),
        items=_troubles(store, kin, execution) if execution.subject else (),
        summary=(),
    )
    return replace(found, summary=tuple(_in_words(execution, found)))


def last_success(store: Store, execution: Execution) -> Execution:
    """The whole last success of the same subject before it. Raises NotFoundError where there was none."""
    kin = Filter(kind=execution.kind, namespace=execution.namespace, subject=execution.subject)
    found = _last_success(store, kin, execution) if execution.subject else None
    whole = store.get(found.id, kind=found.kind, namespace=found.namespace) if found else None
    if whole is None:
        raise NotFoundError(f"{execution.subject or execution.id} has not succeeded before that; name the other one")
    return whole


def _last_success(store: Store, kin: Filter, execution: Execution) -> Execution | None:
    asked = replace(kin, statuses=(Status.SUCCEEDED,), until=execution.created_at)
    found = store.find(asked, limit=1, parts=DETAIL).entries
    return found[0] if found else None


def _failures_since(store: Store, kin: Filter, success: Execution | None, execution: Execution) -> int:
    if success is None:
        return 0
    asked = replace(kin, statuses=tuple(FAILURES), since=success.created_at, until=execution.created_at)
    return store.count(asked)


def _occurrences(store: Store, fingerprint: str, now: int, actor: str | None) -> Occurrences | None:
    asked = Filter(fingerprint=fingerprint, since=now - DAYS * DAY * 1_000_000, actor=actor)
    groups = store.failures(asked, limit=1)
    if not groups:
        return None
    group = groups[0]
    return Occurrences(
        count=group.count, first_at=time(group.first_at), last_at=time(group.last_at), subjects=group.subjects
    )


def _troubles(store: Store, kin: Filter, execution: Execution) -> tuple[ItemTrouble, ...]:
    failed = [item for item in execution.items if _failed(item)][:MOST_ITEMS]
    if not failed:
        return ()
    asked = replace(kin, statuses=tuple(TERMINAL), until=execution.created_at)
    before = store.find(asked, limit=LOOK_BACK, parts=_ITEMS).entries
    outcomes: dict[str, list[bool]] = {}
    for earlier in before:
        for item in earlier.items:
            outcomes.setdefault(item.key, []).append(_failed(item))
    return tuple(
        ItemTrouble(
            key=item.key,
            error=view_error(item.error),
            failed_before=sum(outcomes.get(item.key, ())),
            seen_before=len(outcomes.get(item.key, ())),
        )
        for item in failed
    )


def _in_one(error: ErrorView) -> str:
    return error.message if error.message == error.type else f"{error.type}: {error.message}"


def _failed(item: Item) -> bool:
    return item.status in TERMINAL and item.status is not Status.SUCCEEDED


def _in_words(execution: Execution, found: Explanation) -> list[str]:
    """The explanation in plain sentences, the most telling first."""
    if found.error is None:
        return []
    said = [_in_one(found.error) if execution.error else _of_items(execution, found)]
    if found.occurrences is not None and found.occurrences.count > 1:
        others = found.occurrences.count - 1
        said.append(f"The same error came {others} more {_times(others)} in the last {DAYS} days.")
    elif found.occurrences is not None:
        said.append(f"This error came for the first time in {DAYS} days.")
    if found.last_success is not None:
        said.append(_since(found))
    elif execution.subject:
        said.append(f"{execution.subject} has not succeeded before, as far as is known.")
    if found.changed:
        names = ", ".join(difference.path for difference in found.changed[:5])
        more = len(found.changed) - 5
        said.append(f"Changed since it last succeeded: {names}{f' and {more} more' if more > 0 else ''}.")
    return said


def _of_items(execution: Execution, found: Explanation) -> str:
    """The sentence about failed items: which always fail, which fail for the first time."""
    failed, total = execution.counts.failed, execution.counts.total
    always = [one.key for one in found.items if one.seen_before and one.failed_before == one.seen_before]
    new = [one.key for one in found.items if one.seen_before and not one.failed_before]
    text = f"{failed:,} of {total:,} items failed"
    if always:
        text += f"; {', '.join(always[:5])} failed every time before"
    if new:
        text += f"; {', '.join(new[:5])} for the first time"
    return f"{text}."


def _since(found: Explanation) -> str:
    if not found.failures_since:
        return "The one before it succeeded."
    return f"{found.failures_since} failed before it since the last success."


def _times(number: int) -> str:
    return "time" if number == 1 else "times"
