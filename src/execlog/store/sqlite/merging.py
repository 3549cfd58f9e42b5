"""Events about executions that are there already: read, fold, write what changed."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping

import msgspec

from execlog.core.fold import fold_all
from execlog.core.model import Event, Execution, Item
from execlog.store.matching import item_errors, searchable
from execlog.store.preparing import is_failed
from execlog.store.sql import queries
from execlog.store.sqlite.connection import Session
from execlog.store.sqlite.contents import Contents, Place, Said, Searched, log_rows
from execlog.store.sqlite.rows import (
    CREATED_AT,
    Head,
    ItemRow,
    Row,
    decode_heads,
    execution_row,
    failure_fingerprint,
    item_row,
    text_key,
    to_execution,
    to_item,
)
from execlog.store.sqlite.staging import move, stage

_SQL = queries("sqlite", "write")
_decode_items = msgspec.json.Decoder(list[ItemRow]).decode
_decode_lines = msgspec.json.Decoder(list[tuple[int, int, int, str, str, str | None]]).decode
Items = dict[int, dict[str, Item]]


def merge(session: Session, groups: Mapping[Place, Said], contents: Contents, searched: Searched) -> frozenset[Place]:
    """The keys of the executions that the events changed; all of them are there already."""
    keys = [(id_, kind, namespace) for kind, namespace, id_ in groups]
    heads = decode_heads(session.value(_SQL["heads"], {"keys": keys}))
    said = {head.number: _events(groups[head.kind, head.namespace, head.id]) for head in heads}
    items = _items(session, said)
    folded: dict[int, Execution] = {}
    for head in heads:
        before = to_execution(head, tuple(items.get(head.number, {}).values()))
        folded[head.number] = fold_all(before, said[head.number])
    changed, broken = _write_items(session, folded, items)
    changed |= _add_logs(session, folded, contents)
    failed = _failed(session, folded)
    rows: list[Row] = []
    for head in heads:
        row = _changed_row(head, folded[head.number], failed.get(head.number, ()), contents, searched, broken)
        if row is not None:
            rows.append(row)
            changed.add(head.number)
    _update(session, rows, heads)
    return frozenset((head.kind, head.namespace, head.id) for head in heads if head.number in changed)


def _events(said: Said) -> list[Event]:
    return said if isinstance(said, list) else [said]


def _items(session: Session, said: Mapping[int, list[Event]]) -> Items:
    """The items the events speak of, as they are now: folding needs no others."""
    keys = [(number, item.key) for number, events in said.items() for event in events for item in event.items]
    return _by_execution(session, "items_said", "keys", keys) if keys else {}


def _by_execution(session: Session, query: str, name: str, values: object) -> Items:
    found: Items = {}
    for row in _decode_items(session.value(_SQL[query], {name: values})):
        found.setdefault(row.execution, {})[row.key] = to_item(row)
    return found


def _write_items(session: Session, folded: Mapping[int, Execution], before: Items) -> tuple[set[int], set[int]]:
    """The numbers of executions whose items changed, and of those where one is among them that failed or had failed.

    The items are written: what comes next looks at them all.
    """
    rows: list[Row] = []
    broken: set[int] = set()
    for number, execution in folded.items():
        was = before.get(number, {})
        items = [item for item in execution.items if was.get(item.key) != item]
        rows += [item_row(number, execution.created_at, item) for item in items]
        if any(is_failed(item) or is_failed(was.get(item.key, item)) for item in items):
            broken.add(number)
    if rows:
        stage(session, "items", rows)
        move(session, "items")
    return {row[0] for row in rows}, broken


def _add_logs(session: Session, folded: Mapping[int, Execution], contents: Contents) -> set[int]:
    """The numbers of executions that have lines they did not have."""
    rows = {row for number, execution in folded.items() if execution.logs for row in log_rows(number, execution.logs)}
    if not rows:
        return set()
    found = session.value(_SQL["logs_said"], {"rows": sorted(rows, key=lambda row: row[:3])})
    rows -= set(_decode_lines(found))
    contents.logs += rows
    return {row[0] for row in rows}


def _failed(session: Session, folded: Mapping[int, Execution]) -> dict[int, Collection[Item]]:
    """The first failed items of each execution that has some: the first is why it failed, all are searched."""
    numbers = [number for number, entry in folded.items() if entry.counts.failed]
    if not numbers:
        return {}
    found = _by_execution(session, "failed_items", "numbers", numbers)
    return {number: items.values() for number, items in found.items()}


def _changed_row(
    head: Head,
    execution: Execution,
    failed: Iterable[Item],
    contents: Contents,
    searched: Searched,
    broken: Collection[int],
) -> Row | None:
    """The execution's row if it differs from the one that is there, with what else follows from that noted."""
    old: Row = msgspec.structs.astuple(head)
    errors = item_errors(failed)
    text = searchable(execution, searched, errors)
    key = None if text is None else head.text_key
    if text is not None and (key is None or execution.created_at >> 20 != head.created_at >> 20):
        key = text_key(execution.created_at, head.number)
    fingerprint = failure_fingerprint(execution.status, execution.error, failed)
    row = execution_row(head.number, execution, key, fingerprint)
    if head.text_key != key or (
        key is not None and (head.number in broken or searchable(to_execution(head), searched, errors) != text)
    ):
        _note_text(head, key, text, contents)
    if row == old:
        return None
    contents.change(old, row)
    return row


def _note_text(head: Head, key: int | None, text: str | None, contents: Contents) -> None:
    if head.text_key is not None:
        contents.stale_texts.append(head.text_key)
    if key is not None:
        contents.texts.append((key, text or "", head.number))


def _update(session: Session, rows: list[Row], heads: list[Head]) -> None:
    if not rows:
        return
    session.run(_SQL["update_executions"], {"rows": rows})
    before = {head.number: head.created_at for head in heads}
    moved = [(row[0], row[CREATED_AT]) for row in rows if before[row[0]] != row[CREATED_AT]]
    if moved:
        session.run(_SQL["retime_items"], {"moved": moved})
