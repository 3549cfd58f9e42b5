"""Rows of the tables: made of events and executions, and read back into executions."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from operator import attrgetter
from typing import Any

import msgspec
from msgspec import Struct
from msgspec.structs import astuple

from execlog.core.codec import to_json
from execlog.core.fold import created
from execlog.core.model import (
    TERMINAL,
    Counts,
    Error,
    Event,
    Execution,
    Item,
    LogLine,
    Status,
    Usage,
)
from execlog.store.matching import fold_case, searchable
from execlog.store.preparing import FAILURES, is_failed, unexplained

WRITTEN = (
    "number", "id", "kind", "namespace", "status", "at", "name", "subject", "actor", "engine", "queued_at",
    "started_at", "ended_at", "duration", "rows", "total", "declared_succeeded", "declared_failed", "parent_id",
    "root_id", "retry_of", "origin", "created_at", "items_total", "items_succeeded", "items_failed", "items_open",
    "tokens_input", "tokens_output", "cost_nano", "error_type", "error_message", "fingerprint", "text_key", "tags",
    "usage", "detail", "stamps",
)  # fmt: skip
"""The columns of `executions`, in the order a row is written in."""

STATUS, CREATED_AT, TEXT_KEY = map(WRITTEN.index, ("status", "created_at", "text_key"))
LOST_BY = tuple(
    WRITTEN.index(name)
    for name in (
        "kind", "namespace", "status", "subject", "actor", "engine", "started_at", "ended_at", "duration", "rows",
        "created_at", "tokens_input", "tokens_output", "cost_nano",
    )
)  # fmt: skip
"""The columns that statistics are made of: where one of them changes, the execution is counted anew."""

STAMPED = (
    "status", "name", "subject", "actor", "engine", "queued_at", "started_at", "rows", "total", "declared_succeeded",
    "declared_failed", "usage", "input", "params", "metadata", "tags", "parent_id", "root_id", "retry_of", "origin",
    "context",
)  # fmt: skip
"""What the bits of a stored stamp stand for. Only ever append here: databases hold these positions."""

ITEM_WRITTEN = (
    "execution", "created_at", "key", "status", "at", "position", "attempt", "started_at", "ended_at", "duration",
    "rows", "tokens_input", "tokens_output", "cost_nano", "detail",
)  # fmt: skip

PLAIN_WRITTEN = (
    "number", "id", "kind", "namespace", "at", "name", "subject", "actor", "engine", "queued_at", "started_at",
    "ended_at", "duration", "rows", "origin", "created_at", "detail",
)  # fmt: skip
"""The columns of most executions: of the others, status is "succeeded", counts are 0, and the rest is null."""

_SAID = attrgetter(*WRITTEN[1:22])
_DETAIL = attrgetter("input", "output", "params", "metadata", "context")
_NO_DETAIL = (None,) * 5
_NO_COUNTS = (0,) * 4
_NOT_CONSUMED = (None,) * 3
_ITEM_SAID = attrgetter(*ITEM_WRITTEN[2:14])
_BITS = {name: 1 << position for position, name in enumerate(STAMPED)}
_TEXT_SHIFT, _TEXT_BITS = 20, 24
_SUCCEEDED = Status.SUCCEEDED
_LONGEST, _MOST = 1e9, 10**15
Row = tuple[Any, ...]


class Detail(Struct, omit_defaults=True):
    """What of an execution is only ever read whole."""

    input: Any = None
    output: Any = None
    params: dict[str, Any] | None = None
    metadata: dict[str, Any] | None = None
    context: dict[str, str] | None = None
    frames: tuple[str, ...] = ()


class ItemDetail(Struct, omit_defaults=True):
    """What of an item is only ever read whole."""

    error: Error | None = None
    input: Any = None
    output: Any = None
    data: dict[str, Any] | None = None


class Head(Struct, array_like=True, frozen=True):
    """An execution's row as it is read: one element of the JSON array that a reading statement answers with."""

    number: int
    id: str
    kind: str
    namespace: str
    status: Status
    at: int
    name: str | None
    subject: str | None
    actor: str | None
    engine: str | None
    queued_at: int | None
    started_at: int | None
    ended_at: int | None
    duration: float | None
    rows: int | None
    total: int | None
    declared_succeeded: int | None
    declared_failed: int | None
    parent_id: str | None
    root_id: str | None
    retry_of: str | None
    origin: str | None
    created_at: int
    items_total: int
    items_succeeded: int
    items_failed: int
    items_open: int
    tokens_input: int | None
    tokens_output: int | None
    cost_nano: int | None
    error_type: str | None
    error_message: str | None
    fingerprint: str | None
    text_key: int | None
    tags: str | None
    usage: str | None
    detail: str | None
    stamps: str | None


class ItemRow(Struct, array_like=True, frozen=True):
    """An item's row as it is read."""

    execution: int
    key: str
    status: Status
    at: int
    position: int
    attempt: int
    started_at: int | None
    ended_at: int | None
    duration: float | None
    rows: int | None
    tokens_input: int | None
    tokens_output: int | None
    cost_nano: int | None
    detail: str | None


