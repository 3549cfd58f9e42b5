"""An execution as the general API, the command line's `--json` and exports show it.

snake_case; times ISO 8601 with `Z`; durations in seconds; money a decimal number of US dollars, made of the
integer; what is not known is null. The parts that were not asked for (items, detail, logs) are left out.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Annotated, Any

import msgspec
from msgspec import UNSET, Meta, Struct, UnsetType

from execlog.core.clock import MAX_AT, MIN_AT, moment
from execlog.core.codec import to_json as _plain_json
from execlog.core.model import Counts, Error, Execution, Item, LogLine, Status, Usage

Money = Annotated[Decimal, Meta(description="US dollars, exact to 10⁻⁹")]
"""A decimal number; `to_json` prints it as a number."""

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_NANO = 10**9
_DETAIL = ("params", "input", "output", "metadata", "context")


class ErrorView(Struct, frozen=True, kw_only=True):
    """Why something did not succeed; the user's own frames first, innermost first."""

    type: str
    message: str
    frames: tuple[str, ...]
    fingerprint: str | None


class TokensView(Struct, frozen=True):
    """Tokens of model calls."""

    input: int
    output: int
    total: int


class UsageView(Struct, frozen=True, kw_only=True):
    """What the calls of one model came to; `cached` is part of `input`, `reasoning` of `output`."""

    input: int
    output: int
    cached: int
    reasoning: int
    calls: int
    cost: Money | None
    prices: str | None


class ItemView(Struct, frozen=True, kw_only=True):
    """One unit inside an execution."""

    key: str
    status: Status
    position: int
    attempt: int
    started_at: datetime | None
    ended_at: datetime | None
    duration: float | None
    rows: int | None
    tokens: TokensView | None
    cost: Money | None
    error: ErrorView | None
    input: Any
    output: Any
    data: dict[str, Any] | None


class LogView(Struct, frozen=True, kw_only=True):
    """One line said while an execution ran."""

    at: datetime
    number: int
    level: str
    message: str
    item: str | None


class ExecutionView(Struct, frozen=True, kw_only=True):
    """One run of one thing.

    created_at is what lists are ordered by: the earlier of queued_at and started_at. counts are of its items.
    """

    id: str
    kind: str
    namespace: str
    status: Status
    name: str | None
    subject: str | None
    actor: str | None
    engine: str | None
    created_at: datetime
    queued_at: datetime | None
    started_at: datetime | None
    ended_at: datetime | None
    duration: float | None
    rows: int | None
    counts: Counts
    tokens: TokensView
    cost: Money | None
    error: ErrorView | None
    tags: dict[str, str]
    parent_id: str | None
    root_id: str | None
    retry_of: str | None
    origin: str | None
    items: tuple[ItemView, ...] | UnsetType = UNSET
    params: dict[str, Any] | UnsetType | None = UNSET
    input: Any | UnsetType = UNSET
    output: Any | UnsetType = UNSET
    metadata: dict[str, Any] | UnsetType | None = UNSET
    usage: dict[str, UsageView] | UnsetType = UNSET
    context: dict[str, str] | UnsetType | None = UNSET
    logs: tuple[LogView, ...] | UnsetType = UNSET


_encoder = msgspec.json.Encoder(decimal_format="number", enc_hook=lambda value: msgspec.Raw(_plain_json(value)))

to_json = _encoder.encode
"""JSON of any view; decimals are numbers."""


