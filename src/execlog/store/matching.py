"""What a `Filter` means, said once in Python: which executions it lets through, in which order, and what a page is.

Stores that have a query language translate the filter instead; the agreement tests hold them to this meaning.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from typing import Any, cast

import msgspec

from execlog.core.errors import InvalidError
from execlog.core.filter import MAX_LIMIT, Filter, Page, Position, decode_cursor, encode_cursor
from execlog.core.model import Error, Event, Execution, Item
from execlog.store.base import Part
from execlog.store.preparing import failure_of, is_failed

SEARCHED: Mapping[str, tuple[str, ...]] = {"workflow": ("input", "output")}
"""By kind: the fields (`input`, `output`, …) whose text is searched besides errors, its own and its items'."""

ITEMS_SEARCHED = 100
ITEMS_TEXT = 10_000
"""How much of the errors of items is searched: those of the first failed items, and so many characters of them."""

MAX_OFFSET = 1_000_000
UNKNOWN = float("-inf")
"""Where an unknown duration or cost stands: after every known one."""

_DETAIL = ("input", "output", "params", "metadata", "context")
_Key = tuple[float, int, str, str, str]
_EQUAL = ("kind", "namespace", "subject", "actor", "engine", "name", "parent_id", "root_id", "retry_of", "origin")


def matches(filter: Filter, execution: Execution, searched: Mapping[str, tuple[str, ...]] = SEARCHED) -> bool:
    """Whether the filter lets this execution (with its items) through."""
    for name in _EQUAL:
        wanted = getattr(filter, name)
        if wanted is not None and wanted != getattr(execution, name):
            return False
    if filter.statuses and execution.status not in filter.statuses:
        return False
    if filter.ids and execution.id not in filter.ids:
        return False
    if filter.id_prefix is not None and not execution.id.startswith(filter.id_prefix):
        return False
    return (
        _in_window(filter, execution)
        and _in_bounds(filter, execution)
        and _has_item(filter, execution)
        and _has_tags(filter, execution)
        and _has_error(filter, execution)
        and (not filter.text or fold_case(filter.text) in fold_case(searchable(execution, searched) or ""))
    )


def searchable(
    execution: Event | Execution,
    searched: Mapping[str, tuple[str, ...]] = SEARCHED,
    failed: Sequence[Error] | None = None,
) -> str | None:
    """The text a search looks at, of an execution or of an event that tells it whole; None where there is none.

    `failed` are its `item_errors`, where they are not to be taken from the items it has.
    """
    parts = [execution.error.type, execution.error.message] if execution.error else []
    for name in searched.get(execution.kind, ()):
        value = getattr(execution, name)
        if value is not None:
            parts += [value] if isinstance(value, str) else _texts_in(msgspec.json.decode(msgspec.json.encode(value)))
    if failed is None:
        failed = item_errors(execution.items) if execution.items else ()
    if failed:
        parts.append("\n".join([f"{error.type}\n{error.message}" for error in failed])[:ITEMS_TEXT])
    return "\n".join(parts) if parts else None


def _texts_in(value: Any) -> list[str]:
    """The names, texts and numbers in a JSON value, in order, as people write them: without quotes and escapes."""
    if isinstance(value, dict):
        entries = cast("dict[str, Any]", value).items()
        return [text for name, entry in entries for text in (name, *_texts_in(entry))]
    if isinstance(value, list):
        return [text for entry in cast("list[Any]", value) for text in _texts_in(entry)]
    if value is None:
        return []
    return [value if isinstance(value, str) else msgspec.json.encode(value).decode()]


def item_errors(items: Iterable[Item]) -> list[Error]:
    """The errors of the failed ones among an execution's items, in the items' order, as many as are searched."""
    failed = sorted(filter(is_failed, items), key=lambda item: (item.position, item.key))
    return [item.error for item in failed[:ITEMS_SEARCHED] if item.error is not None]


def fold_case(text: str) -> str:
    """The text for comparing without regard to case, character by character: no character becomes two."""
    if text.isascii():
        return text.lower()
    return "".join(map(_fold_character, text))


def sort_key(filter: Filter) -> Callable[[Execution], _Key]:
    """The function executions are ordered by, ascending for "oldest", descending for all others."""

    def key(execution: Execution) -> _Key:
        value = sort_value(filter, execution)
        return (
            UNKNOWN if value is None else value,
            execution.created_at,
            execution.id,
            execution.kind,
            execution.namespace,
        )

    return key


