"""What happened in a store since a change number, as events ready to be sent."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from typing import Annotated

from msgspec import Meta, Struct

from execlog.core.filter import Filter
from execlog.core.model import Execution, Key, Status
from execlog.history.listing import KeyView
from execlog.history.question import AnyOf, Id, Name, statuses
from execlog.history.view import to_json, view
from execlog.store.base import Change, Store

PAGE = 1_000
MOST_BEHIND = 10_000
"""Changes a reader may be behind; one that is further behind is told so, and goes on from now."""


class FeedQuestion(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Which changes; `last_event_id` is for clients that cannot send the header."""

    kind: Name | None = None
    namespace: Name | None = None
    id: Id | None = None
    subject: Name | None = None
    actor: Name | None = None
    status: AnyOf = ()
    last_event_id: Annotated[int, Meta(ge=0, le=2**63 - 1)] | None = None


class News(Struct, frozen=True):
    """One event: its number, its bytes (none for what is gone already), and what it is about; no key: for everybody."""

    number: int
    data: bytes
    key: Key | None = None
    execution: Execution | None = None


class Gap(Struct, frozen=True):
    """Changes that were not sent, from after one number up to another."""

    after: int
    upto: int


class Wanted(Struct, frozen=True):
    """What one client is told about; `limited_to` is the only actor it may know of."""

    question: FeedQuestion
    limited_to: str | None = None

    def takes(self, news: News) -> bool:
        """Whether this client is told."""
        if news.key is None:
            return True
        asked, key = self.question, news.key
        named = (
            asked.kind in {None, key.kind} and asked.namespace in {None, key.namespace} and asked.id in {None, key.id}
        )
        if news.execution is None:
            # Whose the deleted one was is not known any more.
            return named and self.limited_to is None
        return named and self._fits(news.execution)

    def _fits(self, execution: Execution) -> bool:
        asked = self.question
        return (
            (self.limited_to is None or execution.actor == self.limited_to)
            and asked.subject in {None, execution.subject}
            and asked.actor in {None, execution.actor}
            and (not asked.status or execution.status in statuses(asked.status))
        )


def newest(store: Store) -> int:
    """The store's last change number, 0 before the first."""
    last = store.changes(-1, limit=1)
    return last[-1].number if last else 0


def read(store: Store, after: int) -> list[News]:
    """What happened after a change number: an event for each execution of the next changes, ascending; [] for nothing.

    One `gap` instead, where more happened than a reader can take in.
    """
    changes = store.changes(after, limit=PAGE)
    if len(changes) == PAGE and (upto := newest(store)) - after > MOST_BEHIND:
        return [gap(after, upto)]
    last = {change.key: change for change in changes}
    executions = load(store, [change.key for change in last.values() if not change.deleted])
    ordered = sorted(last.values(), key=lambda change: change.number)
    return [_event(change, executions.get(change.key)) for change in ordered]


def gap(after: int, upto: int) -> News:
    """The event that stands for changes that are not sent."""
    return News(upto, _encode(upto, b"gap", Gap(after, upto)))


def _event(change: Change, execution: Execution | None) -> News:
    if change.deleted:
        return News(change.number, _encode(change.number, b"deleted", KeyView(*change.key)), change.key)
    if execution is None:
        return News(change.number, b"", change.key)
    return News(change.number, _encode(change.number, b"execution", view(execution)), change.key, execution)


def _encode(number: int, name: bytes, data: object) -> bytes:
    return b"id: %d\nevent: %s\ndata: %s\n\n" % (number, name, to_json(data))


def load(store: Store, keys: Sequence[Key], statuses: tuple[Status, ...] = ()) -> dict[Key, Execution]:
    """The executions that are there of these, at most `PAGE`, without their parts; of any status for none."""
    by_family: defaultdict[tuple[str, str], list[str]] = defaultdict(list)
    for key in keys:
        by_family[key.kind, key.namespace].append(key.id)
    found: dict[Key, Execution] = {}
    for (kind, namespace), ids in by_family.items():
        page = store.find(Filter(kind=kind, namespace=namespace, ids=tuple(ids), statuses=statuses), limit=PAGE)
        found.update((execution.key, execution) for execution in page.entries)
    return found
