"""Taking in a batch of events: one transaction, the writer alone, rows by `copy`.

Executions that are new are copied straight into their month. Those that are there are read, folded, taken out and
copied again where they changed: one way of writing, and a change of `created_at` moves them to another month by itself.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Any

import msgspec

from execlog.core.codec import to_json
from execlog.core.errors import StoreError
from execlog.core.fold import begin, fold_all
from execlog.core.model import TERMINAL, Error, Event, Execution, Item
from execlog.store.base import CHANGED, Applied
from execlog.store.matching import fold_case, item_errors, searchable
from execlog.store.pairs import SPEAKING
from execlog.store.postgres import buckets
from execlog.store.postgres.connection import Session
from execlog.store.postgres.partitions import Months
from execlog.store.postgres.reading import WHOLE_HEAD, heads_of, item_of
from execlog.store.preparing import check_names
from execlog.store.sql import migrations, queries
from execlog.store.sql_pairs import take as take_pairs
from execlog.store.sqlite.contents import Place, Said, Searched, log_rows
from execlog.store.sqlite.rows import (
    CREATED_AT,
    LOST_BY,
    TEXT_KEY,
    Head,
    Row,
    event_row,
    execution_row,
    failure_fingerprint,
    item_row,
    to_execution,
)
from execlog.store.sqlite.tallying import Cell, Delta, gather
from execlog.store.sqlite.writing import group, is_whole

_KNOWN = len(migrations("postgres"))
CHANGES_KEPT = 100_000
_TRIM_EVERY = 1_000
_SUBJECT, _STATUS = 7, 4
_SQL, _READ = queries("postgres", "write"), queries("postgres", "read")
_PAIRS = queries("postgres", "pairs")
_NUL = "\\u0000"
Items = dict[int, dict[str, Item]]


class Batch:
    """What a batch writes: one list a table.

    gained, lost  rows of executions that statistics count from now on, or no longer; `corrected` the rows of the same
                  executions as they are now
    """

    def __init__(self, searched: Searched) -> None:
        self.searched = searched
        self.executions: list[Row] = []
        self.new: list[Row] = []
        self.items: list[Row] = []
        self.logs: list[Row] = []
        self.gained: list[Row] = []
        self.lost: list[Row] = []
        self.corrected: list[Row] = []

    def tell(self, number: int, said: Said) -> tuple[Row, Event | Execution]:
        """The row of an execution as the events tell it, were it new, and what it was made of."""
        told = said if isinstance(said, Event) and is_whole(said) else _fold(said)
        if isinstance(told, Event):
            row = event_row(number, told, has_text=False)
        else:
            row = execution_row(number, told, None, failure_fingerprint(told.status, told.error, told.items))
        return self._with_text(row, told), told

    def add(self, row: Row, told: Event | Execution) -> None:
        """Take in a new execution."""
        self.new.append(row)
        self.items += [item_row(row[0], row[CREATED_AT], item) for item in told.items]
        self.logs += log_rows(row[0], set(told.logs))
        self.gained.append(row)

    def change(self, head: Head, execution: Execution, failed: Collection[Item]) -> bool:
        """Whether an execution that is there differs now; then its row is taken in."""
        old: Row = msgspec.structs.astuple(head)
        fingerprint = failure_fingerprint(execution.status, execution.error, failed)
        row = execution_row(head.number, execution, None, fingerprint)
        row = self._with_text(row, execution, item_errors(failed))
        if row == old:
            return False
        self.executions.append(row)
        if head.status not in TERMINAL:
            self.gained.append(row)
        elif any(row[place] != old[place] for place in LOST_BY):
            self.lost.append(old)
            self.corrected.append(row)
        return True

    def write(self, session: Session) -> None:
        """Write it all."""
        rows = [*self.new, *self.executions]
        for row in rows:
            _check_json(row[-4:])
        deltas: dict[Cell, Delta] = {}
        session.copy(_SQL["copy_executions"], map(_plain, rows), meanwhile=lambda: deltas.update(gather(self.gained)))
        subjects = sorted({(row[2], row[_SUBJECT] or "", row[3]) for row in rows})
        if subjects:
            kinds, names, namespaces = map(list, zip(*subjects, strict=True))
            session.run(_SQL["note_subjects"], {"kinds": kinds, "subjects": names, "namespaces": namespaces})
        copy_items(session, self.items)
        if self.logs:
            session.copy(_SQL["copy_logs"], self.logs)
        buckets.add(session, deltas)
        if self.lost:
            buckets.correct(session, self.lost, self.corrected)

    def _with_text(self, row: Row, told: Event | Execution, failed: Sequence[Error] | None = None) -> Row:
        text = searchable(told, self.searched, failed)
        return row if text is None else (*row[:TEXT_KEY], fold_case(text), *row[TEXT_KEY + 1 :])


def lock(session: Session) -> None:
    """Let nobody else write until the transaction ends. Raises StoreError where a newer execlog changed the tables."""
    session.run(_SQL["lock"])
    if session.value(_SQL["version"]) != _KNOWN:
        raise StoreError(CHANGED, retry=False)


def take(
    session: Session, events: Sequence[Event], searched: Searched, months: Months, *, now: int
) -> tuple[Applied, frozenset[str]]:
    """What became of the batch, inside the transaction that is open, and the partitions it went to."""
    check_names(events)
    lock(session)
    last_number, last_change, marked = session.rows(_SQL["look"])[0]
    kept = _undeleted(session, events) if marked else list(events)
    groups = group(kept)
    batch = Batch(searched)
    told = [batch.tell(number, said) for number, said in enumerate(groups.values(), last_number + 1)]
    new = _named(session, [row for row, _ in told])
    for row, of in told:
        if row[0] in new:
            batch.add(row, of)
    known = {place for number, place in enumerate(groups, last_number + 1) if number not in new}
    updated = _merge(session, {place: groups[place] for place in groups if place in known}, batch)
    partitions = months.make(session, [row[CREATED_AT] for row in (*batch.new, *batch.executions)], now=now)
    batch.write(session)
    speaking = [event for event in kept if event.kind in SPEAKING]
    if speaking:
        take_pairs(session, _PAIRS, speaking)
    changed = [place for place in groups if place in updated or place not in known]
    last_change = note(session, changed, last_number + len(groups), last_change, deleted=False)
    applied = Applied(len(new), len(updated), len(events) - len(kept), last_change=last_change)
    return applied, partitions


def note(session: Session, places: Sequence[Place], last_number: int, last_change: int, *, deleted: bool) -> int:
    """The number of the last change, after noting one for each execution; the oldest changes are forgotten."""
    if not places:
        return last_change
    number = last_change + len(places)
    keys = to_json(places).decode()
    _check_json((keys,))
    session.run(_SQL["note_changes"], {"number": number, "deleted": deleted, "keys": keys})
    session.run(_SQL["note_state"], {"last_number": last_number, "last_change": number})
    if number // _TRIM_EVERY != last_change // _TRIM_EVERY:
        session.run(_SQL["trim_changes"], {"number": number - CHANGES_KEPT})
    session.run(_SQL["announce"], {"number": str(number)})
    return number


def columns(places: Iterable[Place]) -> dict[str, list[str]]:
    """Places as arrays, one a part."""
    listed = list(places)
    return {
        "kinds": [place[0] for place in listed],
        "namespaces": [place[1] for place in listed],
        "ids": [place[2] for place in listed],
    }


def copy_items(session: Session, rows: Sequence[Row]) -> None:
    """Write items that are not there."""
    if rows:
        for row in rows:
            _check_json(row[-1:])
        session.copy(_SQL["copy_items"], ((*row[:3], row[3].value, *row[4:]) for row in rows))


def _undeleted(session: Session, events: Sequence[Event]) -> list[Event]:
    """The events that are not about deleted executions, or are newer than the deletion of one that had ended."""
    found = session.rows(_SQL["marks"], columns(dict.fromkeys(event.key for event in events)))
    marks = {(kind, namespace, id_): (at, was_open) for kind, namespace, id_, at, was_open in found}
    kept: list[Event] = []
    for event in events:
        at, was_open = marks.get(event.key, (None, False))
        if at is None or (event.at > at and not was_open):
            kept.append(event)
    return kept


def _named(session: Session, rows: Sequence[Row]) -> set[int]:
    """The numbers of those rows whose execution was not there; its key is now."""
    names = ("numbers", "ids", "kinds", "namespaces")
    columns = {name: [row[place] for row in rows] for place, name in enumerate(names)}
    columns["created"] = [row[CREATED_AT] for row in rows]
    return {number for (number,) in session.rows(_SQL["name_executions"], columns)}


def _merge(session: Session, groups: Mapping[Place, Said], batch: Batch) -> set[Place]:
    """The places of the executions that the events changed; all of them are there already."""
    if not groups:
        return set()
    sql = _READ["heads_of_keys"].format(head=WHOLE_HEAD)
    heads = heads_of(session.rows(sql, columns(groups)))
    said = {head.number: _events(groups[head.kind, head.namespace, head.id]) for head in heads}
    items = _items_said(session, said)
    folded: dict[int, Execution] = {}
    for head in heads:
        before = to_execution(head, tuple(items.get(head.number, {}).values()))
        folded[head.number] = fold_all(before, said[head.number])
    changed = _write_items(session, folded, items) | _add_logs(session, folded, batch)
    failed = _failed(session, folded)
    rewritten = [head for head in heads if batch.change(head, folded[head.number], failed.get(head.number, ()))]
    _take_out(session, rewritten, folded)
    changed |= {head.number for head in rewritten}
    return {(head.kind, head.namespace, head.id) for head in heads if head.number in changed}


def _take_out(session: Session, heads: Sequence[Head], folded: Mapping[int, Execution]) -> None:
    """Remove the rows that will be written anew, and move what follows a new `created_at`."""
    if not heads:
        return
    numbers, created = [head.number for head in heads], [head.created_at for head in heads]
    session.run(_SQL["take_out_executions"], {"numbers": numbers, "created": created})
    moved = [head for head in heads if folded[head.number].created_at != head.created_at]
    if moved:
        at = [folded[head.number].created_at for head in moved]
        places = columns((head.kind, head.namespace, head.id) for head in moved)
        session.run(_SQL["move_keys"], {**places, "created": at})
        session.run(_SQL["move_items"], {"numbers": [head.number for head in moved], "created": at})


def _items_said(session: Session, said: Mapping[int, list[Event]]) -> Items:
    """The items the events speak of, as they are now: folding needs no others."""
    wanted = {(number, item.key) for number, events in said.items() for event in events for item in event.items}
    if not wanted:
        return {}
    numbers, keys = map(list, zip(*wanted, strict=True))
    return _by_execution(session.rows(_SQL["items_said"], {"numbers": numbers, "keys": keys}))


def _by_execution(rows: Iterable[tuple[Any, ...]]) -> Items:
    found: Items = {}
    for row in rows:
        item = item_of(row)
        found.setdefault(row[0], {})[item.key] = item
    return found


def _write_items(session: Session, folded: Mapping[int, Execution], before: Items) -> set[int]:
    """The numbers of executions whose items changed. The items are written: what comes next looks at them all."""
    rows: list[Row] = []
    for number, execution in folded.items():
        was = before.get(number, {})
        rows += [item_row(number, execution.created_at, item) for item in execution.items if was.get(item.key) != item]
    if not rows:
        return set()
    numbers, keys = [row[0] for row in rows], [row[2] for row in rows]
    session.run(_SQL["take_out_items"], {"numbers": numbers, "keys": keys})
    copy_items(session, rows)
    return set(numbers)


def _add_logs(session: Session, folded: Mapping[int, Execution], batch: Batch) -> set[int]:
    """The numbers of executions that have lines they did not have."""
    rows = {row for number, execution in folded.items() if execution.logs for row in log_rows(number, execution.logs)}
    if not rows:
        return set()
    rows -= set(session.rows(_SQL["logs_said"], {"numbers": list({row[0] for row in rows})}))
    batch.logs += rows
    return {row[0] for row in rows}


def _failed(session: Session, folded: Mapping[int, Execution]) -> dict[int, Collection[Item]]:
    """The first failed items of each execution that has some: the first is why it failed, all are searched."""
    numbers = [number for number, entry in folded.items() if entry.counts.failed]
    if not numbers:
        return {}
    found = _by_execution(session.rows(_SQL["failed_items"], {"numbers": numbers}))
    return {number: items.values() for number, items in found.items()}


def _fold(said: Said) -> Execution:
    return begin(said) if isinstance(said, Event) else fold_all(None, said)


def _events(said: Said) -> list[Event]:
    return said if isinstance(said, list) else [said]


def _plain(row: Row) -> Row:
    """The row with the word of its status: a driver would write the member's name."""
    status = row[_STATUS]
    return (*row[:_STATUS], getattr(status, "value", status), *row[_STATUS + 1 :])


def _check_json(texts: Iterable[str | None]) -> None:
    """Nothing; ValueError for JSON that could be written, but not looked into: PostgreSQL has no NUL in a text."""
    for text in texts:
        if text is not None and _NUL in text:
            raise ValueError("a text with a NUL character")
