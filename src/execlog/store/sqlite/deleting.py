"""Removing executions, with everything that hangs on them, a thousand to a transaction."""

from __future__ import annotations

import msgspec

from execlog.core.filter import Filter
from execlog.store.sql import queries
from execlog.store.sqlite import buckets
from execlog.store.sqlite.connection import Session
from execlog.store.sqlite.query import ask, order, same_but
from execlog.store.sqlite.rows import Head, decode_heads
from execlog.store.sqlite.settling import settle
from execlog.store.sqlite.writing import note

CHUNK = 1_000
_SQL = queries("sqlite", "write")


def remove_some(session: Session, filter: Filter, *, highest: int, marks_at: int | None) -> int:
    """How many executions were removed in this transaction, at most `CHUNK`, newest first.

    None beyond row `highest` is touched: what is written meanwhile stays. With `marks_at` (UTC µs) they are marked as
    deleted at that time.
    """
    settled = settle(session, same_but(filter, sort="newest"))
    if settled is None:
        return 0
    question = ask(settled[0], places=settled[1])
    sql = _SQL["rows_to_delete"].format(source=question.source, where=question.where, order=order(settled[0], question))
    heads = decode_heads(session.value(sql, {**question.bindings, "highest": highest, "limit": CHUNK}))
    if heads:
        _remove(session, heads, marks_at)
    return len(heads)


def _remove(session: Session, heads: list[Head], marks_at: int | None) -> None:
    numbers = {"numbers": [head.number for head in heads]}
    if marks_at is not None:
        session.run(_SQL["mark_deleted"], {**numbers, "at": marks_at})
    texts = [head.text_key for head in heads if head.text_key is not None]
    if texts:
        session.run(_SQL["delete_texts"], {"keys": texts})
    for name in ("delete_items", "delete_logs", "delete_executions"):
        session.run(_SQL[name], numbers)
    last_number, _, last_change, summed = session.rows(_SQL["look"])[0]
    del last_number
    buckets.correct(session, [msgspec.structs.astuple(head) for head in heads if head.number <= summed], [])
    note(session, [(head.kind, head.namespace, head.id) for head in heads], last_change, deleted=True)
