"""The way between an `Execution` of the spine and the records of workflows, there and back."""

from __future__ import annotations

import math
from collections import Counter
from datetime import datetime
from decimal import Decimal
from typing import Any

from msgspec import UNSET, UnsetType
from msgspec.structs import replace

from execlog.core.clock import micros, moment
from execlog.core.codec import builtins
from execlog.core.model import OPEN, TERMINAL, Error, Event, Execution, Item, LogLine, Status, Usage
from execlog.core.pricing import NOT_KNOWN
from execlog.history.view import dollars, nano
from execlog.kinds.workflows.record import (
    ExecutionSummary,
    LogRecord,
    ModelUsage,
    StepRecord,
    TokenUsage,
    WorkflowExecution,
)
from execlog.kinds.workflows.words import KIND, SKIPPED, WORDS, check_execution, check_project, status_of

UNNAMED = ""
"""The model of tokens and cost that were saved without saying whose."""

CRASHED = "crashed: the process that ran it is gone"
_UNSAID = {Status.CRASHED: CRASHED, Status.TIMED_OUT: "timed out", Status.CANCELLED: "cancelled"}


def summary_of(execution: Execution) -> ExecutionSummary:
    """The execution as lists show it."""
    return ExecutionSummary(
        id=execution.id,
        project_id=execution.namespace,
        status=WORDS[execution.status],
        started_at=moment(execution.created_at if execution.started_at is None else execution.started_at),
        completed_at=_moment(execution.ended_at),
        duration=_milliseconds(execution.seconds),
        token_usage=TokenUsage(*execution.tokens),
        cost_usd=cost_of(execution),
        error=error_of(execution),
    )


def record_of(execution: Execution) -> WorkflowExecution:
    """The execution, whole; it must have been read with its items, detail and logs."""
    params, error = execution.params or {}, execution.error
    return WorkflowExecution(
        id=execution.id,
        project_id=execution.namespace,
        status=WORDS[execution.status],
        started_at=moment(execution.created_at if execution.started_at is None else execution.started_at),
        completed_at=_moment(execution.ended_at),
        duration=_milliseconds(execution.seconds),
        token_usage=TokenUsage(*execution.tokens),
        cost_usd=cost_of(execution),
        error=error_of(execution),
        error_type=error.type if error is not None else None,
        workflow_id=execution.subject,
        name=execution.name,
        workflow=params.get("workflow"),
        input=execution.input,
        output=execution.output,
        steps=tuple(step_of(item, ended=execution.status in TERMINAL) for item in execution.items),
        logs=tuple(map(log_of, execution.logs)),
        models={model: model_of(usage) for model, usage in (execution.usage or {}).items()} or None,
        triggered_by=execution.actor,
        retry_of=execution.retry_of,
        root_id=execution.root_id,
        parent_id=execution.parent_id,
        metadata=execution.metadata,
    )


def step_of(item: Item, *, ended: bool) -> StepRecord:
    """A step; where its execution has `ended`, one that never began was skipped, and one that still ran is gone too."""
    data = dict(item.data or {})
    data.pop("digest", None)
    is_left = item.status is Status.CRASHED and item.started_at is None
    if is_left:  # as the end of its execution has it, which says nothing of a step that never began
        item = replace(item, ended_at=None, error=None)
    word, error = WORDS[item.status], item.error
    message = error.message if error is not None else _UNSAID.get(item.status)
    if data.get(SKIPPED) or (ended and (is_left or item.status is Status.QUEUED)):
        word, message = SKIPPED, None
    elif ended and item.status is Status.RUNNING:
        word, message = WORDS[Status.CRASHED], CRASHED
    known = item.tokens_input is not None or item.tokens_output is not None
    return StepRecord(
        id=item.key,
        status=word,
        type=data.pop("type", None),
        name=data.pop("name", None),
        model=data.pop("model", None),
        started_at=_moment(item.started_at),
        completed_at=_moment(item.ended_at),
        duration=_milliseconds(_seconds(item)),
        attempt=item.attempt,
        token_usage=TokenUsage(item.tokens_input or 0, item.tokens_output or 0) if known else None,
        cost_usd=dollars(item.cost_nano),
        error=message,
        error_type=error.type if error is not None else None,
        input=item.input,
        output=item.output,
        data=data or None,
    )


def log_of(line: LogLine) -> LogRecord:
    """A log line."""
    return LogRecord(message=line.message, at=moment(line.at), level=line.level, step=line.item)


def model_of(usage: Usage) -> ModelUsage:
    """What the calls of one model came to."""
    return ModelUsage(
        input=usage.input,
        output=usage.output,
        cached=usage.cached,
        reasoning=usage.reasoning,
        calls=usage.calls,
        cost_usd=dollars(usage.cost_nano),
        prices=usage.prices or None,
    )


def cost_of(execution: Execution) -> Decimal | None:
    """What its model calls cost: 0 where there were none, None where no call has a known price."""
    return dollars(execution.cost_nano) if execution.usage else dollars(0)


def error_of(execution: Execution) -> str | None:
    """Why it did not succeed, in words; None where it did, or is not over."""
    if execution.error is not None:
        return execution.error.message
    return _UNSAID.get(execution.status)


