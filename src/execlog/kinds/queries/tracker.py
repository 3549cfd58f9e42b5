"""`ExecutionTracker`: recording queries that something else ran."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Mapping
from types import MethodType
from typing import Any, Concatenate, Generic, ParamSpec, Required, TypedDict, TypeVar, Unpack, cast

import execlog
from execlog.core.model import Event
from execlog.kinds.queries.record import Moment, event_of
from execlog.kinds.queries.sealing import sealer_of
from execlog.ledger import Ledger

P = ParamSpec("P")
R = TypeVar("R")
_FLUSH_SECONDS = 2.0
_logger = logging.getLogger("execlog")


class QueryColumns(TypedDict, total=False):
    """What may be said about a query: the columns of `query_executions`, and the exception that ended it.

    execution_id            made here where it is not given
    status                  success, failed, timeout, error, running or queued; without it `error`, or else `error_type`
                            and `error_message`, decide: a query without any of them succeeded
    execution_time          seconds
    started_at, completed_at  datetimes (naive ones are UTC), ISO 8601 texts or UTC µs; missing ones are worked out
    """

    query: Required[str]
    database_type: Required[str]
    execution_id: str | None
    status: str | None
    user_id: str | None
    conversation_id: str | None
    query_complexity: str | None
    execution_time: float | None
    total_rows: int | None
    returned_rows: int | None
    page: int | None
    page_size: int | None
    error_message: str | None
    error_type: str | None
    error: BaseException | None
    started_at: Moment | None
    completed_at: Moment | None
    connection_params: Mapping[str, Any] | None
    request_metadata: Mapping[str, Any] | None
    response_metadata: Mapping[str, Any] | None


class _OnEither(Generic[P, R]):
    """A method that may be called on the class, then over the default ledger, or on an instance, over its own."""

    def __init__(self, function: Callable[Concatenate[ExecutionTracker, P], R]) -> None:
        self._function = function
        self.__doc__ = function.__doc__

    def __get__(self, instance: ExecutionTracker | None, owner: type[ExecutionTracker]) -> Callable[P, R]:
        return cast("Callable[P, R]", MethodType(self._function, owner() if instance is None else instance))


async def _log(tracker: ExecutionTracker, **columns: Unpack[QueryColumns]) -> str:
    """The execution's id, once the store has the record; with the store down or slow, once the journal has it.

    Raises InvalidError for an id, a status or a time that cannot be.
    """
    ledger = tracker.ledger
    execution_id = columns.get("execution_id") or ledger.new_id()
    ledger.append(_event(ledger, columns, execution_id))
    await asyncio.to_thread(ledger.flush, _FLUSH_SECONDS)
    return execution_id


def _log_background(tracker: ExecutionTracker, **columns: Unpack[QueryColumns]) -> str | None:
    """The execution's id at once: the record is in the journal, where it survives a kill of this process.

    Never raises: None, a counted refusal and a line in the log stand for a record that cannot be made.
    """
    try:
        ledger = tracker.ledger
    except Exception as error:  # noqa: BLE001 - settings that cannot be read must not fail the query
        _logger.warning("execlog could not record a query: %s: %s", type(error).__name__, error)
        return None
    try:
        execution_id = columns.get("execution_id") or ledger.new_id()
        event = _event(ledger, columns, execution_id)
    except Exception as error:  # noqa: BLE001 - whatever the caller handed in, the query must not fail for it
        ledger.recorder.refuse("invalid", error)
        return None
    return execution_id if ledger.append(event) else None


def _event(ledger: Ledger, columns: QueryColumns, execution_id: str) -> Event:
    event = event_of(columns, id=execution_id, at=ledger.recorder.stamp(), mended=ledger.recorder.mended)
    sealer = sealer_of(ledger.settings.home)
    return event if sealer is None else sealer.sealed(event)


class ExecutionTracker:
    """Records queries. On the class: into the default ledger of the process; on an instance: into the ledger given."""

    log_execution = _OnEither(_log)
    log_execution_background = _OnEither(_log_background)

    def __init__(self, ledger: Ledger | None = None) -> None:
        self._ledger = ledger

    @property
    def ledger(self) -> Ledger:
        """Where it records."""
        return self._ledger or execlog.default_ledger()
