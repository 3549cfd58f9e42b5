"""An execution of a query in the words of its clients, and the way there and back.

The columns that the spine has no place of its own for (conversation, complexity, page, parameters, metadata) live in
the execution's metadata under their own names.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Any, cast

from msgspec import Struct

from execlog.core.clock import micros, moment, parse_when
from execlog.core.errors import InvalidError
from execlog.core.ids import check_id, fit_id
from execlog.core.model import OPEN, TERMINAL, Error, Event, Execution, Status
from execlog.core.quantity import count_of, seconds_of
from execlog.kinds.queries.verdict import CANCELLED_TYPE, CRASHED_TYPE, judge, judge_text
from execlog.recorder.fault import error_of

KIND = "query"
WORDS: dict[Status, str] = {
    Status.QUEUED: "queued",
    Status.RUNNING: "running",
    Status.SUCCEEDED: "success",
    Status.PARTIAL: "success",
    Status.FAILED: "failed",
    Status.TIMED_OUT: "timeout",
    Status.CANCELLED: "failed",
    Status.CRASHED: "error",
}
"""How queries' clients call each canonical status; the first status of a word is the one it is recorded as."""

DEFAULT_PAGE, DEFAULT_PAGE_SIZE = 0, 100
NAME_LENGTH = 120
_PLAIN = ("conversation_id", "query_complexity")
_MAPPINGS = ("connection_params", "request_metadata", "response_metadata")
_MARKS = ("returned_rows", "page", "page_size")
Moment = datetime | str | int
Unseal = Callable[[Any, str], Any]
"""Opens a sealed text of an execution."""


class QueryRow(Struct, frozen=True, kw_only=True):
    """One row of `query_executions`, as the API shows it. Times are UTC, `execution_time` is in seconds."""

    id: int
    execution_id: str
    user_id: str | None
    conversation_id: str | None
    query: str
    database_type: str
    query_complexity: str | None
    status: str
    execution_time: float | None
    total_rows: int | None
    returned_rows: int | None
    page: int
    page_size: int
    error_message: str | None
    error_type: str | None
    started_at: datetime | None
    completed_at: datetime | None
    connection_params: dict[str, Any]
    request_metadata: dict[str, Any]
    response_metadata: dict[str, Any]


def event_of(columns: Mapping[str, Any], *, id: str, at: int, mended: Counter[str]) -> Event:
    """The event that says all of a query's columns, at `at` UTC µs; missing times are worked out from the others.

    Raises InvalidError for an id, status, time or name that cannot be. Numbers that cannot be stored are left out, and
    a user's name becomes one that its route can have; either is counted in `mended`.
    """
    check_id(id, field="execution_id")
    status, error = _outcome(columns)
    seconds = seconds_of(columns.get("execution_time"), mended)
    started, ended = _times(columns, status, seconds, at)
    query = text_of(columns.get("query"))
    database_type = columns.get("database_type")
    if not database_type:
        raise InvalidError("database_type is needed: what the query ran on", field="database_type")
    connection = _mapping(columns.get("connection_params")).get("connection")
    return Event(
        id=id,
        kind=KIND,
        at=at,
        status=status,
        name=name_of(query),
        subject=str(connection or database_type),
        actor=_user(columns.get("user_id"), mended),
        engine=str(database_type),
        started_at=started,
        ended_at=ended,
        duration=seconds if ended is not None else None,
        rows=count_of(columns.get("total_rows"), mended),
        error=error,
        input=query,
        metadata=metadata_of(columns, mended) or None,
    )


def row_of(execution: Execution, number: int, unseal: Unseal | None = None) -> QueryRow:
    """The row of an execution that was read with its detail; `unseal` opens encrypted query text."""
    said = execution.metadata or {}
    error_type, error_message = error_words(execution)
    returned = said.get("returned_rows")
    return QueryRow(
        id=number,
        execution_id=execution.id,
        user_id=execution.actor,
        conversation_id=_optional(said.get("conversation_id")),
        query=text_of(unseal(execution.input, execution.id) if unseal else execution.input),
        database_type=execution.engine or "",
        query_complexity=_optional(said.get("query_complexity")),
        status=WORDS[execution.status],
        execution_time=execution.seconds,
        total_rows=execution.rows,
        returned_rows=returned if isinstance(returned, int) else None,
        page=_whole(said.get("page"), DEFAULT_PAGE),
        page_size=_whole(said.get("page_size"), DEFAULT_PAGE_SIZE),
        error_message=error_message,
        error_type=error_type,
        started_at=moment(execution.created_at if execution.started_at is None else execution.started_at),
        completed_at=None if execution.ended_at is None else moment(execution.ended_at),
        connection_params=_mapping(said.get("connection_params")),
        request_metadata=_mapping(said.get("request_metadata")),
        response_metadata=_mapping(said.get("response_metadata")),
    )