def sort_value(filter: Filter, execution: Execution) -> float | None:
    """The value the filter's order looks at before time and identity."""
    if filter.sort == "slowest":
        return execution.seconds
    return execution.cost_nano if filter.sort == "costliest" else None


def check_page(limit: int, offset: int) -> None:
    """Nothing; raises InvalidError for a limit outside 1 to 1000 or an offset outside 0 to 1,000,000."""
    if not 1 <= limit <= MAX_LIMIT:
        raise InvalidError(f"limit must be 1 to {MAX_LIMIT}, not {limit}", field="limit")
    if not 0 <= offset <= MAX_OFFSET:
        raise InvalidError(f"offset must be 0 to {MAX_OFFSET}, not {offset}: page with the cursor", field="offset")


def page_of(filter: Filter, found: Sequence[Execution], limit: int) -> Page[Execution]:
    """A page out of the first `limit + 1` executions found, in order; the one too many tells of another page."""
    entries = tuple(found[:limit])
    return Page(entries, cursor_after(filter, entries[-1]) if len(found) > limit else None)


def cursor_after(filter: Filter, last: Execution) -> str:
    """The cursor of the page that follows this execution."""
    position = Position(sort_value(filter, last), last.created_at, last.kind, last.namespace, last.id)
    return encode_cursor(filter, position)


def start_after(filter: Filter, cursor: str) -> _Key:
    """The sort key of the entry the page before ended with. Raises CursorError."""
    at = decode_cursor(filter, cursor)
    return (UNKNOWN if at.value is None else at.value, at.created_at, at.id, at.kind, at.namespace)


def trim(execution: Execution, parts: Collection[Part]) -> Execution:
    """The execution with only the parts asked for, and without the stamps that folding needs."""
    without: dict[str, Any] = {"stamps": None}
    if "items" not in parts:
        without["items"] = ()
    if "logs" not in parts:
        without["logs"] = ()
    if "detail" not in parts:
        without |= dict.fromkeys(_DETAIL)
        if execution.error is not None:
            without["error"] = Error(execution.error.type, execution.error.message, (), execution.error.fingerprint)
    return msgspec.structs.replace(execution, **without)


def _in_window(filter: Filter, execution: Execution) -> bool:
    at = execution.created_at
    return (filter.since is None or at >= filter.since) and (filter.until is None or at < filter.until)


def _in_bounds(filter: Filter, execution: Execution) -> bool:
    return (
        _between(filter.min_duration, execution.seconds, filter.max_duration)
        and _between(filter.min_cost_nano, execution.cost_nano if execution.usage else 0, filter.max_cost_nano)
        and _between(filter.min_tokens, sum(execution.tokens) if execution.usage else 0, filter.max_tokens)
    )


def _between(low: float | None, value: float | None, high: float | None) -> bool:
    if low is None and high is None:
        return True
    return value is not None and (low is None or value >= low) and (high is None or value <= high)


def _has_item(filter: Filter, execution: Execution) -> bool:
    if filter.item is None and filter.item_status is None:
        return True
    return any(
        (filter.item is None or item.key == filter.item)
        and (filter.item_status is None or item.status is filter.item_status)
        for item in execution.items
    )


def _has_tags(filter: Filter, execution: Execution) -> bool:
    tags = execution.tags or {}
    return all(tags.get(name) == value for name, value in (filter.tags or {}).items())


def _has_error(filter: Filter, execution: Execution) -> bool:
    if filter.fingerprint is None:
        return True
    failure = failure_of(execution)
    return failure is not None and failure.fingerprint == filter.fingerprint


def _fold_character(character: str) -> str:
    for folded in (character.casefold(), character.lower()):
        if len(folded) == 1:
            return folded
    return character


def only(filter: Filter, names: frozenset[str]) -> bool:
    """Whether the filter narrows by no other fields than these (whatever its order)."""
    return all(
        name in names or name == "sort" or getattr(filter, name) == default
        for name, default in zip(filter.__struct_fields__, _DEFAULTS, strict=True)
    )


_DEFAULTS: tuple[Any, ...] = tuple(getattr(Filter(), name) for name in Filter.__struct_fields__)
