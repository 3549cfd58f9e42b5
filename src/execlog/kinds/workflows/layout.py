"""How workflow executions look to other programs that read the store: the workflows' full record."""

from __future__ import annotations

from collections import Counter
from typing import Any

from execlog.core.errors import InvalidError
from execlog.core.model import Event, Execution
from execlog.kinds.workflows.mapping import event_of, record_of
from execlog.kinds.workflows.record import WorkflowExecution


class WorkflowLayout:
    """The record as the API shows it."""

    place = ()

    def encode(self, execution: Execution) -> dict[str, Any]:
        """The record of an execution."""
        return record_of(execution).to_dict()

    def decode(self, record: dict[str, Any], *, at: int) -> Event:
        """The event that says all of a record. Raises InvalidError."""
        project = record.get("projectId")
        if not isinstance(project, str):
            raise InvalidError("a record without its projectId", field="projectId")
        return event_of(WorkflowExecution.from_dict(record), project, at, Counter())


LAYOUT = WorkflowLayout()
