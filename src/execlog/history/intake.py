"""What another process or language says about an execution, in JSON: `ExecutionInput`, and the `Event` it means.

It takes what the general API gives, so that an export can be posted again; what is derived there is ignored here.
"""

from __future__ import annotations

import re
from typing import Annotated, Any

from msgspec import UNSET, Meta, Struct, UnsetType
from msgspec.structs import replace

from execlog.core.clock import parse_when
from execlog.core.codec import from_json
from execlog.core.errors import InvalidError
from execlog.core.fold import begin, outcome
from execlog.core.ids import check_id
from execlog.core.model import TERMINAL, Error, Event, Item, LogLine, Status, Usage
from execlog.history.view import nano
from execlog.recorder.lease import DEFAULT_SECONDS, Lease, lease_in

MAX_DEPTH = 32
MAX_ITEMS = 10_000
# Possessive, and content with an unterminated string: linear in the length of whatever is sent.
_BRACKETS = re.compile(rb'"[^"\\]*+(?:\\.[^"\\]*+)*"?|[\[\]{}]', re.DOTALL)
_INT64 = 2**63 - 1

Id = Annotated[str, Meta(min_length=1, max_length=100)]
Name = Annotated[str, Meta(max_length=1000)]
Whole = Annotated[int, Meta(ge=0, le=_INT64)]
Time = Annotated[str, Meta(max_length=40)] | Annotated[float, Meta(ge=-62_135_596_800, le=253_402_300_799)]
"""ISO 8601 (without an offset: UTC), or Unix seconds."""
Seconds = Annotated[float, Meta(ge=0, le=1e10)]
Dollars = Annotated[float, Meta(ge=0, le=1e9)]


