"""A `Filter` as SQL: the conditions, and what they are about."""

from __future__ import annotations

from typing import Any

from msgspec import Struct

from execlog.core.codec import to_json
from execlog.core.filter import Filter
from execlog.core.model import OPEN, UNSUCCESSFUL
from execlog.store.matching import fold_case, start_after
from execlog.store.sql import queries
from execlog.store.sqlite.query import Bindings, Places, is_in

_SQL = queries("postgres", "filter")
_PLAIN = (
    "kind", "namespace", "actor", "engine", "name", "subject", "parent_id", "root_id", "retry_of", "origin",
    "fingerprint", "min_duration", "max_duration", "min_cost_nano", "max_cost_nano", "min_tokens", "max_tokens",
    "id_prefix", "since", "until",
)  # fmt: skip
_IN_TIME = frozenset(_SQL[name] for name in ("since", "until", "after_newest", "after_oldest"))
_NARROW = ("ids", "id_prefix", "parent_id", "root_id", "retry_of", "fingerprint", "subject", "actor")


class Question(Struct, kw_only=True):
    """A filter as SQL.

    by_item     items lead to executions, in the order of time
    searched    the search comes before the order
    conditions  joined by `and`
    """

    by_item: bool
    searched: bool
    conditions: list[str]
    bindings: Bindings

    @property
    def source(self) -> str:
        """What follows `from`."""
        return _SQL["from_items" if self.by_item else "from_executions"]

    @property
    def where(self) -> str:
        """The condition, never empty."""
        return "\nand ".join(self.conditions) or "true"

    @property
    def window(self) -> str:
        """What of the condition is about the order of time, never empty."""
        return "\nand ".join(one for one in self.conditions if one in _IN_TIME) or "true"


def ask(filter: Filter, *, places: Places = (), by_item: bool = True) -> Question:
    """The question a filter asks. `places` are the (kind, namespace) its subject is in, where it leaves them open.

    Without `by_item` its source is executions alone.
    """
    by_item = by_item and filter.item is not None and all(not getattr(filter, name) for name in _NARROW)
    question = Question(by_item=by_item, searched=bool(filter.text), conditions=[], bindings={})
    for name in _PLAIN:
        value = getattr(filter, name)
        if value is not None:
            _add(question, name, value)
            if by_item and name in {"since", "until"}:
                _add(question, f"{name}_unit")
    _add_statuses(filter, question)
    if filter.ids:
        _add(question, "ids", list(filter.ids))
    if filter.tags:
        _add(question, "tags", to_json(filter.tags).decode())
    if filter.text:
        _add(question, "text", f"%{_escaped(fold_case(filter.text))}%")
    if places:
        _add(question, "places")
        question.bindings["place_kinds"] = [kind for kind, _ in places]
        question.bindings["place_namespaces"] = [namespace for _, namespace in places]
    _add_items(filter, question)
    return question


def order(filter: Filter) -> str:
    """What follows `order by` in a list."""
    return _SQL[f"order_{filter.sort}"]


def continue_after(filter: Filter, question: Question, cursor: str | None) -> None:
    """Narrow the question to what follows a cursor. Raises CursorError."""
    if cursor is None:
        return
    value, at, id_, kind, namespace = start_after(filter, cursor)
    question.conditions.append(_SQL[f"after_{filter.sort}"])
    question.bindings |= {"after_at": at, "after_id": id_, "after_kind": kind, "after_namespace": namespace}
    if filter.sort not in {"newest", "oldest"}:
        question.bindings["after_value"] = value


def _add(question: Question, name: str, value: Any = None) -> None:
    question.conditions.append(_SQL[name])
    if value is not None:
        question.bindings[name] = value


def _add_statuses(filter: Filter, question: Question) -> None:
    if not filter.statuses:
        return
    _add(question, "statuses", [status.value for status in filter.statuses])
    # A partial index is used only where its own condition is written out.
    if is_in(filter.statuses, UNSUCCESSFUL):
        _add(question, "unsuccessful")
    elif is_in(filter.statuses, OPEN):
        _add(question, "open")
    if filter.subject is not None:
        question.conditions.append("executions.subject is not null")


def _add_items(filter: Filter, question: Question) -> None:
    if filter.item is None and filter.item_status is None:
        return
    if filter.item is None:
        name = "item_status"
    else:
        name = "unit" if question.by_item else "item"
        name += "_in_status" if filter.item_status is not None else ""
        question.bindings["item"] = filter.item
    if filter.item_status is not None:
        question.bindings["item_status"] = filter.item_status.value
    question.conditions.append(_SQL[name])


def _escaped(text: str) -> str:
    """The text as it stands in a `like` pattern."""
    return text.replace("\\", "\\\\").replace("%", "\\%").replace("_", "\\_")
