"""What of a failed execution can be used again when it is resumed, and how values are recorded for that."""

from __future__ import annotations

import hashlib
from collections import Counter
from typing import Any

import msgspec
from msgspec import Struct

from execlog.core.model import Execution, Item, Status
from execlog.core.redact import Redactor
from execlog.core.storable import mend
from execlog.kinds.workflows.graph import Graph
from execlog.kinds.workflows.words import SKIPPED

MOST_BYTES = 200_000
"""A longer output may be cut where it is stored."""
UNRECORDED = "unrecorded"
"""The digest of what has no JSON of its own."""


class Reuse(Struct, frozen=True):
    """A step's outcome in an execution before."""

    execution_id: str
    input: Any
    output: Any


class Keeping:
    """How values are recorded: as plain ones, and whether what is recorded is still the value."""

    def __init__(self, redactor: Redactor) -> None:
        self._redactor = redactor

    def plain(self, value: Any) -> Any:
        """The value as it is recorded."""
        return mend(value, Counter())

    def output(self, value: Any) -> tuple[Any, bool]:
        """A step's output as it is recorded, and whether it comes back from the history just as it was.

        Not what JSON changes (a tuple, an object of your own), what is redacted, and what is too long.
        """
        mended: Counter[str] = Counter()
        plain = mend(value, mended)
        try:
            text = msgspec.json.encode(value)
            same = not mended and len(text) <= MOST_BYTES and msgspec.json.decode(text) == value
            return plain, same and self._redactor.value(plain) == plain
        except Exception:  # noqa: BLE001 - a step's output may be of any class, and raise anything
            return plain, False

    def digest(self, value: Any) -> str:
        """The digest of a value; it begins with UNRECORDED where the value does not come back as it was."""
        return digest_of(value) if self.output(value)[1] else f"{UNRECORDED}:{digest_of(value)}"


def digest_of(value: Any) -> str:
    """A short digest of a value's JSON, whatever the order of its keys; UNRECORDED for what has none."""
    try:
        return hashlib.blake2s(msgspec.json.encode(value, order="deterministic"), digest_size=8).hexdigest()
    except Exception:  # noqa: BLE001 - see above
        return UNRECORDED


def reusable_steps(graph: Graph, before: Execution) -> dict[str, Reuse]:
    """By id, the steps that need not run again: completed, unchanged, and after nothing but such steps."""
    items = {item.key: item for item in before.items}
    stable: set[str] = set()
    found: dict[str, Reuse] = {}
    for step_id in graph.order:
        item = items.get(step_id)
        if item is None or not stable.issuperset(graph.needs[step_id]):
            continue
        facts = item.data or {}
        if item.status is not Status.SUCCEEDED or facts.get("digest") != digest_of(graph.steps[step_id]):
            continue
        if facts.get(SKIPPED):
            stable.add(step_id)  # its condition is asked again, with the same outcome
        elif facts.get("reusable"):
            stable.add(step_id)
            found[step_id] = _reuse(item, before.id)
    return found


def _reuse(item: Item, execution_id: str) -> Reuse:
    first = (item.data or {}).get("reusedFrom", execution_id)
    return Reuse(first, item.input, item.output)
