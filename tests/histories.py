"""Executions to look at: made the same way for every test that asks an API or a page about them."""

from __future__ import annotations

from execlog.core.filter import Filter
from execlog.core.model import Error, Event, Execution, Item, LogLine, Status, Usage
from execlog.ledger import Ledger
from execlog.store.base import WHOLE

T0 = 1_767_250_800_000_000
"""2026-01-01T07:00:00Z."""
SECOND = 1_000_000


def only(ledger: Ledger) -> Execution:
    """The one execution it has, whole, once it is in the store."""
    assert ledger.flush()
    (one,) = ledger.store.find(Filter(), parts=WHOLE).entries
    return one


def execution(number: int, **fields: object) -> Event:
    """A job that ran for ten seconds, `number` minutes after T0."""
    started = T0 + number * 60 * SECOND
    said: dict[str, object] = {
        "id": f"run-{number}",
        "kind": "job",
        "at": started + 10 * SECOND,
        "status": Status.SUCCEEDED,
        "name": "Backfill",
        "subject": "backfill",
        "actor": "schedule",
        "started_at": started,
        "ended_at": started + 10 * SECOND,
        "duration": 10.0,
        "rows": 100,
    }
    return Event(**(said | fields))  # type: ignore[arg-type] - fields by name


def seed(ledger: Ledger, *events: Event) -> None:
    """Put events into the store."""
    ledger.store.apply(events)


FAILURE = Error("ConnectionError", "Failed to fetch prices: Connection timeout after 30s", ("prices.py:12 fetch",))


def mixed() -> list[Event]:
    """Succeeded, partial with items and logs, failed, its retry, running, and a workflow of alice's."""
    items = (
        Item(key="AAPL", at=T0, status=Status.SUCCEEDED, position=0, rows=60, duration=1.5),
        Item(key="GOOGL", at=T0, status=Status.FAILED, position=1, error=FAILURE),
    )
    logs = (LogLine(T0 + 5, 0, "info", "begun"), LogLine(T0 + 6, 1, "error", "GOOGL is late", "GOOGL"))
    usage = {"gpt-5": Usage(input=100, output=50, cost_nano=1_000_000)}
    return [
        execution(0),
        execution(1, status=Status.PARTIAL, items=items, logs=logs, params={"year": 2004}, tags={"env": "prod"}),
        execution(2, status=Status.FAILED, error=FAILURE, subject="ticker"),
        execution(3, retry_of="run-2", root_id="run-2", subject="ticker"),
        execution(4, status=Status.RUNNING, ended_at=None, duration=None, parent_id="run-1"),
        execution(5, kind="workflow", namespace="shop", subject="checkout", actor="alice", usage=usage, duration=0.25),
    ]


class LateClock:
    """A few minutes after the executions of `mixed`."""

    def now(self) -> int:
        return T0 + 600_000_000

    def monotonic(self) -> float:
        return 0.0
