"""The workflow family's name, its words for each status, and the ids it accepts."""

from __future__ import annotations

from execlog.core.errors import InvalidError
from execlog.core.ids import check_id
from execlog.core.model import Status

KIND = "workflow"

WORDS: dict[Status, str] = {
    Status.QUEUED: "pending",
    Status.RUNNING: "running",
    Status.SUCCEEDED: "completed",
    Status.PARTIAL: "completed",
    Status.FAILED: "failed",
    Status.TIMED_OUT: "failed",
    Status.CANCELLED: "cancelled",
    Status.CRASHED: "failed",
}
SKIPPED = "skipped"
"""How a step is called that never ran: its condition did not hold, or what it needs failed."""

STATUSES = tuple(dict.fromkeys(WORDS.values()))
_SAVED: dict[str, Status] = {
    "pending": Status.QUEUED,
    "running": Status.RUNNING,
    "completed": Status.SUCCEEDED,
    "failed": Status.FAILED,
    "cancelled": Status.CANCELLED,
}


def statuses_for(word: str | None) -> tuple[Status, ...]:
    """The canonical statuses a filter word asks for, () for None. Raises InvalidError for an unknown word."""
    if not word:
        return ()
    found = tuple(status for status, shown in WORDS.items() if shown == word)
    if not found:
        raise InvalidError(f"status {word!r:.60} is none of {', '.join(STATUSES)}", field="status")
    return found


def status_of(word: str) -> Status:
    """The canonical status a record's word is saved as. Raises InvalidError for an unknown word."""
    if word not in _SAVED:
        raise InvalidError(f"status {word!r:.60} is none of {', '.join(STATUSES)}", field="status")
    return _SAVED[word]


def check_project(project_id: str) -> str:
    """The project's id, if it may enter. Raises InvalidError otherwise."""
    return check_id(project_id, field="projectId")


def check_execution(execution_id: str) -> str:
    """The execution's id, if it may enter. Raises InvalidError otherwise, and for a name that is a route's own."""
    return check_id(execution_id, field="executionId", kind=KIND)
