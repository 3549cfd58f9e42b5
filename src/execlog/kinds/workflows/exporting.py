"""Exports of executions as CSV, JSON and NDJSON, made a page at a time, so that their size does not matter."""

from __future__ import annotations

import csv
import io
from collections.abc import Callable, Iterable, Iterator
from decimal import Decimal
from itertools import chain
from typing import Any

from execlog.core.model import Execution
from execlog.history.spreadsheet import text_cell
from execlog.history.view import to_json
from execlog.kinds.workflows.mapping import record_of, summary_of

COLUMNS = (
    "id", "projectId", "workflowId", "name", "status", "startedAt", "completedAt", "duration", "inputTokens",
    "outputTokens", "totalTokens", "costUSD", "models", "triggeredBy", "retryOf", "error",
)  # fmt: skip


def to_csv(executions: Iterable[Execution]) -> Iterator[bytes]:
    """CSV (RFC 4180, UTF-8), a line each, with a header; times ISO 8601, duration milliseconds, cost US dollars."""
    yield _line(COLUMNS)
    for execution in executions:
        yield _line([_cell(value) for value in _row(execution)])


def to_json_array(executions: Iterable[Execution]) -> Iterator[bytes]:
    """One JSON object, {"executions": [...]}, of whole executions; cut short, it is no JSON."""
    yield b'{"executions":['
    for number, execution in enumerate(executions):
        yield (b",\n" if number else b"\n") + to_json(record_of(execution))
    yield b"\n]}\n"


def to_ndjson(executions: Iterable[Execution]) -> Iterator[bytes]:
    """Whole executions as JSON, one a line."""
    for execution in executions:
        yield to_json(record_of(execution)) + b"\n"


FORMATS: dict[str, tuple[Callable[[Iterable[Execution]], Iterator[bytes]], str]] = {
    "csv": (to_csv, "text/csv"),
    "json": (to_json_array, "application/json"),
    "ndjson": (to_ndjson, "application/x-ndjson"),
}
"""By name: what writes it, and its media type."""


def begun(executions: Iterator[Execution]) -> Iterator[Execution]:
    """The same executions, the first page of them read already: a store that is down is noticed before the answer."""
    first = next(executions, None)
    return iter(()) if first is None else chain((first,), executions)


def _row(execution: Execution) -> tuple[Any, ...]:
    shown = summary_of(execution)
    usage = shown.token_usage
    return (
        shown.id, shown.project_id, execution.subject, execution.name, shown.status, _time(shown.started_at),
        _time(shown.completed_at), shown.duration, usage.input, usage.output, usage.total, shown.cost_usd,
        " ".join(sorted(execution.usage or ())).strip(), execution.actor, execution.retry_of, shown.error,
    )  # fmt: skip


def _cell(value: Any) -> str:
    if value is None:
        return ""
    if isinstance(value, Decimal):
        return format(value, "f")  # never as 1E-7
    return text_cell(value) if isinstance(value, str) else str(value)


def _time(when: Any) -> str | None:
    return None if when is None else when.isoformat().replace("+00:00", "Z")


def _line(cells: Iterable[str]) -> bytes:
    written = io.StringIO()
    csv.writer(written, lineterminator="\r\n").writerow(cells)
    return written.getvalue().encode()