def view(execution: Execution, parts: frozenset[str] = frozenset()) -> ExecutionView:
    """The execution as it is shown, with the parts asked for: items, detail, logs."""
    more: dict[str, Any] = {}
    if "items" in parts:
        more["items"] = tuple(map(view_item, execution.items))
    if "detail" in parts:
        more.update((name, getattr(execution, name)) for name in _DETAIL)
        more["usage"] = {model: view_usage(usage) for model, usage in (execution.usage or {}).items()}
    if "logs" in parts:
        more["logs"] = tuple(map(view_log, execution.logs))
    return ExecutionView(
        id=execution.id,
        kind=execution.kind,
        namespace=execution.namespace,
        status=execution.status,
        name=execution.name,
        subject=execution.subject,
        actor=execution.actor,
        engine=execution.engine,
        created_at=_time(execution.created_at),
        queued_at=time(execution.queued_at),
        started_at=time(execution.started_at),
        ended_at=time(execution.ended_at),
        duration=execution.seconds,
        rows=execution.rows,
        counts=execution.counts,
        tokens=_tokens(*execution.tokens) if execution.usage else _NO_TOKENS,
        cost=dollars(execution.cost_nano) if execution.usage else None,
        error=view_error(execution.error),
        tags=execution.tags or {},
        parent_id=execution.parent_id,
        root_id=execution.root_id,
        retry_of=execution.retry_of,
        origin=execution.origin,
        **more,
    )


def view_item(item: Item) -> ItemView:
    """An item as it is shown; its duration as measured, or else from its two times."""
    duration = item.duration
    if duration is None and item.started_at is not None and item.ended_at is not None:
        duration = max(item.ended_at - item.started_at, 0) / 1_000_000
    known = item.tokens_input is not None or item.tokens_output is not None
    return ItemView(
        key=item.key,
        status=item.status,
        position=item.position,
        attempt=item.attempt,
        started_at=time(item.started_at),
        ended_at=time(item.ended_at),
        duration=duration,
        rows=item.rows,
        tokens=_tokens(item.tokens_input or 0, item.tokens_output or 0) if known else None,
        cost=dollars(item.cost_nano),
        error=view_error(item.error),
        input=item.input,
        output=item.output,
        data=item.data,
    )


def view_usage(usage: Usage) -> UsageView:
    """A model's usage as it is shown."""
    return UsageView(
        input=usage.input,
        output=usage.output,
        cached=usage.cached,
        reasoning=usage.reasoning,
        calls=usage.calls,
        cost=dollars(usage.cost_nano),
        prices=usage.prices or None,
    )


def view_log(line: LogLine) -> LogView:
    """A log line as it is shown."""
    return LogView(at=_time(line.at), number=line.number, level=line.level, message=line.message, item=line.item)


def view_error(error: Error | None) -> ErrorView | None:
    """An error as it is shown; None for None."""
    if error is None:
        return None
    return ErrorView(type=error.type, message=error.message, frames=error.frames, fingerprint=error.fingerprint)


def time(at: int | None) -> datetime | None:
    """The aware UTC datetime of `at` µs; None for None."""
    return None if at is None else _time(at)


def dollars(cost_nano: int | None) -> Decimal | None:
    """US dollars of a count of 10⁻⁹ dollars, exactly: 1_000_000_000 is Decimal("1.0"); None for None."""
    if cost_nano is None:
        return None
    whole, rest = divmod(abs(cost_nano), _NANO)
    text = f"{whole}.{rest:09d}".rstrip("0")
    sign = "-" if cost_nano < 0 else ""
    return Decimal(f"{sign}{text}0" if text.endswith(".") else sign + text)


def nano(text: str | Decimal | None) -> int | None:
    """A count of 10⁻⁹ dollars of a decimal number of dollars, rounded half to even; None for None."""
    return None if text is None else int((Decimal(text) * _NANO).to_integral_value())


def _time(at: int) -> datetime:
    try:
        return _EPOCH + timedelta(microseconds=at)
    except OverflowError:
        # Recorded by a caller whose clock was beyond the calendar: shown at its edge rather than not at all.
        return moment(MIN_AT if at < 0 else MAX_AT)


def _tokens(tokens_input: int, tokens_output: int) -> TokensView:
    return TokensView(tokens_input, tokens_output, tokens_input + tokens_output)


_NO_TOKENS = TokensView(0, 0, 0)
