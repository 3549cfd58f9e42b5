"""Taking in a batch of events: one transaction, few statements, and Python where the meaning is (`core.fold`).

An execution that is new is inserted as its events tell it. Only for one that is there already is the row read, folded
and written again (`merging`). The statistics are added up some hundreds of executions at a time (`summing`).
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from operator import attrgetter

import msgspec

from execlog.core.fold import begin, fold_all
from execlog.core.model import Event, Execution
from execlog.store.base import Applied
from execlog.store.matching import searchable
from execlog.store.pairs import SPEAKING
from execlog.store.preparing import check_names, complete, is_failed
from execlog.store.sql import queries
from execlog.store.sql_pairs import take as take_pairs
from execlog.store.sqlite.connection import Session
from execlog.store.sqlite.contents import Contents, Place, Said, Searched
from execlog.store.sqlite.merging import merge
from execlog.store.sqlite.rows import (
    Row,
    event_row,
    execution_row,
    failure_fingerprint,
    plain_row,
    text_key,
)
from execlog.store.sqlite.staging import move, stage
from execlog.store.sqlite.summing import sum_tail

CHANGES_KEPT = 100_000
_TRIM_EVERY = 1_000
_SQL, _PAIRS = queries("sqlite", "write"), queries("sqlite", "pairs")
_place = attrgetter("kind", "namespace", "id")
_decode_numbers = msgspec.json.Decoder(list[int]).decode
_decode_marks = msgspec.json.Decoder(list[tuple[str, str, str, int, int]]).decode


def take(session: Session, events: Sequence[Event], searched: Searched) -> Applied:
    """What became of the batch, inside the transaction that is open."""
    check_names(events)
    last_number, marked, last_change, summed = session.rows(_SQL["look"])[0]
    kept = _undeleted(session, events) if marked else events
    groups = group(kept)
    contents = Contents(summed=summed)
    rows, plain = _tell(groups.values(), last_number, contents, searched)
    last = last_number + len(groups)
    known = _insert(session, rows, plain, first=last_number + 1, last=last)
    updated, changed = frozenset[Place](), list(groups)
    if known:
        contents.forget(known)
        pending = {
            place: said for number, (place, said) in enumerate(groups.items(), last_number + 1) if number in known
        }
        updated = merge(session, pending, contents, searched)
        changed = [place for place in groups if place in updated or place not in pending]
    contents.write(session)
    sum_tail(session, summed, last)
    speaking = [event for event in kept if event.kind in SPEAKING]
    if speaking:
        take_pairs(session, _PAIRS, speaking)
    last_change = note(session, changed, last_change, deleted=False)
    return Applied(len(groups) - len(known), len(updated), len(events) - len(kept), last_change=last_change)


def group(events: Iterable[Event]) -> dict[Place, Said]:
    """The events by the execution they are about, in the order of its first one; errors have their fingerprints."""
    entries = [complete(event) if event.error is not None or event.items else event for event in events]
    groups: dict[Place, Said] = dict(zip(map(_place, entries), entries, strict=True))
    if len(groups) == len(entries):
        return groups
    groups.clear()
    for entry in entries:
        place: Place = _place(entry)
        before = groups.setdefault(place, entry)
        if before is entry:
            continue
        if isinstance(before, list):
            before.append(entry)
        else:
            groups[place] = [before, entry]
    return groups


def note(session: Session, keys: Sequence[Place], last_change: int, *, deleted: bool) -> int:
    """The number of the last change, after noting one for each key; the oldest changes are forgotten."""
    if not keys:
        return last_change
    number = last_change + len(keys)
    bindings = {"number": number, "deleted": deleted, "keys": keys}
    session.run(_SQL["note_changes"], bindings)
    if number // _TRIM_EVERY != last_change // _TRIM_EVERY:
        session.run(_SQL["trim_changes"], {"number": number - CHANGES_KEPT})
    return number


def _undeleted(session: Session, events: Sequence[Event]) -> list[Event]:
    """The events that are not about deleted executions, or are newer than the deletion of one that had ended."""
    keys = [(id_, kind, namespace) for kind, namespace, id_ in group(events)]
    found = _decode_marks(session.value(_SQL["marks"], {"keys": keys}))
    marks = {(kind, namespace, id_): (at, was_open) for id_, kind, namespace, at, was_open in found}
    kept: list[Event] = []
    for event in events:
        at, was_open = marks.get(event.key, (None, 0))
        if at is None or (event.at > at and not was_open):
            kept.append(event)
    return kept


def _tell(groups: Iterable[Said], last_number: int, contents: Contents, searched: Searched) -> tuple[list[Row], ...]:
    """The rows of executions as their events tell them, were they all new: whole ones, and plain ones.

    They are numbered on from `last_number`, in order. What belongs to them goes to `contents`.
    """
    rows: list[Row] = []
    plain: list[Row] = []
    for number, said in enumerate(groups, last_number + 1):
        if isinstance(said, Event) and said.kind not in searched:
            row = plain_row(number, said)
            if row is not None:
                plain.append(row)
                continue
        told = said if isinstance(said, Event) and is_whole(said) else _fold(said)
        has_text = (
            told.error is not None
            or any(map(is_failed, told.items))
            or (told.kind in searched and searchable(told, searched) is not None)
        )
        if isinstance(told, Event):
            row = event_row(number, told, has_text=has_text)
        else:
            key = text_key(told.created_at, number) if has_text else None
            row = execution_row(number, told, key, failure_fingerprint(told.status, told.error, told.items))
        rows.append(row)
        if has_text or told.items or told.logs:
            contents.tell(row, told, searched)
    return rows, plain


def is_whole(event: Event) -> bool:
    """Whether its row can be made of the event as it is."""
    items = event.items
    return event.status is not None and (len(items) <= 1 or len({item.key for item in items}) == len(items))


def _fold(said: Said) -> Execution:
    return begin(said) if isinstance(said, Event) else fold_all(None, said)


def _insert(session: Session, rows: Sequence[Row], plain: Sequence[Row], *, first: int, last: int) -> frozenset[int]:
    """The numbers of those rows whose execution is there already; the others are inserted."""
    stage(session, "plain", plain, checked=True)
    stage(session, "executions", rows)
    if move(session, "executions") == last - first + 1:
        return frozenset()
    return frozenset(_decode_numbers(session.value(_SQL["missing"], {"first": first, "last": last})))
