"""How a family's executions look where other programs read the store's own keys and files.

A layout turns an execution into its family's record and back. Families bring theirs as entry points in the group
`execlog.layouts`, named by kind; a kind without one is kept as execlog's own JSON. What a record has no place for
travels inside it, under `KEPT`, so that nothing is lost on the way back; a record another program wrote has no such
part, and is read as the family's words alone.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from functools import cache
from importlib.metadata import entry_points
from operator import attrgetter
from typing import Any, Protocol, cast

import msgspec
from msgspec import NODEFAULT

from execlog.core.codec import convert, from_json
from execlog.core.errors import InvalidError
from execlog.core.fold import begin
from execlog.core.model import Event, Execution
from execlog.core.storable import mend

KEPT = "execlog"
GROUP = "execlog.layouts"
Record = dict[str, Any]


class Layout(Protocol):
    """A family's records.

    place  where in a record there is room for what it does not say: () at the top, or the name of a free-form part
    """

    @property
    def place(self) -> tuple[str, ...]:
        """See above."""
        ...

    def encode(self, execution: Execution) -> Record:
        """The record of an execution that has its items and detail: plain JSON values."""
        ...

    def decode(self, record: Record, *, at: int) -> Event:
        """The event that says all of a record, as if said at `at` UTC µs. Raises InvalidError."""
        ...


class OwnLayout:
    """Executions as execlog itself writes them."""

    place = ()

    def encode(self, execution: Execution) -> Record:
        """Nothing but what is kept anyway."""
        del execution
        return {}

    def decode(self, record: Record, *, at: int) -> Event:
        """Always InvalidError: what is not kept is not there."""
        del record, at
        raise InvalidError(f"a record without its {KEPT!r} part, of a kind without a layout")


@cache
def layout_of(kind: str) -> Layout:
    """The layout of a kind."""
    for entry in entry_points(group=GROUP, name=kind):
        return cast("Layout", entry.load())
    return OwnLayout()


def to_record(execution: Execution) -> Record:
    """The record of a whole execution, to be made JSON of, with what it has no place for kept inside: itself."""
    layout = layout_of(execution.kind)
    record = layout.encode(execution)
    part = record
    for name in layout.place:
        part = part.setdefault(name, {})
    part[KEPT] = execution
    return record


def record_in(text: bytes | str) -> Record:
    """The record in this JSON. Raises InvalidError, also for a text that was not written as one.

    What other programs' encoders write and JSON has not is made storable: NaN and Infinity, halves of surrogate pairs.
    """
    try:
        return from_json(text, Record)
    except InvalidError:
        with suppress(ValueError, RecursionError):
            record = mend(json.loads(text), Counter())
            if isinstance(record, dict):
                return cast("Record", record)
        raise


def to_execution(record: Record, kind: str, *, at: int) -> Execution:
    """The execution of a record; one of another program is taken as said at `at` UTC µs. Raises InvalidError."""
    kept = _kept(record, kind)
    return begin(layout_of(kind).decode(record, at=at)) if kept is None else convert(kept, Execution)


def execution_in(text: str, kind: str, *, at: int) -> Execution:
    """The execution of the record in this JSON, as `record_in` and `to_execution` read it. Raises InvalidError."""
    type_, kept_in = _kept_type(kind)
    try:
        return kept_in(msgspec.json.decode(text, type=type_))
    except (msgspec.MsgspecError, UnicodeError, RecursionError):  # another program's, or not as we would write it
        return to_execution(record_in(text), kind, at=at)


def event_of_record(record: Record, kind: str, *, at: int) -> Event:
    """The event that says all of a record, as `to_execution` reads it. Raises InvalidError."""
    kept = _kept(record, kind)
    if kept is None:
        return layout_of(kind).decode(record, at=at)
    said = {name: value for name, value in kept.items() if name in Event.__struct_fields__}
    return convert([said.get(name, default) for name, default in _EVENT_FIELDS], Event)


def is_ours(record: Record, kind: str) -> bool:
    """Whether execlog wrote the record; what another program says in it beside what is kept is not read."""
    return _kept(record, kind) is not None


def _kept(record: Record, kind: str) -> Record | None:
    """What is kept inside a record; None where there is nothing that can be ours."""
    part: Any = record
    for name in (*layout_of(kind).place, KEPT):
        part = cast("Record", part).get(name) if isinstance(part, dict) else None
    return cast("Record", part) if isinstance(part, dict) else None


@cache
def _kept_type(kind: str) -> tuple[type, Callable[[Any], Execution]]:
    """The type that has nothing of a record of this kind but what is kept in it, and what takes it out of one."""
    path = (*layout_of(kind).place, KEPT)
    type_: type = Execution
    for name in reversed(path):
        type_ = msgspec.defstruct("Part", [("part", type_, msgspec.field(name=name))])
    return type_, attrgetter(".".join("part" for _ in path))


_EVENT_FIELDS = [
    (field.name, None if field.default is NODEFAULT else field.default) for field in msgspec.structs.fields(Event)
]
