"""The pipelines' tables as another program filled them: a row an event.

A failure counts as resolved as here: once a later computation of its pair succeeded.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from typing import Any

from execlog.core.clock import parse_when
from execlog.core.errors import InvalidError
from execlog.core.ids import check_id
from execlog.core.model import OPEN, Error, Event, Item, Status
from execlog.core.quantity import count_of, seconds_of
from execlog.kinds.pipelines.words import FEATURE, PIPELINE, status_of
from execlog.store.pairs import Pair

Row = Mapping[str, Any]
"""Columns, their values as JSON has them. A number that cannot be stored, such as NaN, is left out."""


def execution_event(row: Row) -> Event:
    """A row of `scheduler_execution_log`. Raises InvalidError."""
    failed = count_of(row.get("failed_symbols"))
    status, seconds = _status(row, failed=failed or 0), seconds_of(row.get("duration_seconds"))
    started, ended = _at(row, "started_at"), _at(row, "completed_at")
    if ended is None and started is not None and status not in OPEN:
        ended = started + round((seconds or 0) * 1e6)
    message = row.get("error_message")
    return Event(
        id=check_id(str(row["execution_id"])),
        kind=PIPELINE,
        at=ended or started or 1,
        status=status,
        name="backfill",
        subject="backfill",
        started_at=started,
        ended_at=None if status in OPEN else ended,
        duration=None if status in OPEN else seconds,
        total=count_of(row.get("total_symbols")),
        declared_succeeded=count_of(row.get("successful_symbols")),
        declared_failed=failed,
        rows=count_of(row.get("total_records_processed")),
        error=None if not message or status in OPEN else Error("PipelineError", str(message)),
    )


def symbol_event(row: Row) -> Event:
    """A row of `symbol_computation_status`: an item of its execution. Raises InvalidError."""
    status, pair = _status(row), _pair(row)
    started, ended = _at(row, "started_at"), _at(row, "completed_at")
    at = ended or started or 1
    message = row.get("error_message")
    counted = {name: count_of(row.get(name)) for name in ("records_inserted", "features_computed")}
    told = {"asset_class": row.get("asset_class")} | counted
    data = {"timeframe": pair.timeframe} | {name: value for name, value in told.items() if value is not None}
    item = Item(
        key=pair.key,
        at=at,
        status=status,
        started_at=started,
        ended_at=None if status in OPEN else ended,
        duration=seconds_of(row.get("duration_seconds")),
        rows=count_of(row.get("records_processed")),
        error=Error("ComputationError", str(message)) if message else None,
        data=data,
    )
    return Event(id=check_id(str(row["execution_id"])), kind=PIPELINE, at=at, items=(item,))


def failure_event(row: Row) -> Event:
    """A row of `feature_computation_failures`, which has no id and is named by what it says. Raises InvalidError."""
    pair, failed = _pair(row), _at(row, "failed_at") or 1
    parent = row.get("execution_id")
    name = hashlib.blake2s(f"{pair.key}\n{failed}\n{parent}\n{row.get('error_message')}".encode()).hexdigest()
    return _computation(
        f"failure-{name[:32]}",
        pair,
        failed,
        status=Status.FAILED,
        error=Error("FeatureComputationError", str(row.get("error_message") or "no message")),
        metadata={"timeframe": pair.timeframe, "retry_count": count_of(row.get("retry_count")) or 0},
        parent_id=None if parent is None else check_id(str(parent)),
    )


def freshness_event(row: Row) -> Event:
    """A row of `feature_freshness`: when the pair was last computed. Raises InvalidError."""
    pair, computed = _pair(row), _at(row, "last_computed_at")
    points = count_of(row.get("data_point_count")) or 0
    at = computed or 1
    never = {"never_computed": True} if computed is None and not points else {}
    return _computation(
        f"freshness-{hashlib.blake2s(f'{pair.key} {at}'.encode()).hexdigest()[:32]}",
        pair,
        at,
        status=Status.SUCCEEDED,
        rows=points,
        metadata={"timeframe": pair.timeframe} | never,
    )


def _computation(id: str, pair: Pair, at: int, **said: Any) -> Event:
    """An execution about a pair of which one moment (UTC µs) is known."""
    return Event(id=id, kind=FEATURE, at=at, name=pair.key, subject=pair.key, started_at=at, ended_at=at, **said)


TABLES: dict[str, Callable[[Row], Event]] = {
    "scheduler_execution_log": execution_event,
    "symbol_computation_status": symbol_event,
    "feature_computation_failures": failure_event,
    "feature_freshness": freshness_event,
}
"""Table → what makes an event of its rows."""


def _status(row: Row, *, failed: int = 0) -> Status:
    status = status_of(str(row.get("status")), failed=failed)
    if status is None:
        raise InvalidError(f"{row.get('status')!r:.60} is no status", field="status")
    return status


def _pair(row: Row) -> Pair:
    symbol, timeframe = str(row.get("symbol") or ""), str(row.get("timeframe") or "")
    if not symbol or not timeframe or "/" in timeframe:
        raise InvalidError(f"{symbol!r:.60} on {timeframe!r:.60} is no pair", field="symbol")
    return Pair(symbol, timeframe)


def _at(row: Row, name: str) -> int | None:
    value = row.get(name)
    try:
        return None if value is None else parse_when(str(value), now=None)
    except InvalidError as error:
        raise InvalidError(f"{name}: {error}", field=name) from error