decode_heads = msgspec.json.Decoder(list[Head]).decode
_decode_detail = msgspec.json.Decoder(Detail).decode
_decode_item_detail = msgspec.json.Decoder(ItemDetail).decode
_decode_errors = msgspec.json.Decoder(list[Error]).decode
_decode_usage = msgspec.json.Decoder(dict[str, Usage]).decode
_decode_tags = msgspec.json.Decoder(dict[str, str]).decode
_decode_stamps = msgspec.json.Decoder(list[tuple[int, int]]).decode


def plain_row(number: int, event: Event) -> Row | None:
    """The row, by `PLAIN_WRITTEN`, of an execution that succeeded and that one event tells whole; else None.

    None too where it says something that most do not, or has a NUL character where `Session.run` would not see it. This
    runs for every event that is stored, so it is one piece: each step of it is paid a million times.
    """
    (
        id_, kind, at, namespace, status, name, subject, actor, engine, queued_at, started_at, ended_at, duration, rows,
        error, total, items, usage, input_, output, params, metadata, tags, logs, parent_id, root_id, retry_of, origin,
        context, declared_succeeded, declared_failed,
    ) = astuple(event)  # fmt: skip
    if (
        status is not _SUCCEEDED or error is not None or total is not None or items or usage is not None
        or tags is not None or logs or parent_id is not None or root_id is not None or retry_of is not None
        or declared_succeeded is not None or declared_failed is not None
    ):  # fmt: skip
        return None
    if "\0" in f"{name}{subject}{actor}{engine}{origin}":
        return None
    _check(duration, rows)
    created_at = at if started_at is None else started_at
    if queued_at is not None and (started_at is None or queued_at < started_at):
        created_at = queued_at
    detail = None
    if metadata is not None or input_ is not None or context is not None or params is not None or output is not None:
        detail = to_json(Detail(input_, output, params, metadata, context)).decode()
        if "u0000" in detail:
            return None
    return (
        number, id_, kind, namespace, at, name, subject, actor, engine, queued_at, started_at, ended_at, duration, rows,
        origin, created_at, detail,
    )  # fmt: skip


def event_row(number: int, event: Event, *, has_text: bool) -> Row:
    """The row of an execution that one event with a status tells whole: as `execution_row` of its beginning."""
    error, items, usage, tags = event.error, event.items, event.usage, event.tags
    _check(event.duration, event.rows)
    created_at = created(event.queued_at, event.started_at, event.at)
    if error is not None:
        failure = error.type, error.message, error.fingerprint
    else:
        failure = None, None, failure_fingerprint(event.status, None, items) if event.status in FAILURES else None
    return (
        number, *_SAID(event), created_at,
        *(_count(items) if items else _NO_COUNTS), *(_consumed(usage) if usage else _NOT_CONSUMED), *failure,
        text_key(created_at, number) if has_text else None,
        None if tags is None else to_json(tags).decode(), None if usage is None else to_json(usage).decode(),
        _detail(event, error.frames if error is not None else ()), None,
    )  # fmt: skip


def execution_row(number: int, execution: Execution, text_key: int | None, fingerprint: str | None) -> Row:
    """The row of an execution; `fingerprint` is its failure's, for which its items have been looked at."""
    error, counts = execution.error, execution.counts
    _check(execution.duration, execution.rows)
    return (
        number, *_SAID(execution), execution.created_at, counts.total, counts.succeeded, counts.failed, counts.open,
        *_consumed(execution.usage), error.type if error else None, error.message if error else None, fingerprint,
        text_key,
        None if execution.tags is None else to_json(execution.tags).decode(),
        None if execution.usage is None else to_json(execution.usage).decode(),
        _detail(execution, error.frames if error else ()), _encode_stamps(execution.stamps),
    )  # fmt: skip


def item_row(number: int, created_at: int, item: Item) -> Row:
    """The row of an item of the execution `number`."""
    detail = None
    if item.error is not None or item.input is not None or item.output is not None or item.data is not None:
        detail = to_json(ItemDetail(item.error, item.input, item.output, item.data)).decode()
    return (number, created_at, *_ITEM_SAID(item), detail)


def failure_fingerprint(status: Status | None, error: Error | None, items: Iterable[Item]) -> str | None:
    """The fingerprint its failure is grouped by, as `store.preparing.failure_of` says; errors must have theirs."""
    if error is not None:
        return error.fingerprint
    if status not in FAILURES or status is None:
        return None
    failed = [item for item in items if is_failed(item)]
    first = min(failed, key=lambda item: (item.position, item.key), default=None)
    shown = first.error if first else None
    return shown.fingerprint if shown else unexplained(status).fingerprint


def text_key(created_at: int, number: int) -> int:
    """The rowid in the text index: ascends with created_at, second by second (2²⁰ µs), and is the execution's own."""
    return created_at >> _TEXT_SHIFT << _TEXT_BITS | number & ((1 << _TEXT_BITS) - 1)


