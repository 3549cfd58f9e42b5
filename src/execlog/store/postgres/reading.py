"""Reading executions: pages, single ones, the latest of each subject, failures by their error."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Any

import msgspec

from execlog.core.filter import Filter, Page
from execlog.core.model import Execution, Item, LogLine, Status
from execlog.store import nearest
from execlog.store.base import WHOLE, FailureGroup, Part
from execlog.store.matching import page_of, sort_key, trim
from execlog.store.postgres import slowest
from execlog.store.postgres.connection import Session
from execlog.store.postgres.query import Question, ask, continue_after, order
from execlog.store.postgres.settling import settle
from execlog.store.preparing import FAILURES, failure_of, unexplained
from execlog.store.sql import queries
from execlog.store.sqlite.query import Bindings, same_but
from execlog.store.sqlite.rows import Head, ItemRow, to_execution, to_item

_SQL = queries("postgres", "read")
HEAD = _SQL["head"].format(searched="null::text", detail="null::text", stamps="null::text")
"""The columns of a `Head` in a list: without what only folding and details need."""
_DETAILED = _SQL["head"].format(searched="null::text", detail="executions.detail::text", stamps="null::text")

DIRECTIONS = {"newest": "desc", "oldest": "asc"}
_FARTHEST = {"desc": "min", "asc": "max"}
_NEAR_COLUMNS = 3
NEAR = 1_000
"""How many executions with a text are looked through before all are searched for one."""
_EVER = 2**62
FARTHER = 16, 128, _EVER
"""How many times the time that their farther half takes is searched next, and after that; at last all that is left."""

# Unchecked: where SQLite has the key of a text in its index, the text itself stands here.
_make_head: Any = Head
WHOLE_HEAD = _SQL["head"].format(
    searched="executions.searched", detail="executions.detail::text", stamps="executions.stamps::text"
)


def find(
    session: Session, filter: Filter, *, limit: int, cursor: str | None, offset: int, parts: Collection[Part]
) -> Page[Execution]:
    """A page of executions in the filter's order."""
    heads = _find_heads(session, filter, limit=limit + 1, cursor=cursor, offset=offset, parts=parts)
    more = len(heads) > limit
    found = _complete(session, heads[:limit], parts)
    return page_of(filter, [*found, found[-1]] if more else found, limit)


def _find_heads(
    session: Session,
    filter: Filter,
    *,
    limit: int,
    cursor: str | None = None,
    offset: int = 0,
    parts: Collection[Part],
) -> list[Head]:
    """The rows of a page, in the filter's order."""
    settled = settle(session, filter)
    if settled is None:
        return []
    question = ask(settled[0], places=settled[1])
    continue_after(filter, question, cursor)
    places = {"head": _DETAILED if "detail" in parts else HEAD, "source": question.source, "order": order(filter)}
    if question.searched and filter.sort in DIRECTIONS and not question.by_item:
        return _find_texts(session, question, places, DIRECTIONS[filter.sort], limit + offset)[offset:]
    bindings: Bindings = {**question.bindings, "limit": limit, "offset": offset}
    if filter.sort == "slowest" and (slow := slowest.source(session, *settled, question, bindings)):
        sql = _SQL["find"].format(**{**places, "source": slow.source}, where="true")
        heads = heads_of(session.rows(sql, slow.bindings))
        if len(heads) == limit or slow.least == filter.min_duration:
            return heads
    sql = _SQL["find_searched" if question.searched else "find"].format(**places, where=question.where)
    return heads_of(session.rows(sql, bindings))


def _find_texts(session: Session, question: Question, places: dict[str, str], direction: str, limit: int) -> list[Head]:
    """The first rows with a text, in the order of time: looked for among the nearest, then farther and farther away."""
    near = {"window": question.window, "direction": direction, "farthest": _FARTHEST[direction], "most": NEAR}
    bindings = {**question.bindings, "limit": limit, "offset": 0}
    rows = session.rows(_SQL["find_near"].format(**places, **near, where=question.where), bindings)
    number, edge, half = rows[0][:_NEAR_COLUMNS]
    found = heads_of([row[_NEAR_COLUMNS:-1] for row in rows if row[-1] is not None])
    if len(found) == limit or number < NEAR:
        return found
    edge, sign = (edge, -1) if direction == "desc" else (edge + 1, 1)
    for times in FARTHER:
        far = edge + sign * min(times * (half + 1), _EVER)
        between = {"low": min(edge, far), "high": max(edge, far), "limit": limit - len(found)}
        where = f"{question.where}\nand {_SQL['beyond' if times == _EVER else 'between']}"
        sql = _SQL["find_searched"].format(**places, where=where)
        found += heads_of(session.rows(sql, {**bindings, **between}))
        if len(found) == limit:
            break
        edge = far
    return found


