"""Why an execution did not go well, in one line: by its own error, or else by those of its items."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Protocol

from execlog.core.filter import MAX_LIMIT, Filter
from execlog.core.model import Execution
from execlog.store.base import Part, Store

_FEW, _FEW_ITEMS = 100, 200
_TRACEBACK = "Traceback (most recent call last):"
_PLAIN_ERRORS = frozenset({"", "Error", "ExitCode", "Signal"})


class Said(Protocol):
    """An error, as it is kept or as it is shown."""

    @property
    def type(self) -> str:
        """Its class, or whatever the reporter calls it; "" for none."""
        ...

    @property
    def message(self) -> str:
        """What it says."""
        ...


def reason(error: Said | None) -> str:
    """Why, in one line, with the error's type where the message does not name it."""
    if error is None:
        return ""
    first = gist(error.message).split("\n", 1)[0]
    type_ = error.type.rpartition(".")[2]
    return first if type_ in first or type_ in _PLAIN_ERRORS else f"{type_}: {first}"


def gist(message: str) -> str:
    """The message; of a traceback, which says last what happened, its last line."""
    text = message.strip()
    return text.rpartition("\n")[2].strip() if text.startswith(_TRACEBACK) else text


def skipped(data: Mapping[str, Any] | None) -> str | None:
    """Why an item never ran, "" where nobody said why; None for one that ran: a count under that name says nothing."""
    said = (data or {}).get("skipped")
    return "" if said is True else said if isinstance(said, str) else None


def taken_over(data: Mapping[str, Any] | None) -> str | None:
    """The execution whose outcome an item has, because it was not run again; None for one of its own."""
    said = (data or {}).get("reusedFrom")
    return said if isinstance(said, str) else None


def why(one: Execution) -> str:
    """Why it did not go well, in one line: its own error, or else its items', where they were asked for."""
    if one.error is not None:
        return reason(one.error)
    failed = [item for item in one.items if item.error is not None]
    if not failed:
        return ""
    first = reason(failed[0].error)
    more = f", and {len(failed) - 1} more" if len(failed) > 1 else ""
    return (first if failed[0].key in first else f"{failed[0].key}: {first}") + more


def explained(store: Store, executions: Sequence[Execution]) -> list[Execution]:
    """The executions, with their items where only those say why: of few enough to read beside a list."""
    silent = [one for one in executions if one.error is None and one.counts.failed and one.counts.total <= _FEW_ITEMS]
    if not silent:
        return list(executions)
    asked = Filter(ids=tuple({one.id for one in silent[:_FEW]}))
    found = {one.key: one for one in store.find(asked, limit=MAX_LIMIT, parts=frozenset[Part]({"items"})).entries}
    return [found.get(one.key, one) for one in executions]
