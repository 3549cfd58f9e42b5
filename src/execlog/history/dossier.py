"""Everything known about one execution: itself, its attempts, and what ran inside it."""

from __future__ import annotations

from execlog.core.errors import NotFoundError
from execlog.core.filter import Filter
from execlog.core.model import Execution
from execlog.history.view import ExecutionView, view
from execlog.store.base import WHOLE, Store

MOST_RELATED = 100
MOST_ITEMS = 1_000
MOST_LOGS = 1_000


class Dossier(ExecutionView, frozen=True, kw_only=True):
    """One execution, whole.

    attempts    the chain of retries it belongs to, oldest first, itself included; empty when it was never retried
    children    what ran inside it, newest first
    truncated   which of items, logs, attempts and children are not all here
    """

    attempts: tuple[ExecutionView, ...] = ()
    children: tuple[ExecutionView, ...] = ()
    truncated: tuple[str, ...] = ()


def get(
    store: Store, id_: str, *, kind: str | None = None, namespace: str | None = None, actor: str | None = None
) -> Execution:
    """The whole execution; raises NotFoundError where there is none, or none of this actor."""
    execution = store.get(id_, kind=kind, namespace=namespace)
    if execution is None or (actor is not None and execution.actor != actor):
        raise NotFoundError(f"no execution {id_!r}")
    return execution


def dossier(store: Store, execution: Execution, *, actor: str | None = None) -> Dossier:
    """The dossier of a whole execution: at most 1,000 items, the last 1,000 log lines, 100 attempts and children."""
    attempts, more_attempts = _attempts(store, execution, actor)
    children = store.find(Filter(parent_id=execution.id, actor=actor), limit=MOST_RELATED)
    more = {
        "items": len(execution.items) > MOST_ITEMS,
        "logs": len(execution.logs) > MOST_LOGS,
        "attempts": more_attempts,
        "children": children.next_cursor is not None,
    }
    whole = view(execution, frozenset[str](WHOLE))
    fields = {name: getattr(whole, name) for name in whole.__struct_fields__}
    fields["items"] = fields["items"][:MOST_ITEMS]
    fields["logs"] = fields["logs"][-MOST_LOGS:]
    return Dossier(
        **fields,
        attempts=tuple(map(view, attempts)),
        children=tuple(map(view, children.entries)),
        truncated=tuple(name for name, missing in more.items() if missing),
    )


def _attempts(store: Store, execution: Execution, actor: str | None) -> tuple[list[Execution], bool]:
    """The chain of retries around an execution, oldest first, and whether it is longer than this."""
    root = execution.root_id or execution.id
    retries = store.find(
        Filter(kind=execution.kind, namespace=execution.namespace, root_id=root, actor=actor),
        limit=MOST_RELATED,
    )
    if not retries.entries:
        return [], False
    chain = {attempt.key: attempt for attempt in retries.entries}
    first = store.get(root, kind=execution.kind, namespace=execution.namespace)
    if first is not None and (actor is None or first.actor == actor):
        chain[first.key] = first
    chain[execution.key] = execution
    if len(chain) == 1:
        return [], False
    return sorted(chain.values(), key=lambda attempt: (attempt.created_at, attempt.id)), retries.next_cursor is not None
