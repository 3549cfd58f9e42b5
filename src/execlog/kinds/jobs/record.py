"""`JobExecutionRecord`: an execution of a job in the words of the scheduler's clients, and the way there and back.

The canonical statuses those do not know (timed_out, cancelled, crashed) are shown as `failed`; `partial` is
`partial_success`.
"""

from __future__ import annotations

import math
from datetime import UTC, datetime
from typing import Any, cast

from msgspec import Struct, field

from execlog.core import codec
from execlog.core.clock import iso, micros, moment
from execlog.core.errors import InvalidError
from execlog.core.ids import check_id
from execlog.core.model import OPEN, TERMINAL, Error, Event, Execution, Item, Status

KIND = "job"
WORDS: dict[Status, str] = {
    Status.QUEUED: "queued",
    Status.RUNNING: "running",
    Status.SUCCEEDED: "success",
    Status.PARTIAL: "partial_success",
    Status.FAILED: "failed",
    Status.TIMED_OUT: "failed",
    Status.CANCELLED: "failed",
    Status.CRASHED: "failed",
}
GIVEN = "job_record"
"""The key of an execution's output under which a record that was saved whole keeps what it said of its stocks."""

_OF_STOCKS = ("fetched_stocks", "failed_stocks", "errors", "total_stocks")
_ACCEPTED = {
    "partial": Status.PARTIAL,
    "success": Status.SUCCEEDED,
    "partial_success": Status.PARTIAL,
    "failed": Status.FAILED,
}
_UNSAID = {
    Status.CRASHED: "Crashed: the process that ran it is gone",
    Status.TIMED_OUT: "Timed out",
    Status.CANCELLED: "Cancelled",
}
"""What is said of executions that are shown as failed and bring no error."""


class RecordView(Struct, frozen=True, kw_only=True):
    """A record as the API shows it: thirteen fields, times as ISO 8601 in UTC without an offset."""

    execution_id: str
    job_id: str
    job_name: str
    start_time: str | None
    end_time: str | None
    status: str
    fetched_stocks: list[str]
    failed_stocks: list[str]
    errors: list[str]
    total_stocks: int
    duration_seconds: float | None
    triggered_by: str
    metadata: dict[str, Any]


class JobExecutionRecord(Struct, kw_only=False):
    """One execution of a job. Times are aware UTC datetimes; naive ones given are read as UTC.

    An end that is not said follows from the duration, a duration that is not said from the end.

    It may be filled in as the job goes on: create it at the start, set `status`, `end_time` and the lists, save it.
    """

    execution_id: str
    job_id: str
    job_name: str
    start_time: datetime
    end_time: datetime | None = None
    status: str = "running"
    fetched_stocks: list[str] = field(default_factory=list[str])
    failed_stocks: list[str] = field(default_factory=list[str])
    errors: list[str] = field(default_factory=list[str])
    total_stocks: int = 0
    duration_seconds: float | None = None
    triggered_by: str = "manual"
    metadata: dict[str, Any] = field(default_factory=dict[str, Any])

    def __post_init__(self) -> None:
        self.start_time = _aware(self.start_time)
        self.end_time = None if self.end_time is None else _aware(self.end_time)

    def to_dict(self) -> dict[str, Any]:
        """The thirteen fields as plain JSON values, `start_time` and `end_time` without an offset."""
        return codec.builtins(self.view())

    @classmethod
    def from_dict(cls, fields: dict[str, Any]) -> JobExecutionRecord:
        """The record of such a dict, unknown fields ignored. Raises InvalidError for what does not fit."""
        known = {name: fields[name] for name in cls.__struct_fields__ if fields.get(name) is not None}
        record = codec.convert(known, cls)
        _canonical(record.status)
        return record

    def view(self) -> RecordView:
        """The record as the API shows it."""
        values = {name: getattr(self, name) for name in self.__struct_fields__}
        for name in ("start_time", "end_time"):
            value: datetime | None = values[name]
            values[name] = None if value is None else iso(micros(value), offset="")
        return RecordView(**values)


def record_of(execution: Execution) -> JobExecutionRecord:
    """The record of an execution that was read with its items and detail."""
    given = _given(execution)
    fetched = [item.key for item in execution.items if item.status is Status.SUCCEEDED]
    failed = [item.key for item in execution.items if item.status in TERMINAL and item.status is not Status.SUCCEEDED]
    total = execution.total if execution.total is not None else len(execution.items)
    return JobExecutionRecord(
        execution_id=execution.id,
        job_id=execution.subject or "",
        job_name=execution.name or execution.subject or "",
        start_time=moment(execution.created_at if execution.started_at is None else execution.started_at),
        end_time=None if execution.ended_at is None else moment(execution.ended_at),
        status=WORDS[execution.status],
        fetched_stocks=given.get("fetched_stocks", fetched),
        failed_stocks=given.get("failed_stocks", failed),
        errors=given.get("errors") or errors_of(execution),
        total_stocks=given.get("total_stocks", total),
        duration_seconds=execution.seconds,
        triggered_by=execution.actor or "",
        metadata=dict(execution.metadata or {}),
    )


