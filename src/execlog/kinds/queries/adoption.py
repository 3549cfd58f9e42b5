"""The queries' table `query_executions` as another program filled it: a row an event."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from typing import Any

from execlog.core.errors import InvalidError
from execlog.core.model import Event
from execlog.kinds.queries.record import at_of, event_of

TABLE = "query_executions"


def query_event(row: Mapping[str, Any]) -> Event:
    """The event that says a row, as old as it is. Raises InvalidError for a row that cannot be an execution."""
    id_, last = row.get("execution_id"), row.get("completed_at") or row.get("started_at")
    if not id_:
        raise InvalidError("a row without its execution_id", field="execution_id")
    columns = {name: value for name, value in row.items() if value is not None}
    at = at_of(last, "started_at") if last else 1
    return event_of(columns, id=str(id_), at=at, mended=Counter())
