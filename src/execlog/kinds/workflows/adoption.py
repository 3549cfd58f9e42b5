"""The workflows' files that another program wrote: `projects/{projectId}/executions/{executionId}.json`."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from execlog.core.clock import micros
from execlog.core.errors import InvalidError, NotFoundError
from execlog.core.model import Event
from execlog.history.adoption import Found, reading
from execlog.history.copying import events_of
from execlog.kinds.workflows.record import WorkflowExecution
from execlog.kinds.workflows.words import KIND
from execlog.store.files.paths import path_of
from execlog.store.layout import record_in, to_execution


def workflows_in_files(folder: Path) -> Iterator[Found]:
    """Every execution below a folder, in the order of their names; nothing is written there. Raises NotFoundError."""
    if not folder.is_dir():
        raise NotFoundError(f"{folder} is no folder")
    for path in sorted(folder.glob("projects/*/executions/*.json")):
        yield reading(str(path.relative_to(folder)), lambda path=path: _said(folder, path))


def _said(folder: Path, path: Path) -> Iterator[Event]:
    try:
        text = path.read_bytes()
    except OSError as error:
        raise InvalidError(error.strerror or str(error), field="file") from error
    record = record_in(text)
    record.setdefault("projectId", path.parts[-3])
    told = WorkflowExecution.from_dict(record)
    last = told.completed_at or told.started_at
    # As old as what it tells: a later word about the same execution holds.
    at = micros(last) if last is not None else 1
    # What execlog keeps in the record, where it wrote it, is the whole of it.
    execution = to_execution(record, KIND, at=at)
    named = (path.parts[-3], path.stem) == (execution.namespace, execution.id)
    if not named and path_of(folder, execution.key) != path:  # a copy, or a damaged id: it would speak for another
        shown = f"{execution.id!r:.120} of project {execution.namespace!r:.120}"
        raise InvalidError(f"the execution in it is {shown}, whose file is another", field="file")
    return events_of(execution)
