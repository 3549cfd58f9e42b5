"""Taking over what another program kept in a family's own layout: every record said as an event, as old as it is.

The same record always makes the same event, so adopting twice changes nothing, and what execlog knows better stays.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from itertools import islice
from typing import NamedTuple

from msgspec import Struct

from execlog.core.errors import ExeclogError
from execlog.core.model import Event
from execlog.store.base import Store

BATCH = 200
MOST_REASONS = 20


class Found(NamedTuple):
    """A record of another program: where it stands, and what it says, or why it cannot be read."""

    where: str
    event: Event | Exception


class Refused(Struct, frozen=True):
    """A record that was left where it is, and why."""

    where: str
    reason: str


class Adopted(Struct, frozen=True, kw_only=True):
    """What became of records: `written` of those read were new or changed something; `refused` counts all, names 20."""

    read: int
    written: int
    refused: int
    reasons: tuple[Refused, ...]


def adopt(
    target: Store,
    found: Iterable[Found],
    *,
    clean: Callable[[Event], Event],
    progress: Callable[[int], None] = lambda _: None,
) -> Adopted:
    """What became of the records, taken over in batches; `progress` hears how many so far. Raises StoreError.

    `clean` takes secrets out of an event: the other program's records never went through a recorder.
    """
    reasons: list[Refused] = []
    read = written = refused = 0
    for batch in _batches(iter(found)):
        events: list[Event] = []
        for where, event in batch:
            if isinstance(event, Event):
                events.append(clean(event))
                continue
            refused += 1
            if len(reasons) < MOST_REASONS:
                reasons.append(Refused(where, str(event) or type(event).__name__))
        applied = target.apply(events) if events else None
        read += len(batch)
        written += applied.inserted + applied.updated if applied else 0
        progress(read)
    return Adopted(read=read, written=written, refused=refused, reasons=tuple(reasons))


def reading(where: str, read: Callable[[], Event]) -> Found:
    """The record that `read` makes an event of, or what it raises for one that cannot be read."""
    try:
        return Found(where, read())
    except (ExeclogError, ValueError, TypeError, KeyError, OverflowError, RecursionError) as error:
        return Found(where, error)


def _batches(found: Iterator[Found]) -> Iterator[list[Found]]:
    while batch := list(islice(found, BATCH)):
        yield batch