def heads_of(rows: Sequence[tuple[Any, ...]]) -> list[Head]:
    """Executions' rows as they were read."""
    return [_make_head(*row[:4], Status(row[4]), *row[5:]) for row in rows]


def _complete(session: Session, heads: Sequence[Head], parts: Collection[Part]) -> list[Execution]:
    """The executions of these rows, in the same order, with the parts asked for."""
    numbers = [head.number for head in heads]
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
    heads = nearest.latest(
        asked,
        limit,
        lambda most: _latest_among(session, asked, limit=limit, most=most),
        lambda: _latest_of_each(session, asked, limit=limit),
    )
    executions = sorted(map(to_execution, heads), key=sort_key(Filter()), reverse=True)
    return [trim(execution, ()) for execution in executions]


def _latest_among(session: Session, filter: Filter, *, limit: int, most: int) -> list[Head] | None:
    """The newest of each subject among so many of the newest; None where these may not be all."""
    settled = settle(session, filter)
    if settled is None:
        return []
    question = ask(settled[0], places=settled[1])
    if question.searched or question.by_item:
        return None
    places = {"source": question.source, "where": question.where, "order": order(filter)}
    rows = session.rows(_SQL["newest_subjects"].format(**places), {**question.bindings, "most": most})
    found = (((number, created_at), *subject) for number, created_at, *subject in rows)
    names = nearest.first_of_each(found, limit=limit, most=most)
    if not names:
        return None if names is None else []
    numbers, created = map(list, zip(*names, strict=True))
    return heads_of(session.rows(_SQL["heads_of"].format(head=HEAD), {"numbers": numbers, "created": created}))


def _latest_of_each(session: Session, filter: Filter, *, limit: int) -> list[Head]:
    question = ask(filter, by_item=False)
    sql = _SQL["latest"].format(head=HEAD, where=question.where)
    return heads_of(session.rows(sql, {**question.bindings, "limit": limit}))


def failures(session: Session, filter: Filter, *, limit: int) -> list[FailureGroup]:
    """Executions that failed, grouped by error fingerprint, the latest group first."""
    statuses = tuple(status for status in Status if status in FAILURES and status in (filter.statuses or FAILURES))
    settled = settle(session, same_but(filter, statuses=statuses, sort="newest"))
    if not statuses or settled is None:
        return []
    narrowed, places = settled
    question = ask(narrowed, places=places)
    sql = _SQL["failures"].format(source=question.source, where=question.where)
    groups: list[tuple[Any, FailureGroup]] = []
    for fingerprint, count, first_at, last_at, subjects in session.rows(sql, {**question.bindings, "limit": limit}):
        own = same_but(narrowed, fingerprint=fingerprint, since=last_at, until=last_at + 1)
        last = _complete(session, _find_heads(session, own, limit=1, parts=WHOLE), WHOLE)[0]
        error = failure_of(last) or unexplained(last.status)
        group = FailureGroup(
            fingerprint, error.type, error.message, count, first_at, last_at, last.key, tuple(sorted(subjects or ()))
        )
        groups.append((sort_key(Filter())(last), group))
    return [group for _, group in sorted(groups, key=lambda entry: entry[0], reverse=True)][:limit]


def _items(session: Session, numbers: list[int]) -> dict[int, list[Item]]:
    found: dict[int, list[Item]] = {}
    for row in session.rows(_SQL["items"], {"numbers": numbers}):
        found.setdefault(row[0], []).append(item_of(row))
    return found


def item_of(row: tuple[Any, ...]) -> Item:
    """An item out of its row."""
    return to_item(msgspec.convert(row, ItemRow))


def _logs(session: Session, numbers: list[int]) -> dict[int, list[LogLine]]:
    found: dict[int, list[LogLine]] = {}
    for number, *line in session.rows(_SQL["logs"], {"numbers": numbers}):
        found.setdefault(number, []).append(LogLine(*line))
    return found
