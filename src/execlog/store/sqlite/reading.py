"""Reading executions: pages, single ones, the latest of each subject, failures by their error."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Any

import msgspec

from execlog.core.errors import CodecError
from execlog.core.filter import Filter, Page
from execlog.core.model import UNSUCCESSFUL, Execution, Item, LogLine, Status
from execlog.store import nearest
from execlog.store.base import WHOLE, FailureGroup, Part
from execlog.store.matching import page_of, sort_key, trim
from execlog.store.preparing import FAILURES, failure_of, unexplained
from execlog.store.sql import queries
from execlog.store.sqlite import slowest
from execlog.store.sqlite.connection import Session
from execlog.store.sqlite.query import (
    Bindings,
    Question,
    ask,
    continue_after,
    is_in,
    order,
    same_but,
)
from execlog.store.sqlite.rows import Head, ItemRow, decode_heads, text_range, to_execution, to_item
from execlog.store.sqlite.settling import settle

_SQL = queries("sqlite", "read")
_MORE = 10
"""How many texts more than asked for are read: with them the last second that is shown has mostly ended, and a second
search, which costs as much as the first, is not needed."""

_OWN = 12
"""Characters of an id's beginning that few others share: it begins with its time in milliseconds."""

_LAST_KEY = 2**63 - 1
_decode_numbers = msgspec.json.Decoder(list[int]).decode
_decode_subjects = msgspec.json.Decoder(list[tuple[int, str, str, str | None]]).decode
_decode_texts = msgspec.json.Decoder(list[tuple[int, int, int, str, str, str]]).decode
_decode_groups = msgspec.json.Decoder(list[tuple[str, int, int, int, list[str]]]).decode


def find(
    session: Session, filter: Filter, *, limit: int, cursor: str | None, offset: int, parts: Collection[Part]
) -> Page[Execution]:
    """A page of executions in the filter's order."""
    heads = find_heads(session, filter, limit=limit + 1, cursor=cursor, offset=offset)
    more = len(heads) > limit
    found = complete(session, heads[:limit], parts)
    return page_of(filter, [*found, found[-1]] if more else found, limit)


def find_heads(
    session: Session, filter: Filter, *, limit: int, cursor: str | None = None, offset: int = 0
) -> list[Head]:
    """The rows of a page, in the filter's order."""
    settled = settle(session, filter)
    if settled is None:
        return []
    narrowed, places = settled
    question = ask(narrowed, places=places)
    continue_after(filter, question, cursor)
    if question.driver == "texts" and filter.sort in {"newest", "oldest"}:
        return _find_texts(session, filter, question, limit=limit, offset=offset)
    if 0 < len(filter.id_prefix or "") < _OWN and filter.sort == "newest" and cursor is None and offset == 0:
        heads = _find_near(session, narrowed, limit=limit)
        if len(heads) == limit:
            return heads
    bindings: Bindings = {**question.bindings, "limit": limit, "offset": offset}
    if filter.sort == "slowest" and (slow := slowest.source(session, narrowed, places, question, bindings)):
        sql = _SQL["find"].format(source=slow.source, where="true", order=order(filter, question))
        heads = decode_heads(session.value(sql, slow.bindings))
        if len(heads) == limit or slow.least == filter.min_duration:
            return heads
    sql = _SQL["find"].format(source=question.source, where=question.where, order=order(filter, question))
    return decode_heads(session.value(sql, bindings))


def _find_near(session: Session, filter: Filter, *, limit: int) -> list[Head]:
    """Those among the newest of all: with the beginning of their time in front, most ids begin alike."""
    question = ask(filter, index="executions_time")
    by_time = order(filter, question)
    source = _SQL["newest"].format(source=question.source, order=by_time)
    sql = _SQL["find"].format(source=source, where=question.where, order=by_time)
    return decode_heads(session.value(sql, {**question.bindings, "near": nearest.NEAR, "limit": limit, "offset": 0}))


def complete(session: Session, heads: Sequence[Head], parts: Collection[Part]) -> list[Execution]:
    """The executions of these rows, in the same order, with the parts asked for."""
    numbers = [head.number for head in heads]
    if "detail" in parts:
        details = dict(session.rows(_SQL["details"], {"numbers": numbers}))
        heads = [
            msgspec.structs.replace(head, detail=details[head.number]) if head.number in details else head
            for head in heads
        ]
    items = _items(session, numbers) if "items" in parts else {}
    logs = _logs(session, numbers) if "logs" in parts else {}
    executions = [
        to_execution(head, tuple(items.get(head.number, ())), tuple(logs.get(head.number, ()))) for head in heads
    ]
    return [trim(execution, parts) for execution in executions]


def latest(session: Session, filter: Filter, *, limit: int) -> list[Execution]:
    """The newest execution of each subject, newest first.

    They are mostly among the newest of all; else each subject is asked for its own.
    """
    asked = same_but(filter, sort="newest")
    numbers = nearest.latest(
        asked,
        limit,
        lambda most: _latest_among(session, asked, limit=limit, most=most),
        lambda: _latest_of_each(session, asked, limit=limit),
    )
    heads = decode_heads(session.value(_SQL["heads_of"], {"numbers": numbers}))
    executions = sorted(map(to_execution, heads), key=sort_key(Filter()), reverse=True)
    return [trim(execution, ()) for execution in executions]


