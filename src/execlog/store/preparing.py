"""What every store does with an event before it folds it: makes it storable, and gives its errors their fingerprints.

Both happen before folding, because ties between events are decided by comparing encodings: a store that completed one
side only after it folded would decide them differently from one that did not.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from itertools import chain
from operator import attrgetter

import msgspec

from execlog.core.fingerprint import fingerprint
from execlog.core.model import TERMINAL, UNSUCCESSFUL, Error, Event, Execution, Item, Status
from execlog.core.storable import LABEL_BYTES, LABELS, NAME_BYTES, NAMES, is_longer, mend_struct

FAILURES = UNSUCCESSFUL - {Status.CANCELLED}
"""What counts as a failure when failures are grouped: somebody's wish to stop is none."""

NO_ERROR = "no error was recorded"
_labels, _names = attrgetter(*LABELS), attrgetter(*NAMES)


def prepare(event: Event, mended: Counter[str]) -> Event:
    """The event as it is stored: storable (each mending counted), all its errors with fingerprints."""
    return complete(mend_struct(event, mended))


def complete(event: Event) -> Event:
    """The event with fingerprints where its errors, or its items' errors, have none."""
    if event.error is not None and event.error.fingerprint is None:
        event = msgspec.structs.replace(event, error=named(event.error))
    for item in event.items:
        if item.error is not None and item.error.fingerprint is None:
            return msgspec.structs.replace(event, items=tuple(_named_item(item) for item in event.items))
    return event


def check_names(events: Sequence[Event]) -> None:
    """Nothing; ValueError where a name is longer than `prepare` leaves it.

    For stores that mend only what they cannot store otherwise: a name must be the same whatever comes with it.
    """
    items = [item for event in events for item in event.items]
    errors = [entry.error for entry in (*events, *items) if entry.error is not None]
    labels = {*chain.from_iterable(map(_labels, events)), *(error.fingerprint for error in errors)}
    names = {*chain.from_iterable(map(_names, events)), *(item.key for item in items)}
    for some, limit in ((labels, LABEL_BYTES), (names, NAME_BYTES)):
        if any(name is not None and is_longer(name, limit) for name in some):
            raise ValueError(f"a name of more than {limit} bytes")


def named(error: Error, key: str = "") -> Error:
    """The error with a fingerprint; `key` of the item it is of does not count in it."""
    if error.fingerprint is not None:
        return error
    return msgspec.structs.replace(error, fingerprint=fingerprint(error, key))


def failure_of(execution: Execution) -> Error | None:
    """Why it did not succeed: its own error, else the first failed item's, else that none was recorded; None if it did.

    This is what failures are grouped by. The execution must have its items.
    """
    if execution.error is not None:
        return named(execution.error)
    if execution.status not in FAILURES:
        return None
    for item in execution.items:
        if item.error is not None and is_failed(item):
            return named(item.error, item.key)
    return unexplained(execution.status)


def is_failed(item: Item) -> bool:
    """Whether an item ended badly and says why."""
    return item.error is not None and item.status in TERMINAL and item.status is not Status.SUCCEEDED


def unexplained(status: Status) -> Error:
    """The error that stands for none: one per status, so that such failures are grouped too."""
    return named(Error(type=status.value, message=NO_ERROR))


def _named_item(item: Item) -> Item:
    return item if item.error is None else msgspec.structs.replace(item, error=named(item.error, item.key))
