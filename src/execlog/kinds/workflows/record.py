"""The records of workflows: `ExecutionSummary`, and `WorkflowExecution`, the full execution. camelCase on the wire.

Times are aware UTC datetimes, durations milliseconds, money exact decimal numbers of US dollars. `costUSD` is null, not
0, where tokens were used and no price is known.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import datetime
from decimal import Decimal
from typing import Any, cast

import msgspec
from msgspec import UNSET, Struct, UnsetType, field

from execlog.core.codec import convert
from execlog.core.errors import InvalidError
from execlog.history.view import Money, to_json

Json = dict[str, Any]


class TokenUsage(Struct, frozen=True):
    """Tokens of model calls; `total` is input plus output, whatever was given."""

    input: int = 0
    output: int = 0
    total: int = 0

    def __post_init__(self) -> None:
        if self.input < 0 or self.output < 0:
            raise ValueError("tokens must not be negative")
        msgspec.structs.force_setattr(self, "total", self.input + self.output)


class ModelUsage(Struct, frozen=True, kw_only=True, rename="camel"):
    """What the calls of one model came to; `cached` is part of `input`, `reasoning` of `output`.

    prices    the price table and its version that `costUSD` was computed with
    """

    input: int = 0
    output: int = 0
    cached: int = 0
    reasoning: int = 0
    total: int = 0
    calls: int = 1
    cost_usd: Money | None = field(name="costUSD", default=None)
    prices: str | None = None

    def __post_init__(self) -> None:
        msgspec.structs.force_setattr(self, "total", self.input + self.output)


class StepRecord(Struct, frozen=True, kw_only=True, rename="camel", omit_defaults=True):
    """One step of an execution.

    status       pending, running, completed, failed, cancelled, or skipped (it never ran; `data` says why)
    attempt      how many tries it took
    data         what else is known of it: model, provider, tool, exit code, reused_from, skipped …
    """

    id: str
    status: str
    type: str | None = None
    name: str | None = None
    started_at: datetime | None = None
    completed_at: datetime | None = None
    duration: float | None = None
    attempt: int = 1
    token_usage: TokenUsage | None = None
    cost_usd: Money | None = field(name="costUSD", default=None)
    model: str | None = None
    error: str | None = None
    error_type: str | None = None
    input: Any = None
    output: Any = None
    data: Json | None = None


class LogRecord(Struct, frozen=True, kw_only=True, rename="camel", omit_defaults=True):
    """One line said while it ran."""

    message: str
    level: str
    at: datetime | None = None
    step: str | None = None


class ExecutionSummary(Struct, frozen=True, kw_only=True, rename="camel", omit_defaults=True):
    """An execution as lists show it."""

    id: str
    project_id: str
    status: str
    started_at: datetime
    completed_at: datetime | None = None
    duration: int | None = None
    token_usage: TokenUsage
    cost_usd: Money | None = field(name="costUSD")
    error: str | None = None

    def to_dict(self) -> Json:
        """The record as JSON has it: camelCase keys, ISO times, numbers."""
        return to_dict(self)


def _none() -> tuple[Any, ...]:
    """No steps or lines: from a function, for a plain default is left out, and clients write `answer["steps"]`."""
    return ()


class WorkflowExecution(Struct, frozen=True, kw_only=True, rename="camel", omit_defaults=True):
    """An execution, whole.

    Given to `save_execution`, only id, status and startedAt need be there: tokens and cost that are not given are the
    sums of the steps'.

    models       tokens and cost by model
    workflow     its definition
    retryOf      the execution this one resumes; rootId the first of the chain
    """

    id: str
    project_id: str = ""
    status: str
    started_at: datetime | None = None
    completed_at: datetime | None = None
    duration: float | None = None
    token_usage: TokenUsage | None = None
    cost_usd: Money | UnsetType | None = field(name="costUSD", default=UNSET)
    error: str | None = None
    error_type: str | None = None
    workflow_id: str | None = None
    name: str | None = None
    workflow: Any = None
    input: Any = None
    output: Any = None
    steps: tuple[StepRecord, ...] = field(default_factory=_none)
    logs: tuple[LogRecord, ...] = field(default_factory=_none)
    models: dict[str, ModelUsage] | None = None
    triggered_by: str | None = None
    retry_of: str | None = None
    root_id: str | None = None
    parent_id: str | None = None
    metadata: Json | None = None

    def to_dict(self) -> Json:
        """The record as JSON has it: camelCase keys, ISO times, numbers."""
        return to_dict(self)

    def step(self, step_id: str) -> StepRecord:
        """The step of this id. Raises KeyError."""
        for step in self.steps:
            if step.id == step_id:
                return step
        raise KeyError(step_id)

    @classmethod
    def from_dict(cls, fields: Mapping[str, Any]) -> WorkflowExecution:
        """The record of such a dict; keys it does not know go into `metadata`, those of a step into its `data`.

        Raises InvalidError for what is missing or does not fit.
        """
        given = _known(fields, cls, "metadata")
        for name, read in _READERS.items():
            if isinstance(given.get(name), list | tuple):
                given[name] = [read(entry) for entry in given[name]]
        if isinstance(models := given.get("models"), Mapping):
            entries = cast("Mapping[str, Any]", models)
            given["models"] = {model: _known(usage, ModelUsage) for model, usage in entries.items()}
        return convert(given, cls)


class ExecutionPage(Struct, frozen=True):
    """A page of executions, newest first, and how many there are in all."""

    executions: tuple[ExecutionSummary, ...]
    total: int


class ProjectStatistics(Struct, frozen=True, kw_only=True, rename="camel"):
    """A project's executions summed up; `totalCostUSD` is of the calls whose price is known."""

    total_executions: int
    completed: int
    failed: int
    running: int
    total_cost_usd: Money = field(name="totalCostUSD")
    total_tokens: int

    def to_dict(self) -> Json:
        """The record as JSON has it."""
        return to_dict(self)


