"""How jobs' executions look to other programs that read the store: the scheduler's record."""

from __future__ import annotations

from typing import Any

from execlog.core.model import Event, Execution
from execlog.kinds.jobs.record import JobExecutionRecord, event_of, record_of


class JobLayout:
    """Thirteen fields of JSON; what they have no place for is kept in `metadata`."""

    place = ("metadata",)

    def encode(self, execution: Execution) -> dict[str, Any]:
        """The record of an execution."""
        return record_of(execution).to_dict()

    def decode(self, record: dict[str, Any], *, at: int) -> Event:
        """The event that says all of a record. Raises InvalidError."""
        return event_of(JobExecutionRecord.from_dict(record), at)


LAYOUT = JobLayout()