class ErrorInput(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Why it did not succeed."""

    message: str
    type: Name = "Error"
    frames: Annotated[tuple[str, ...], Meta(max_length=200)] = ()
    fingerprint: Annotated[str, Meta(max_length=100)] | None = None


class TokensInput(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Tokens of model calls; `total` is ignored."""

    input: Whole = 0
    output: Whole = 0
    total: Any = None


class UsageInput(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What the calls of one model came to."""

    input: Whole = 0
    output: Whole = 0
    cached: Whole = 0
    reasoning: Whole = 0
    calls: Whole = 1
    cost: Dollars | None = None
    prices: Name | None = None


class ItemInput(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One unit inside the execution. Without a status: failed where it has an error, else succeeded."""

    key: Name
    status: Status | None = None
    position: Annotated[int, Meta(ge=0, le=_INT64)] | None = None
    attempt: Annotated[int, Meta(ge=1, le=2**31)] = 1
    started_at: Time | None = None
    ended_at: Time | None = None
    duration: Seconds | None = None
    rows: Whole | None = None
    tokens: TokensInput | None = None
    cost: Dollars | None = None
    error: ErrorInput | str | None = None
    input: Any = None
    output: Any = None
    data: dict[str, Any] | None = None


class LogInput(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One line said while it ran."""

    message: str
    at: Time | None = None
    number: Annotated[int, Meta(ge=0, le=_INT64)] | None = None
    level: Annotated[str, Meta(max_length=20)] = "info"
    item: Name | None = None


class ExecutionInput(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What is said about an execution; nothing need be given, and saying more about the same id adds to it.

    id         your own, or left out: a new one is made and returned
    status     without one: failed where there is an error, by the items where there are some, else succeeded; but an id
               that comes with neither status, end, duration nor error is only added to, and its status stays what it is
    at         when this was said (default: now); of two sayings the later one holds
    subject    what ran, within the kind: what "latest" and "since it last worked" go by (default: the name;
               null for none)
    cost, tokens  of an execution without `usage` by model
    lease_seconds  how long nothing need be heard of it while it runs, by the server's clock (default: a day); then it
               is crashed. Each post of it with status running, or with lease_seconds, begins the lease anew

    created_at, counts, attempts, children and truncated are what the API gives; they are ignored here.
    """

    id: Id | None = None
    kind: Annotated[str, Meta(min_length=1, max_length=100)] = "task"
    namespace: Annotated[str, Meta(max_length=100)] = ""
    at: Time | None = None
    status: Status | None = None
    name: Name | None = None
    subject: Name | UnsetType | None = UNSET
    actor: Name | None = None
    engine: Name | None = None
    queued_at: Time | None = None
    started_at: Time | None = None
    ended_at: Time | None = None
    duration: Seconds | None = None
    rows: Whole | None = None
    error: ErrorInput | str | None = None
    total: Whole | None = None
    items: Annotated[tuple[ItemInput, ...], Meta(max_length=MAX_ITEMS)] = ()
    usage: Annotated[dict[str, UsageInput], Meta(max_length=100)] | None = None
    tokens: TokensInput | None = None
    cost: Dollars | None = None
    input: Any = None
    output: Any = None
    params: dict[str, Any] | None = None
    metadata: dict[str, Any] | None = None
    tags: Annotated[dict[str, str], Meta(max_length=100)] | None = None
    logs: Annotated[tuple[LogInput, ...], Meta(max_length=MAX_ITEMS)] = ()
    parent_id: Id | None = None
    root_id: Id | None = None
    retry_of: Id | None = None
    origin: Name | None = None
    lease_seconds: Annotated[int, Meta(ge=1, le=31_536_000)] | None = None
    context: dict[str, str] | None = None
    created_at: Any = None
    counts: Any = None
    attempts: Any = None
    children: Any = None
    truncated: Any = None


def read(line: bytes) -> ExecutionInput:
    """What one JSON object says; raises InvalidError for JSON that is none, does not fit, or is nested too deeply."""
    check_depth(line)
    return from_json(line, ExecutionInput)


def check_depth(data: bytes | memoryview, limit: int = MAX_DEPTH * 2) -> None:
    """Nothing, for JSON nested at most `limit` deep; raises InvalidError before a deep one costs anything."""
    raw = bytes(data)
    if raw.count(b"[") + raw.count(b"{") <= limit:
        return
    depth = 0
    for found in _BRACKETS.finditer(raw):
        mark = raw[found.start()]
        if mark in b"[{":
            depth += 1
            if depth > limit:
                raise InvalidError(f"nested more than {limit} deep")
        elif mark in b"]}":
            depth -= 1


def event_of(said: ExecutionInput, *, id_: str, at: int) -> Event:
    """The event a saying means; `id_` is used where it brings none, `at` (UTC µs) where it names no moment.

    Raises InvalidError, naming the field, for ids that may not enter and times that are none.
    """
    _check_ids(said)
    at = _micros(said.at, "at") or at
    event = Event(
        id=said.id or id_,
        kind=said.kind,
        namespace=said.namespace,
        at=at,
        status=said.status,
        name=said.name,
        subject=said.name if said.subject is UNSET else said.subject,
        actor=said.actor,
        engine=said.engine,
        queued_at=_micros(said.queued_at, "queued_at"),
        started_at=_micros(said.started_at, "started_at"),
        ended_at=_micros(said.ended_at, "ended_at"),
        duration=said.duration,
        rows=said.rows,
        error=_error(said.error),
        total=said.total,
        items=tuple([_item(item, position, at) for position, item in enumerate(said.items)]) if said.items else (),
        usage=_usage(said),
        input=said.input,
        output=said.output,
        params=said.params,
        metadata=said.metadata,
        tags=said.tags,
        logs=tuple([_log(line, number, at) for number, line in enumerate(said.logs)]) if said.logs else (),
        parent_id=said.parent_id,
        root_id=said.root_id,
        retry_of=said.retry_of,
        origin=None if lease_in(said.origin) else said.origin,
        context=said.context,
    )
    return _with_outcome(event, fresh=said.id is None)


def lease_of(said: ExecutionInput, event: Event, *, at: int, now: int) -> Event | None:
    """What begins the lease of an execution that somebody elsewhere runs; None where a saying begins none.

    It is an event of its own, since it is said at `at`, on the server's clock, whatever moment the saying names.
    """
    runs = event.status is Status.RUNNING and event.origin is None
    if not runs and (said.lease_seconds is None or event.status in TERMINAL):
        return None
    lease = Lease.beginning(now, said.lease_seconds or DEFAULT_SECONDS)
    return Event(id=event.id, kind=event.kind, namespace=event.namespace, at=at, origin=lease.origin)


def _check_ids(said: ExecutionInput) -> None:
    if said.id is not None:
        check_id(said.id, kind=said.kind)
    check_id(said.kind, field="kind")
    if said.namespace:
        check_id(said.namespace, field="namespace")
    if said.parent_id or said.root_id or said.retry_of:
        for name in ("parent_id", "root_id", "retry_of"):
            if text := getattr(said, name):
                check_id(text, field=name)


def _with_outcome(event: Event, *, fresh: bool) -> Event:
    """The event with the status it implies, where it implies one."""
    if event.status is None:
        ended = event.ended_at is not None or event.duration is not None or event.error is not None
        if not (fresh or ended):
            return event
        event = replace(event, status=Status.FAILED if event.error else outcome(begin(event).counts))
    if event.status in TERMINAL and event.ended_at is None:
        start, duration = event.started_at, event.duration
        end = event.at if start is None or duration is None else start + round(duration * 1e6)
        event = replace(event, ended_at=end)
    return event


def _micros(time: str | float | None, field: str) -> int | None:
    if time is None:
        return None
    try:
        return parse_when(time, now=None) if isinstance(time, str) else round(time * 1_000_000)
    except InvalidError as error:
        raise InvalidError(str(error), field=field) from error


def _error(said: ErrorInput | str | None) -> Error | None:
    if said is None:
        return None
    if isinstance(said, str):
        said = ErrorInput(message=said)
    # The store makes a fingerprint where there is none: after redaction, so that no secret goes into it.
    return Error(said.type, said.message, said.frames, said.fingerprint)


def _usage(said: ExecutionInput) -> dict[str, Usage] | None:
    if said.usage is not None:
        return {
            model: Usage(
                usage.input,
                usage.output,
                usage.cached,
                usage.reasoning,
                usage.calls,
                _cost(usage.cost),
                usage.prices,
            )
            for model, usage in said.usage.items()
        }
    tokens = said.tokens
    if tokens is None:
        return None if said.cost is None else {"": Usage(0, 0, cost_nano=_cost(said.cost))}
    if said.cost is None and not (tokens.input or tokens.output):
        return None
    return {"": Usage(tokens.input, tokens.output, cost_nano=_cost(said.cost))}


def _item(said: ItemInput, position: int, at: int) -> Item:
    error = _error(said.error)
    return Item(
        key=said.key,
        at=at,
        status=said.status or (Status.FAILED if error else Status.SUCCEEDED),
        position=position if said.position is None else said.position,
        attempt=said.attempt,
        started_at=_micros(said.started_at, "items"),
        ended_at=_micros(said.ended_at, "items"),
        duration=said.duration,
        rows=said.rows,
        tokens_input=said.tokens.input if said.tokens else None,
        tokens_output=said.tokens.output if said.tokens else None,
        cost_nano=_cost(said.cost),
        error=error,
        input=said.input,
        output=said.output,
        data=said.data,
    )


def _log(said: LogInput, number: int, at: int) -> LogLine:
    when = _micros(said.at, "logs")
    number = number if said.number is None else said.number
    return LogLine(at if when is None else when, number, said.level, said.message, said.item)


def _cost(cost: float | None) -> int | None:
    # repr() gives the decimal digits that were sent: 0.1 is 100,000,000, not its binary neighbour.
    return None if cost is None else nano(repr(cost))