def errors_of(execution: Execution) -> list[str]:
    """What went wrong, in words: a line an item that failed, and what ended the execution if that is another thing."""
    verb = verb_of(execution.params)
    lines = [describe(item.key, item.error, verb) for item in execution.items if item.error is not None]
    error = execution.error
    if error is not None and error.message and not any(error.message in line for line in lines):
        lines.append(error.message)
    elif error is None and (execution.status is Status.CRASHED or (not lines and execution.status in _UNSAID)):
        lines.append(_UNSAID[execution.status])
    return lines


def describe(key: str, error: Error, verb: str = "fetch") -> str:
    """The line about an item that failed: "Failed to fetch GOOGL: Connection timeout after 30s"."""
    return f"Failed to {verb} {key}: {error.message}"


def verb_of(params: dict[str, Any] | None) -> str:
    """What a job does with its items: it fetches them, or runs something for them."""
    return "fetch" if (params or {}).get("type", "fetch") == "fetch" else "run"


def event_of(record: JobExecutionRecord, at: int) -> Event:
    """The event that says all of a record, at `at` UTC µs. Raises InvalidError for ids and statuses that cannot be."""
    check_id(record.execution_id, field="execution_id")
    check_id(record.job_id, field="job_id")
    status = _canonical(record.status)
    return Event(
        id=record.execution_id,
        kind=KIND,
        at=at,
        status=status,
        name=record.job_name,
        subject=record.job_id,
        actor=record.triggered_by,
        started_at=micros(_aware(record.start_time)),
        ended_at=_end(record, None if status in OPEN else at),
        duration=None if status in OPEN else record.duration_seconds,
        error=_error_of(record, status),
        total=record.total_stocks or (None if status in OPEN else 0),
        items=_items_of(record, at),
        output={GIVEN: {name: getattr(record, name) for name in _OF_STOCKS}},
        metadata=record.metadata or (None if status in OPEN else {}),
    )


def statuses_for(word: str | None) -> tuple[Status, ...]:
    """The canonical statuses a filter word asks for, all that ended without one. Raises InvalidError."""
    if word is None or word == "":
        return tuple(status for status in Status if status in TERMINAL)
    wanted = WORDS[Status.PARTIAL] if word == "partial" else word
    found = tuple(status for status, shown in WORDS.items() if shown == wanted)
    if not found:
        raise InvalidError(
            f"status {word!r:.60} is none of success, partial_success (or partial), failed, running, queued",
            field="status",
        )
    return found


def _canonical(word: str) -> Status:
    found = _ACCEPTED.get(word) or next((status for status, shown in WORDS.items() if shown == word), None)
    if found is None:
        raise InvalidError(f"status {word!r:.60} is none of {', '.join(dict.fromkeys(WORDS.values()))}", field="status")
    return found


def _end(record: JobExecutionRecord, at: int | None) -> int | None:
    """When it ended: as said, else by its duration, else `at`; None where it has not."""
    if record.end_time is not None:
        return micros(_aware(record.end_time))
    seconds = record.duration_seconds
    if at is None or not seconds or not math.isfinite(seconds):
        return at
    return micros(_aware(record.start_time)) + round(seconds * 1e6)


def _items_of(record: JobExecutionRecord, at: int) -> tuple[Item, ...]:
    messages = _messages(record)
    fetched = [
        Item(key=stock, at=at, status=Status.SUCCEEDED, position=place)
        for place, stock in enumerate(record.fetched_stocks)
    ]
    failed = [
        Item(
            key=stock,
            at=at,
            status=Status.FAILED,
            position=len(fetched) + place,
            error=Error(type="FetchError", message=messages[stock]) if stock in messages else None,
        )
        for place, stock in enumerate(record.failed_stocks)
    ]
    return (*fetched, *failed)


def _messages(record: JobExecutionRecord) -> dict[str, str]:
    """What is said about each stock that failed, taken from the lines "Failed to fetch STOCK: message"."""
    found: dict[str, str] = {}
    for stock in record.failed_stocks:
        start = f"Failed to fetch {stock}: "
        found.update((stock, line.removeprefix(start)) for line in record.errors if line.startswith(start))
    return found


def _error_of(record: JobExecutionRecord, status: Status) -> Error | None:
    """The execution's own error: the first line, where it did not succeed at all or no stock explains it."""
    if not record.errors or status is Status.SUCCEEDED:
        return None
    if status is Status.PARTIAL and _messages(record):
        return None
    return Error(type="JobError", message=record.errors[0])


def _given(execution: Execution) -> dict[str, Any]:
    output: Any = execution.output
    given = cast("dict[str, Any]", output).get(GIVEN) if isinstance(output, dict) else None
    return cast("dict[str, Any]", given) if isinstance(given, dict) else {}


def _aware(value: datetime) -> datetime:
    return value.replace(tzinfo=UTC) if value.tzinfo is None else value.astimezone(UTC)
