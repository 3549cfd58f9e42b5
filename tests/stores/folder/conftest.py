"""A store of files in an empty folder, and what another program would write into it."""

from __future__ import annotations

import pytest

from execlog.core.model import Event, Status, Usage
from execlog.store.files.store import FilesStore

AT = 1_700_000_000_000_000
THEIRS = {
    "id": "theirs",
    "projectId": "proj-1",
    "status": "completed",
    "startedAt": "2024-01-01T10:00:00Z",
    "completedAt": "2024-01-01T10:00:05Z",
    "duration": 5000,
    "tokenUsage": {"input": 100, "output": 50, "total": 150},
    "costUSD": 0.001,
}


@pytest.fixture
def store(tmp_path):
    opened = FilesStore(tmp_path)
    yield opened
    opened.close()


def workflow(number: int, **fields) -> Event:
    said = {"status": Status.SUCCEEDED, "started_at": AT + number, "ended_at": AT + number + 10, "duration": 0.00001}
    said |= {"kind": "workflow", "namespace": "proj-1", "usage": {"m": Usage(100, 50, cost_nano=1_000_000)}}
    return Event(id=f"exec-{number}", at=AT + number, **(said | fields))