class Deleted(Struct, frozen=True):
    """How many executions were removed."""

    deleted: int


class ProjectModels(Struct, frozen=True, kw_only=True, rename="camel"):
    """Tokens and cost by model, over `executions` executions with model calls."""

    models: dict[str, ModelUsage]
    executions: int


def to_dict(record: Struct) -> Json:
    """The record as JSON has it; decimals as floats."""
    return cast("Json", msgspec.json.decode(to_json(record)))


def _known(given: Any, type_: type[Struct], rest: str | None = None) -> Any:
    """The fields with those the type does not know moved into its field `rest`, and money made exact."""
    if not isinstance(given, Mapping):
        return given
    fields = dict(cast("Mapping[str, Any]", given))
    if "costUSD" in fields:
        fields["costUSD"] = _money(fields["costUSD"])
    if rest is None:
        return fields
    known = type_.__struct_encode_fields__
    unknown = {name: fields.pop(name) for name in [*fields] if name not in known}
    kept: Any = fields.get(rest)
    if unknown and (kept is None or isinstance(kept, Mapping)):
        fields[rest] = dict(cast("Json", kept or {})) | unknown
    return fields


def _step(step: Any) -> Any:
    """A step as ours has it; one that says no status failed where it has an error, else it completed."""
    if not isinstance(step, Mapping):
        return step
    fields: Json = _known(step, StepRecord, "data")
    return {"status": "failed" if fields.get("error") else "completed"} | fields


def _log(line: Any) -> Any:
    """A log line as ours has it: a text alone is its message, `timestamp` is `at`."""
    if isinstance(line, str):
        return {"message": line, "level": "info"}
    if isinstance(line, Mapping):
        fields = {"level": "info"} | dict(cast("Mapping[str, Any]", line))
        if "timestamp" in fields:
            fields.setdefault("at", fields.pop("timestamp"))
        return fields
    return line


def _money(value: Any) -> Any:
    """An amount as the decimal number it prints as: 0.1 is 0.1, not its binary neighbour."""
    if isinstance(value, float | int) and not isinstance(value, bool):
        value = repr(value)
    if isinstance(value, str):
        try:
            value = Decimal(value)
        except ArithmeticError as error:
            raise InvalidError(f"costUSD is no amount: {value!r:.60}", field="costUSD") from error
    if isinstance(value, Decimal) and value.is_finite() and value < 0:
        raise InvalidError("costUSD must not be negative", field="costUSD")
    return value


_READERS: dict[str, Callable[[Any], Any]] = {"steps": _step, "logs": _log}
