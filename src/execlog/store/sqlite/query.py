"""A `Filter` as SQL: the conditions, and the index that serves them.

The index is named in the statement (`indexed by`), not left to the planner: without statistics it guesses, and with
them its choice would change as the tables grow.
"""

from __future__ import annotations

from typing import Any

import msgspec
from msgspec import Struct

from execlog.core.filter import Filter
from execlog.core.model import OPEN, UNSUCCESSFUL, Status
from execlog.store.matching import fold_case, start_after
from execlog.store.sql import queries

_SQL = queries("sqlite", "filter")
SHORTEST_INDEXED_TEXT = 3
_PLAIN = (
    "kind", "namespace", "actor", "engine", "name", "subject", "parent_id", "root_id", "retry_of", "origin",
    "fingerprint", "min_duration", "max_duration", "min_cost_nano", "max_cost_nano", "min_tokens", "max_tokens",
    "id_prefix", "since", "until",
)  # fmt: skip
_BY_KEY = ("parent_id", "root_id", "retry_of", "fingerprint")
_INDEX_OF_KEY = {"parent_id": "parent", "root_id": "root", "retry_of": "retry", "fingerprint": "fingerprint"}
Places = tuple[tuple[str, str | None], ...]
Bindings = dict[str, Any]


class Question(Struct, kw_only=True):
    """A filter as SQL.

    source      what follows `from`: executions by one of their indexes, or a table that leads to them in order
    driver      that table: "executions", "items" or "texts"
    conditions  joined by `and`
    """

    source: str
    driver: str
    conditions: list[str]
    bindings: Bindings

    @property
    def where(self) -> str:
        """The condition, never empty."""
        return "\nand ".join(self.conditions) or "true"


def ask(filter: Filter, *, places: Places = (), index: str = "") -> Question:
    """The question a filter asks. `places` are the (kind, namespace) its subject is in, where it leaves them open.

    The source yields executions in the order of time where the filter asks for that order (texts: nearly so), unless
    the caller names the index.
    """
    index = index or _index(filter)
    driver = index if index in {"items", "texts"} else "executions"
    source = _SQL["from_executions"].format(index=index) if driver == "executions" else _SQL[f"from_{driver}"]
    question = Question(source=source, driver=driver, conditions=[], bindings={})
    _add_plain(filter, question)
    _add_statuses(filter, question)
    _add_sets(filter, question, places)
    _add_items(filter, question)
    _add_text(filter, question)
    if index == "executions_namespace":
        question.conditions.append(_SQL["some_namespace"])
    return question


def order(filter: Filter, question: Question) -> str:
    """What follows `order by` in a list."""
    in_time = filter.sort in {"newest", "oldest"}
    return _SQL[f"order_{filter.sort}_unit" if in_time and question.driver == "items" else f"order_{filter.sort}"]


def continue_after(filter: Filter, question: Question, cursor: str | None) -> None:
    """Narrow the question to what follows a cursor. Raises CursorError."""
    if cursor is None:
        return
    value, at, id_, kind, namespace = start_after(filter, cursor)
    question.conditions.append(_SQL[f"after_{filter.sort}"])
    question.bindings |= {"after_at": at, "after_id": id_, "after_kind": kind, "after_namespace": namespace}
    if filter.sort not in {"newest", "oldest"}:
        question.bindings["after_value"] = value
    elif question.driver == "items":
        question.conditions.append(_SQL[f"after_{filter.sort}_unit"])


def is_in(statuses: tuple[Status, ...], some: frozenset[Status]) -> bool:
    """Whether statuses are asked for, and all are of these."""
    return bool(statuses) and some.issuperset(statuses)


def _index(filter: Filter) -> str:
    """The index that leaves the least to look at; "items" and "texts" where another table leads."""
    if filter.ids or filter.id_prefix is not None:
        return "executions_identity"
    for name in _BY_KEY:
        if getattr(filter, name) is not None:
            return f"executions_{_INDEX_OF_KEY[name]}"
    if is_in(filter.statuses, OPEN):
        return "executions_open"
    if filter.text and len(filter.text) >= SHORTEST_INDEXED_TEXT:
        return "texts"
    return _index_of_people(filter)


def _index_of_people(filter: Filter) -> str:
    unsuccessful = is_in(filter.statuses, UNSUCCESSFUL)
    if filter.subject is not None:
        return "executions_unsuccessful_subject" if unsuccessful else "executions_subject"
    if filter.actor is not None:
        return "executions_actor"
    if filter.item is not None:
        return "items"
    if unsuccessful:
        return "executions_unsuccessful"
    if filter.kind is None:
        return "executions_time"
    return "executions_namespace" if filter.namespace else "executions_kind"


def _add_plain(filter: Filter, question: Question) -> None:
    for name in _PLAIN:
        value = getattr(filter, name)
        if value is None:
            continue
        question.conditions.append(_SQL[name])
        question.bindings[name] = value
        if question.driver == "items" and name in {"since", "until"}:
            question.conditions.append(_SQL[f"{name}_unit"])


def _add_statuses(filter: Filter, question: Question) -> None:
    if not filter.statuses:
        return
    question.conditions.append(_SQL["statuses"])
    question.bindings["statuses"] = filter.statuses
    # A partial index is used only where its own condition is written out.
    if is_in(filter.statuses, UNSUCCESSFUL):
        question.conditions.append(_SQL["unsuccessful"])
    elif is_in(filter.statuses, OPEN):
        question.conditions.append(_SQL["open"])


def _add_sets(filter: Filter, question: Question, places: Places) -> None:
    if filter.ids:
        question.conditions.append(_SQL["ids"])
        question.bindings["ids"] = filter.ids
    if filter.tags:
        question.conditions.append(_SQL["tags"])
        question.bindings["tags"] = filter.tags
    if places:
        question.conditions.append(_SQL["places"])
        question.bindings["places"] = places


def _add_items(filter: Filter, question: Question) -> None:
    if filter.item is None and filter.item_status is None:
        return
    if filter.item is None:
        name = "item_status"
    else:
        name = "unit" if question.driver == "items" else "item"
        name += "_in_status" if filter.item_status is not None else ""
        question.bindings["item"] = filter.item
    if filter.item_status is not None:
        question.bindings["item_status"] = filter.item_status.value
    question.conditions.append(_SQL[name])


def _add_text(filter: Filter, question: Question) -> None:
    if not filter.text:
        return
    if len(filter.text) < SHORTEST_INDEXED_TEXT:
        question.conditions.append(_SQL["short_text"])
        question.bindings["text"] = fold_case(filter.text)
        return
    question.conditions.append(_SQL["match" if question.driver == "texts" else "text"])
    question.bindings["text"] = phrase(filter.text)


def phrase(text: str) -> str:
    """The text as an FTS5 query: one phrase, whatever is in it."""
    return '"' + text.replace('"', '""') + '"'


def placed(filter: Filter, places: Places) -> tuple[Filter, Places]:
    """The filter with kind and namespace filled in where its subject is in one place; else the places remain."""
    if len(places) != 1:
        return filter, places
    kind, namespace = places[0]
    return msgspec.structs.replace(filter, kind=kind, namespace=namespace), ()


def same_but(filter: Filter, **changes: Any) -> Filter:
    """The filter with some fields changed."""
    return msgspec.structs.replace(filter, **changes)