def text_range(created_at: int) -> tuple[int, int]:
    """The first and the last rowid in the text index that executions of this second have."""
    first = created_at >> _TEXT_SHIFT << _TEXT_BITS
    return first, first | ((1 << _TEXT_BITS) - 1)


def text_search(searched: Mapping[str, tuple[str, ...]]) -> Callable[..., bool]:
    """The SQL function `has_text`: whether the searchable text of a row contains a text, given folded."""

    def has_text(
        kind: str, type_: str | None, message: str | None, detail: str | None, failed: str | None, text: str
    ) -> bool:
        said = _decode_detail(detail) if detail and kind in searched else Detail()
        error = None if type_ is None else Error(type_, message or "")
        shown = Execution(
            id="", kind=kind, at=0, created_at=0, error=error, input=said.input, output=said.output, params=said.params,
            metadata=said.metadata,
        )  # fmt: skip
        return text in fold_case(searchable(shown, searched, _decode_errors(failed) if failed else ()) or "")

    return has_text


def to_execution(head: Head, items: tuple[Item, ...] = (), logs: tuple[LogLine, ...] = ()) -> Execution:
    """The execution of a row; what the row was read without stays empty."""
    detail = _decode_detail(head.detail) if head.detail else Detail()
    error = None
    if head.error_type is not None:
        error = Error(head.error_type, head.error_message or "", detail.frames, head.fingerprint)
    return Execution(
        id=head.id,
        kind=head.kind,
        namespace=head.namespace,
        status=head.status,
        at=head.at,
        created_at=head.created_at,
        name=head.name,
        subject=head.subject,
        actor=head.actor,
        engine=head.engine,
        queued_at=head.queued_at,
        started_at=head.started_at,
        ended_at=head.ended_at,
        duration=head.duration,
        rows=head.rows,
        total=head.total,
        declared_succeeded=head.declared_succeeded,
        declared_failed=head.declared_failed,
        parent_id=head.parent_id,
        root_id=head.root_id,
        retry_of=head.retry_of,
        origin=head.origin,
        counts=Counts(head.items_total, head.items_succeeded, head.items_failed, head.items_open),
        error=error,
        tags=_decode_tags(head.tags) if head.tags else None,
        usage=_decode_usage(head.usage) if head.usage else None,
        input=detail.input,
        output=detail.output,
        params=detail.params,
        metadata=detail.metadata,
        context=detail.context,
        stamps=_from_stamps(head.stamps),
        items=items,
        logs=logs,
    )


def to_item(row: ItemRow) -> Item:
    """The item of a row."""
    detail = _decode_item_detail(row.detail) if row.detail else ItemDetail()
    return Item(
        key=row.key,
        status=row.status,
        at=row.at,
        position=row.position,
        attempt=row.attempt,
        started_at=row.started_at,
        ended_at=row.ended_at,
        duration=row.duration,
        rows=row.rows,
        tokens_input=row.tokens_input,
        tokens_output=row.tokens_output,
        cost_nano=row.cost_nano,
        error=detail.error,
        input=detail.input,
        output=detail.output,
        data=detail.data,
    )


def _check(duration: float | None, rows: int | None) -> None:
    """Nothing; raises ValueError for what cannot be added up: no number, infinite, or beyond what is stored."""
    if duration is not None and not duration <= _LONGEST:
        raise ValueError(f"a duration of {duration} s")
    if type(rows) is int and not -_MOST <= rows <= _MOST:  # of another type: the table refuses it
        raise ValueError(f"{rows} rows")


def _count(items: Iterable[Item]) -> tuple[int, int, int, int]:
    total = succeeded = unfinished = 0
    for item in items:
        total += 1
        if item.status is Status.SUCCEEDED:
            succeeded += 1
        elif item.status not in TERMINAL:
            unfinished += 1
    return total, succeeded, total - succeeded - unfinished, unfinished


def _consumed(usage: Mapping[str, Usage] | None) -> tuple[int | None, int | None, int | None]:
    """Tokens in, tokens out, cost: null where there was no model call, and the cost where no price is known."""
    if not usage:
        return None, None, None
    calls = usage.values()
    costs = [call.cost_nano for call in calls if call.cost_nano is not None]
    tokens = sum(call.input for call in calls), sum(call.output for call in calls)
    return min(tokens[0], _MOST), min(tokens[1], _MOST), min(sum(costs), _MOST) if costs else None


def _detail(said: Event | Execution, frames: tuple[str, ...]) -> str | None:
    parts = _DETAIL(said)
    if parts == _NO_DETAIL and not frames:
        return None
    return to_json(Detail(*parts, frames=frames)).decode()


def _encode_stamps(stamps: Mapping[str, int] | None) -> str | None:
    if not stamps:
        return None
    bits: dict[int, int] = {}
    for name, at in stamps.items():
        bits[at] = bits.get(at, 0) | _BITS[name]
    return to_json(sorted(bits.items())).decode()


def _from_stamps(text: str | None) -> dict[str, int] | None:
    if text is None:
        return None
    return {name: at for at, bits in _decode_stamps(text) for name, bit in _BITS.items() if bits & bit}
