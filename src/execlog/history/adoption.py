"""Taking over what another program kept in a family's own layout: every record said as an event, as old as it is.

The same record always makes the same event, so adopting twice changes nothing, and what execlog knows better stays.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from itertools import islice
from typing import NamedTuple

from msgspec import Struct

from execlog.core.errors import ExeclogError
from execlog.core.model import Event, Key
from execlog.history.copying import statuses_in
from execlog.store.base import Store

BATCH = 200
MOST_REASONS = 20
UNFIT = "this store cannot keep it in any form and set it aside: execlog doctor"


class Found(NamedTuple):
    """A record of another program: where it stands, and the events that say it, or why it cannot be read."""

    where: str
    said: tuple[Event, ...] | Exception


class Refused(Struct, frozen=True):
    """A record that was left where it is, and why."""

    where: str
    reason: str


class Adopted(Struct, frozen=True, kw_only=True):
    """What became of records: `written` of those read were new or changed something; `refused` counts all, names 20.

    Those that the store cannot keep in any form are refused, too.
    """

    read: int
    written: int
    refused: int
    reasons: tuple[Refused, ...]


class Foreseen(Struct, frozen=True, kw_only=True):
    """What would become of records: `new` executions, and `known` ones, which would only be told what they lack."""

    read: int
    new: int
    known: int
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
    written, left = 0, _Left()
    for batch in left.sort_out(found, progress):
        applied = target.apply([clean(event) for _, event in batch])
        written += applied.inserted + applied.updated
        if applied.quarantined:
            known = statuses_in(target, {event.key for _, event in batch})
            lost = dict.fromkeys(where for where, event in batch if event.key not in known)
            # More than were set aside: some are missing because they were deleted, and which is not known.
            left.refuse(lost if len(lost) <= applied.quarantined else (), UNFIT, number=applied.quarantined)
    return Adopted(read=left.read, written=written, refused=left.refused, reasons=tuple(left.reasons))


def foresee(target: Store, found: Iterable[Found], *, progress: Callable[[int], None] = lambda _: None) -> Foreseen:
    """What would become of the records if they were taken over; nothing is written. Raises StoreError."""
    new, known, left = set[Key](), set[Key](), _Left()
    for batch in left.sort_out(found, progress):
        keys = {event.key for _, event in batch}
        known |= statuses_in(target, keys - new - known).keys()
        new |= keys - known
    return Foreseen(read=left.read, new=len(new), known=len(known), refused=left.refused, reasons=tuple(left.reasons))


def reading(where: str, read: Callable[[], Iterable[Event]]) -> Found:
    """The record that `read` makes events of, or what it raises for one that cannot be read."""
    try:
        return Found(where, tuple(read()))
    except (ExeclogError, ValueError, TypeError, KeyError, OverflowError, RecursionError) as error:
        return Found(where, error)


class _Left:
    """The records that cannot be read, told from those that can."""

    def __init__(self) -> None:
        self.read = self.refused = 0
        self.reasons: list[Refused] = []

    def sort_out(self, found: Iterable[Found], progress: Callable[[int], None]) -> Iterator[list[tuple[str, Event]]]:
        """The events of the others, each with where it stands, in batches."""
        for batch in _batches(iter(found)):
            events: list[tuple[str, Event]] = []
            for where, said in batch:
                if isinstance(said, Exception):
                    self.refuse([where], str(said) or type(said).__name__)
                else:
                    events += ((where, event) for event in said)
            if events:
                yield events
            self.read += len(batch)
            progress(self.read)

    def refuse(self, where: Iterable[str], reason: str, *, number: int = 1) -> None:
        """Count so many records, and name those that are known."""
        self.refused += number
        self.reasons += (Refused(one, reason) for one in islice(where, min(number, MOST_REASONS - len(self.reasons))))


def _batches(found: Iterator[Found]) -> Iterator[list[Found]]:
    while batch := list(islice(found, BATCH)):
        yield batch