def _latest_among(session: Session, filter: Filter, *, limit: int, most: int) -> list[int] | None:
    """The numbers of the newest of each subject among so many of the newest; None where these may not be all."""
    settled = settle(session, filter)
    if settled is None:
        return []
    question = ask(settled[0], places=settled[1])
    if question.driver != "executions":
        return None
    places = {"source": question.source, "where": question.where, "order": order(filter, question)}
    found = session.value(_SQL["newest_subjects"].format(**places), {**question.bindings, "most": most})
    return nearest.first_of_each(_decode_subjects(found), limit=limit, most=most)


def _latest_of_each(session: Session, filter: Filter, *, limit: int) -> list[int]:
    index = "executions_unsuccessful_subject" if is_in(filter.statuses, UNSUCCESSFUL) else "executions_subject"
    question = ask(filter, index=index)
    sql = _SQL["latest"].format(index=index, where=question.where)
    return _decode_numbers(session.value(sql, {"kind": None, **question.bindings, "limit": limit}))


def failures(session: Session, filter: Filter, *, limit: int) -> list[FailureGroup]:
    """Executions that failed, grouped by error fingerprint, the latest group first."""
    statuses = tuple(status for status in Status if status in FAILURES and status in (filter.statuses or FAILURES))
    settled = settle(session, same_but(filter, statuses=statuses, sort="newest"))
    if not statuses or settled is None:
        return []
    narrowed, places = settled
    question = ask(narrowed, places=places)
    sql = _SQL["failures"].format(source=question.source, where=question.where)
    found = _decode_groups(session.value(sql, {**question.bindings, "limit": limit}))
    groups: list[tuple[Any, FailureGroup]] = []
    for fingerprint, count, first_at, last_at, subjects in found:
        own = same_but(narrowed, fingerprint=fingerprint, since=last_at, until=last_at + 1)
        heads = find_heads(session, own, limit=1)
        if not heads:
            raise CodecError("an index says what its row does not")
        last = complete(session, heads, WHOLE)[0]
        error = failure_of(last) or unexplained(last.status)
        group = FailureGroup(
            fingerprint, error.type, error.message, count, first_at, last_at, last.key, tuple(sorted(subjects))
        )
        groups.append((sort_key(Filter())(last), group))
    return [group for _, group in sorted(groups, key=lambda entry: entry[0], reverse=True)][:limit]


def _items(session: Session, numbers: list[int]) -> dict[int, list[Item]]:
    found: dict[int, list[Item]] = {}
    for row in session.rows(_SQL["items"], {"numbers": numbers}):
        found.setdefault(row[0], []).append(to_item(msgspec.convert(row, ItemRow)))
    return found


def _logs(session: Session, numbers: list[int]) -> dict[int, list[LogLine]]:
    found: dict[int, list[LogLine]] = {}
    for number, *line in session.rows(_SQL["logs"], {"numbers": numbers}):
        found.setdefault(number, []).append(LogLine(*line))
    return found


def _find_texts(session: Session, filter: Filter, question: Question, *, limit: int, offset: int) -> list[Head]:
    """The rows of a page of a text search: the index is walked in its own order, seconds are put in order here."""
    downwards = filter.sort != "oldest"
    sql = _SQL["find_texts"].format(
        source=question.source, where=question.where, direction="desc" if downwards else "asc"
    )
    first, last = _window(filter, question)
    wanted = limit + offset

    def walk(first: int, last: int, limit: int) -> list[tuple[int, int, int, str, str, str]]:
        bindings = {**question.bindings, "first_key": first, "last_key": last, "limit": limit}
        return _decode_texts(session.value(sql, bindings))

    found = walk(first, last, wanted + _MORE)
    if len(found) == wanted + _MORE:
        # The last second may be cut off in its middle: leave it out, or take all of it.
        low, high = text_range(found[-1][2])
        found = [row for row in found if not low <= row[1] <= high]
        if len(found) < wanted:
            found += walk(low, high, -1)
    found.sort(key=lambda row: row[2:], reverse=downwards)
    page = [row[0] for row in found[offset:wanted]]
    heads = decode_heads(session.value(_SQL["heads_of"], {"numbers": page}))
    by_number = {head.number: head for head in heads}
    if by_number.keys() < set(page):
        raise CodecError("an index has what its table has not")
    return [by_number[number] for number in page]


def _window(filter: Filter, question: Question) -> tuple[int, int]:
    """The rowids of the text index between which the answer lies: what time and cursor leave of it."""
    first, last = -_LAST_KEY, _LAST_KEY
    if filter.since is not None:
        first = text_range(filter.since)[0]
    if filter.until is not None:
        last = text_range(filter.until)[1]
    after: int | None = question.bindings.get("after_at")
    if after is not None:
        low, high = text_range(after)
        first, last = (first, min(last, high)) if filter.sort != "oldest" else (max(first, low), last)
    return first, last