def error_words(execution: Execution) -> tuple[str | None, str | None]:
    """Type and message of what went wrong; a cancelled or crashed query has a type even where no error was said."""
    error = execution.error
    if execution.status is Status.CANCELLED:
        return CANCELLED_TYPE, error.message if error else None
    if error is not None:
        return error.type, error.message
    return (CRASHED_TYPE, None) if execution.status is Status.CRASHED else (None, None)


def metadata_of(columns: Mapping[str, Any], mended: Counter[str]) -> dict[str, Any]:
    """The columns that live in the metadata, those that say something."""
    said: dict[str, Any] = {name: str(columns[name]) for name in _PLAIN if columns.get(name) is not None}
    for name in _MARKS:
        number = count_of(columns.get(name), mended)
        if number is not None:
            said[name] = number
    said |= {name: _mapping(columns[name]) for name in _MAPPINGS if columns.get(name)}
    return said


def canonical(word: str) -> Status:
    """The status that a word of theirs is recorded as. Raises InvalidError for a word that is none."""
    for status, shown in WORDS.items():
        if shown == word:
            return status
    known = ", ".join(dict.fromkeys(WORDS.values()))
    raise InvalidError(f"status {word!r:.60} is none of {known}", field="status")


def name_of(query: str) -> str | None:
    """What a query is called in lists: the beginning of its text, on one line."""
    short = " ".join(query[: 2 * NAME_LENGTH].split())
    return (short if len(short) <= NAME_LENGTH else short[: NAME_LENGTH - 1] + "…") or None


def text_of(value: Any) -> str:
    """A query's text, whatever it was given as."""
    if isinstance(value, str):
        return value
    if isinstance(value, bytes):
        return value.decode("utf-8", "replace")
    return "" if value is None else str(value)


def at_of(value: Moment, field: str) -> int:
    """UTC µs of a datetime (naive is UTC), ISO text or UTC µs. Raises InvalidError naming the field."""
    if isinstance(value, datetime):
        return micros(value)
    if isinstance(value, int) and not isinstance(value, bool):
        return value
    try:
        return parse_when(str(value), now=None)
    except InvalidError as error:
        raise InvalidError(str(error), field=field) from error


def _outcome(columns: Mapping[str, Any]) -> tuple[Status, Error | None]:
    """What became of the query: as the status says, or else as the error does."""
    fault, word = columns.get("error"), columns.get("status")
    message, kind = _optional(columns.get("error_message")), _optional(columns.get("error_type"))
    error: Error | None = None
    if isinstance(fault, BaseException):
        error = error_of(fault)
        error = Error(kind or error.type, message or error.message, error.frames)
    elif kind is not None or message is not None:
        error = Error(kind or "Error", message or "")
    if word is not None:
        status = canonical(str(word))
        if status is Status.FAILED and kind == CANCELLED_TYPE:
            status = Status.CANCELLED
        return status, None if status in OPEN else error
    if isinstance(fault, BaseException):
        return judge(fault), error
    return (Status.SUCCEEDED, None) if error is None else (judge_text(kind, message), error)


def _times(columns: Mapping[str, Any], status: Status, seconds: float | None, at: int) -> tuple[int | None, int | None]:
    given = {name: columns.get(name) for name in ("started_at", "completed_at")}
    started, ended = (None if value is None else at_of(value, name) for name, value in given.items())
    span = round((seconds or 0.0) * 1e6)
    if status not in TERMINAL:
        return started or at, None
    if started is None:
        started = (ended or at) - span
    if ended is None:
        ended = started + span if seconds is not None else max(at, started)
    return started, ended


def _mapping(value: Any) -> dict[str, Any]:
    if isinstance(value, Mapping):
        return {str(key): entry for key, entry in cast("Mapping[Any, Any]", value).items()}
    return {} if value is None else {"value": value}


def _optional(value: Any) -> str | None:
    return None if value is None or value == "" else str(value)


def _user(value: Any, mended: Counter[str]) -> str | None:
    said = _optional(value)
    if said is None:
        return None
    fit = fit_id(said)
    if fit != said:
        mended["id"] += 1
    return fit


def _whole(value: Any, default: int) -> int:
    return value if isinstance(value, int) and not isinstance(value, bool) else default
