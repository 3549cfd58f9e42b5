"""Taking in a batch of events: one transaction, few statements, and Python where the meaning is (`core.fold`).

An execution that is new is inserted as its events tell it. Only for one that is there already is the row read, folded
and written again (`merging`). What the statistics gain or lose by it is added at the end.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from functools import reduce

import msgspec

from execlog.core.fold import begin, fold
from execlog.core.model import Event, Execution, Key
from execlog.store.base import Applied
from execlog.store.matching import searchable
from execlog.store.preparing import complete
from execlog.store.sql import queries
from execlog.store.sqlite import contents as written
from execlog.store.sqlite.connection import Session
from execlog.store.sqlite.contents import Contents, Said, Searched
from execlog.store.sqlite.merging import merge
from execlog.store.sqlite.rows import (
    Row,
    event_row,
    execution_row,
    failure_fingerprint,
    text_key,
)

CHANGES_KEPT = 100_000
_SHORTEN_EVERY = 64_000
_SQL = queries("sqlite", "write")
_decode_numbers = msgspec.json.Decoder(list[int]).decode
_decode_marks = msgspec.json.Decoder(list[tuple[str, str, str, int, int]]).decode


def take(session: Session, events: Sequence[Event], searched: Searched) -> Applied:
    """What became of the batch, inside the transaction that is open."""
    last_number, marked, last_change = session.rows(_SQL["look"])[0]
    kept = _undeleted(session, events) if marked else events
    groups = group(kept)
    told = [_tell(said) for said in groups.values()]
    rows = [_row(number, entry, searched) for number, entry in enumerate(told, last_number + 1)]
    known = _insert(session, rows)
    contents = Contents()
    inserted = 0
    changed: list[Key] = []
    pending: dict[Key, Said] = {}
    for (key, said), row, entry in zip(groups.items(), rows, told, strict=True):
        if row[0] in known:
            pending[key] = said
            continue
        inserted += 1
        contents.tell(row, entry, searched)
        contents.gained.append(row)
    updated = merge(session, pending, contents, searched) if pending else frozenset[Key]()
    changed = [key for key in groups if key in updated or key not in pending]
    written.write(session, contents)
    last_change = note(session, changed, last_change, deleted=False)
    return Applied(inserted, len(updated), len(events) - len(kept), last_change=last_change)


def group(events: Iterable[Event]) -> dict[Key, Said]:
    """The events by the execution they are about, in the order of its first one; errors have their fingerprints."""
    groups: dict[Key, Said] = {}
    for event in events:
        entry = complete(event) if event.error is not None or event.items else event
        key = Key(event.kind, event.namespace, event.id)
        before = groups.setdefault(key, entry)
        if before is entry:
            continue
        if isinstance(before, list):
            before.append(entry)
        else:
            groups[key] = [before, entry]
    return groups


def note(session: Session, keys: Sequence[Key], last_change: int, *, deleted: bool) -> int:
    """The number of the last change, after noting one for each key; the oldest changes are forgotten."""
    if not keys:
        return last_change
    number = last_change + len(keys)
    bindings = {"number": number, "deleted": deleted, "keys": keys}
    session.run(_SQL["note_changes"], bindings)
    if number // CHANGES_KEPT != last_change // CHANGES_KEPT or number % 1_000 < len(keys):
        session.run(_SQL["trim_changes"], {"number": number - CHANGES_KEPT})
    return number


def _undeleted(session: Session, events: Sequence[Event]) -> list[Event]:
    """The events that are not about deleted executions, or are newer than the deletion of one that had ended."""
    keys = [(key.id, key.kind, key.namespace) for key in group(events)]
    found = _decode_marks(session.value(_SQL["marks"], {"keys": keys}))
    marks = {Key(kind, namespace, id_): (at, was_open) for id_, kind, namespace, at, was_open in found}
    kept: list[Event] = []
    for event in events:
        at, was_open = marks.get(event.key, (None, 0))
        if at is None or (event.at > at and not was_open):
            kept.append(event)
    return kept


def _tell(said: Said) -> Event | Execution:
    """The execution as its events tell it: one event that tells it whole is left as it is."""
    if isinstance(said, list):
        return reduce(fold, said[1:], begin(said[0]))
    items = said.items
    if said.status is None or (len(items) > 1 and len({item.key for item in items}) < len(items)):
        return begin(said)
    return said


def _row(number: int, told: Event | Execution, searched: Searched) -> Row:
    has_text = told.error is not None or (told.kind in searched and searchable(told, searched) is not None)
    if isinstance(told, Event):
        return event_row(number, told, has_text=has_text)
    key = text_key(told.created_at, number) if has_text else None
    return execution_row(number, told, key, failure_fingerprint(told.status, told.error, told.items))


def _insert(session: Session, rows: Sequence[Row]) -> frozenset[int]:
    """The numbers of those rows whose execution is there already; the others are inserted."""
    session.run(_SQL["insert_executions"], {"rows": rows})
    if session.changed == len(rows):
        return frozenset()
    numbers = [row[0] for row in rows]
    return frozenset(_decode_numbers(session.value(_SQL["missing"], {"numbers": numbers})))
