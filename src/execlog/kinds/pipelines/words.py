"""How pipelines call each status, and what their callers may call it."""

from __future__ import annotations

from typing import Literal

from execlog.core.model import Status
from execlog.store.pairs import FEATURE, PIPELINE

__all__ = ["FEATURE", "ITEM_WORDS", "PIPELINE", "WORDS", "Word", "status_of"]

Word = Literal["pending", "running", "completed", "failed"]
ItemWord = Literal["pending", "in_progress", "completed", "failed"]

WORDS: dict[Status, Word] = {
    Status.QUEUED: "pending",
    Status.RUNNING: "running",
    Status.SUCCEEDED: "completed",
    Status.PARTIAL: "completed",
    Status.FAILED: "failed",
    Status.TIMED_OUT: "failed",
    Status.CANCELLED: "failed",
    Status.CRASHED: "failed",
}
"""Of an execution."""

ITEM_WORDS: dict[Status, ItemWord] = {
    status: "in_progress" if word == "running" else word for status, word in WORDS.items()
}
"""Of a pair within one."""

_MEANT: dict[str, Status] = {
    "pending": Status.QUEUED,
    "running": Status.RUNNING,
    "in_progress": Status.RUNNING,
    "completed": Status.SUCCEEDED,
    "success": Status.SUCCEEDED,
    **{status.value: status for status in Status},
}


def status_of(word: str, *, failed: int = 0) -> Status | None:
    """The canonical status of a caller's word; None for a word nobody knows.

    "completed" with some `failed` is partial: both are shown as completed.
    """
    status = _MEANT.get(word.strip().lower())
    return Status.PARTIAL if status is Status.SUCCEEDED and failed else status
