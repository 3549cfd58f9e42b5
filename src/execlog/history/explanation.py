"""Why an execution did not go well, out of what else is known: its last success, what changed since, others like it."""

from __future__ import annotations

from msgspec.structs import replace

from execlog.core.filter import Filter
from execlog.core.model import UNSUCCESSFUL, Error, Execution, Status
from execlog.core.rollup import DAY
from execlog.history.changes import changes
from execlog.history.findings import Explanation, Inside, ItemTrouble, Occurrences
from execlog.history.kin import LOOK_BACK, Kin, is_failed, kin_of, question
from execlog.history.sentences import DAYS, in_words
from execlog.history.usual import same_time, unusual
from execlog.history.view import ErrorView, ExecutionView, time, view, view_error
from execlog.store.base import Store
from execlog.store.preparing import FAILURES, failure_of

MOST_ITEMS = 100
MOST_DIFFERENCES = 50


def explain(store: Store, execution: Execution, *, now: int, actor: str | None = None) -> Explanation:
    """The explanation of a whole execution; `actor` limits what it looks at to that actor's.

    For one that succeeded: what in it is out of the usual. Reads a bounded number of executions.
    """
    error = failure_of(execution)
    bad = execution.status in UNSUCCESSFUL
    kin = kin_of(store, execution, actor=actor)
    since, first = _failing_since(store, kin, execution, actor) if bad else (0, None)
    found = Explanation(
        error=view_error(error),
        occurrences=_occurrences(store, execution, error, now, actor),
        last_success=_shown(kin.last_success),
        recovered=_shown(_recovered(store, execution, actor)) if bad else None,
        failures_since=since,
        failing_since=time(first),
        compared_with=_shown(kin.good[0] if kin.good else None),
        failures=1 + len(kin.alike) if bad else 0,
        successes=len(kin.good),
        changed=tuple(changes(execution, kin.good, kin.streak if bad else (), kin.alike)[:MOST_DIFFERENCES]),
        unusual=tuple(unusual(execution, kin.good)),
        items=_troubles(execution, kin),
        inside=_inside(store, execution, actor) if bad else None,
        summary=(),
    )
    when = same_time(execution, kin.alike, kin.good) if bad else None
    return replace(found, summary=tuple(in_words(execution, found, kin, when)), items=found.items[:MOST_ITEMS])


def _shown(execution: Execution | None) -> ExecutionView | None:
    return view(execution) if execution else None


def _failing_since(store: Store, kin: Kin, execution: Execution, actor: str | None) -> tuple[int, int | None]:
    """How many failed between the last success and it, and when the first of them all was created."""
    success = kin.last_success
    if success is None:
        return 0, None
    since = [one for one in kin.failed if one.created_at >= success.created_at]
    if len(since) < LOOK_BACK:
        return len(since), (since[-1] if since else execution).created_at
    asked = replace(
        question(execution, actor=actor),
        statuses=tuple(FAILURES),
        since=success.created_at,
        until=execution.created_at,
        sort="oldest",
    )
    return store.count(asked), store.find(asked, limit=1).entries[0].created_at


def _recovered(store: Store, execution: Execution, actor: str | None) -> Execution | None:
    if not execution.subject:
        return None
    asked = replace(
        question(execution, actor=actor),
        statuses=(Status.SUCCEEDED,),
        since=execution.created_at + 1,
        sort="oldest",
    )
    found = store.find(asked, limit=1).entries
    return found[0] if found else None


def _occurrences(
    store: Store, execution: Execution, error: Error | None, now: int, actor: str | None
) -> Occurrences | None:
    since = now - DAYS * DAY * 1_000_000
    if error is None or not error.fingerprint or execution.created_at < since:
        return None
    groups = store.failures(Filter(fingerprint=error.fingerprint, since=since, actor=actor), limit=1)
    if not groups:
        return None
    group = groups[0]
    return Occurrences(
        count=group.count, first_at=time(group.first_at), last_at=time(group.last_at), subjects=group.subjects
    )


def _troubles(execution: Execution, kin: Kin) -> tuple[ItemTrouble, ...]:
    """Its failed items: those that are new to failing first."""
    failed = [item for item in execution.items if is_failed(item)] if execution.subject else []
    troubles = [_trouble(item.key, view_error(item.error), kin.items.get(item.key, ())) for item in failed]
    return tuple(sorted(troubles, key=lambda one: one.failed_before / max(one.seen_before, 1)))


def _trouble(key: str, error: ErrorView | None, past: tuple[bool, ...]) -> ItemTrouble:
    in_a_row = past.index(False) if False in past else len(past)
    return ItemTrouble(key=key, error=error, failed_before=sum(past), seen_before=len(past), in_a_row=in_a_row)


def _inside(store: Store, execution: Execution, actor: str | None) -> Inside | None:
    """The executions inside it that failed. An execution's id may be another's of another kind: then these are, too."""
    asked = Filter(parent_id=execution.id, statuses=tuple(FAILURES), actor=actor, sort="oldest")
    found = store.find(asked, limit=1).entries
    return Inside(store.count(asked), view(found[0])) if found else None