def event_of(record: WorkflowExecution, project_id: str, at: int, mended: Counter[str]) -> Event:
    """The event that says all of a record at `at` UTC µs. Raises InvalidError for ids and statuses that cannot be."""
    status = status_of(record.status)
    started = micros(record.started_at) if record.started_at is not None else None
    seconds = None if status in OPEN else _from_milliseconds(record.duration, mended)
    return Event(
        id=check_execution(record.id),
        kind=KIND,
        namespace=check_project(project_id),
        at=at,
        status=status,
        name=record.name or record.workflow_id,
        subject=record.workflow_id or record.name,
        actor=record.triggered_by,
        started_at=started,
        ended_at=None if status in OPEN else _end(record.completed_at, started, seconds, at),
        duration=seconds,
        error=Error(record.error_type or "Error", record.error) if record.error else None,
        items=tuple(_item_of(step, place, at, mended) for place, step in enumerate(record.steps)),
        usage=_usage_of(record, mended),
        input=record.input,
        output=record.output,
        params=None if record.workflow is None else {"workflow": record.workflow},
        metadata=record.metadata,
        logs=tuple(
            # A line without a time takes the execution's: saved again, it is the same line.
            LogLine(micros(line.at) if line.at else started or at, number, line.level, line.message, line.step)
            for number, line in enumerate(record.logs, 1)
        ),
        parent_id=record.parent_id,
        root_id=record.root_id,
        retry_of=record.retry_of,
    )


def _item_of(step: StepRecord, position: int, at: int, mended: Counter[str]) -> Item:
    skipped = step.status == SKIPPED
    status = Status.SUCCEEDED if skipped else status_of(step.status)
    named = {"type": step.type, "name": step.name, "model": step.model}
    data: dict[str, Any] = {name: value for name, value in named.items() if value is not None} | (step.data or {})
    usage = step.token_usage
    return Item(
        key=step.id,
        at=at,
        status=status,
        position=position,
        attempt=step.attempt,
        started_at=None if step.started_at is None else micros(step.started_at),
        ended_at=None if step.completed_at is None else micros(step.completed_at),
        duration=_from_milliseconds(step.duration, mended),
        tokens_input=usage.input if usage is not None else None,
        tokens_output=usage.output if usage is not None else None,
        cost_nano=_nano(step.cost_usd, mended),
        error=Error(step.error_type or "Error", step.error) if step.error else None,
        input=builtins(step.input),
        output=builtins(step.output),
        data=({SKIPPED: True} | data if skipped else data) or None,
    )


def _usage_of(record: WorkflowExecution, mended: Counter[str]) -> dict[str, Usage] | None:
    """Tokens and cost by model: as given by model, else as given in all, else the sums of the steps'."""
    if record.models is not None:
        return {model: _model_usage(usage, mended) for model, usage in record.models.items()} or None
    given = record.token_usage
    if given is None and isinstance(record.cost_usd, UnsetType):
        return _summed(record.steps, mended)
    given = given or TokenUsage()
    cost = _nano(record.cost_usd, mended)
    if not given.total and not cost:
        return None
    return {UNNAMED: Usage(given.input, given.output, cost_nano=cost)}


def _summed(steps: tuple[StepRecord, ...], mended: Counter[str]) -> dict[str, Usage] | None:
    sums: dict[str, Usage] = {}
    for step in steps:
        if step.token_usage is None and step.cost_usd is None:
            continue
        tokens, cost = step.token_usage or TokenUsage(), _nano(step.cost_usd, mended)
        before = sums.get(step.model or UNNAMED, Usage(calls=0))
        sums[step.model or UNNAMED] = Usage(
            before.input + tokens.input,
            before.output + tokens.output,
            calls=before.calls + 1,
            cost_nano=before.cost_nano if cost is None else (before.cost_nano or 0) + cost,
            prices=NOT_KNOWN,
        )
    return sums or None


def _model_usage(usage: ModelUsage, mended: Counter[str]) -> Usage:
    cost = _nano(usage.cost_usd, mended)
    return Usage(usage.input, usage.output, usage.cached, usage.reasoning, usage.calls, cost, usage.prices or NOT_KNOWN)


def _nano(cost: Decimal | UnsetType | None, mended: Counter[str]) -> int | None:
    if cost is None or cost is UNSET:
        return None
    if not cost.is_finite():
        mended["not_finite"] += 1
        return None
    return nano(cost)


def _from_milliseconds(duration: float | None, mended: Counter[str]) -> float | None:
    if duration is None:
        return None
    if not math.isfinite(duration):
        mended["not_finite"] += 1
        return None
    return duration / 1000


def _end(completed: datetime | None, started: int | None, seconds: float | None, at: int) -> int:
    if completed is not None:
        return micros(completed)
    return at if started is None or seconds is None else started + round(seconds * 1e6)


def _seconds(item: Item) -> float | None:
    if item.duration is not None or item.started_at is None or item.ended_at is None:
        return item.duration
    return max(item.ended_at - item.started_at, 0) / 1_000_000


def _milliseconds(seconds: float | None) -> int | None:
    return None if seconds is None else round(seconds * 1000)


def _moment(at: int | None) -> datetime | None:
    return None if at is None else moment(at)
