"""The workflows' routes, and what they bring besides: exports, live progress, cost by model."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from msgspec import Meta, Struct
from msgspec.structs import replace

from execlog.core.clock import parse_when
from execlog.core.errors import InvalidError, NotFoundError
from execlog.core.filter import Filter, Sort
from execlog.core.model import Key
from execlog.history.question import Count, Dollars, Limit, Name, When
from execlog.kind import Call, Kind, Reply, Route
from execlog.kinds.workflows.exporting import FORMATS, begun
from execlog.kinds.workflows.progress import Progress
from execlog.kinds.workflows.record import (
    Deleted,
    ExecutionPage,
    ProjectModels,
    ProjectStatistics,
    WorkflowExecution,
)
from execlog.kinds.workflows.service import ExecutionHistoryService, filter_of
from execlog.kinds.workflows.words import KIND, STATUSES, WORDS
from execlog.ledger import Ledger
from execlog.store.base import SUMMARY, WHOLE

EVENT_STREAM = "text/event-stream"
_MODELS_SINCE = "30d"
Offset = Annotated[int, Meta(ge=0, le=1_000_000, description="Entries to skip")]
Word = Annotated[str, Meta(max_length=20, description=f"One of {', '.join(STATUSES)}", examples=["failed"])]
_PROGRESS = """Server-sent events until the execution is over: `step` with a step whenever it changed (without its input
and output), `log` with a line, `execution` with the summary, `end` with the last summary, `deleted`. A stream begins
with how everything stands."""
_MODELS = "Reads every execution of the window that called a model; without `since`, those of the last 30 days."


class Project(Struct, frozen=True, kw_only=True, rename="camel"):
    """A project."""

    project_id: str


class Window(Project, frozen=True, kw_only=True, rename="camel"):
    """A project's executions that began in a window of time."""

    since: Annotated[When, Meta(description="Started at or after")] | None = None
    until: Annotated[When, Meta(description="Started before")] | None = None
    workflow_id: Name | None = None


class Narrow(Window, frozen=True, kw_only=True, rename="camel"):
    """A project's executions by status, time, cost, tokens and text; `search` looks into input, output and error."""

    status: Word | None = None
    min_cost: Dollars | None = None
    max_cost: Dollars | None = None
    min_tokens: Count | None = None
    max_tokens: Count | None = None
    search: Annotated[str, Meta(max_length=1000, description="Its input, output or error contains this")] | None = None
    sort: Sort = "newest"


class PageOf(Narrow, frozen=True, kw_only=True, rename="camel"):
    """A page of a project's executions."""

    limit: Limit = 50
    offset: Offset = 0


class One(Struct, frozen=True, kw_only=True, rename="camel"):
    """One execution of a project."""

    project_id: str
    execution_id: str


class Workflows:
    """The handlers of the workflows' routes over one ledger."""

    def __init__(self, ledger: Ledger) -> None:
        self._ledger = ledger
        self._service = ExecutionHistoryService(ledger)
        self._progress = Progress(ledger, most_clients=ledger.settings.sse_clients)

    def find(self, call: Call) -> ExecutionPage:
        """A page of executions."""
        return self._service.page(self._filter(call), call.params.limit, call.params.offset)

    def stats(self, call: Call) -> ProjectStatistics:
        """The project summed up."""
        return self._service.statistics(self._filter(call))

    def models(self, call: Call) -> ProjectModels:
        """Tokens and cost by model."""
        wanted = self._filter(call)
        if wanted.since is None:
            wanted = replace(wanted, since=parse_when(_MODELS_SINCE, now=self._ledger.clock.now()))
        return self._service.models(replace(wanted, min_tokens=0))

    def get(self, call: Call) -> WorkflowExecution:
        """One execution, whole."""
        params: One = call.params
        found = self._service.get_execution(params.project_id, params.execution_id)
        if found is None or call.principal.actor not in {None, found.triggered_by}:
            raise _missing(params)
        return found

    def delete(self, call: Call) -> None:
        """Remove one execution."""
        params: One = call.params
        wanted = Filter(kind=KIND, namespace=params.project_id, ids=(params.execution_id,), actor=call.principal.actor)
        if not self._service.delete(wanted):
            raise _missing(params)

    def delete_all(self, call: Call) -> Deleted:
        """Remove every execution of a project."""
        return Deleted(self._service.delete(filter_of(call.params.project_id, actor=call.principal.actor)))

    def export(self, call: Call, form: Literal["csv", "json", "ndjson"]) -> Reply:
        """Everything that matches, as a file."""
        write, media_type = FORMATS[form]
        parts = SUMMARY if form == "csv" else WHOLE
        found = begun(self._service.scan(self._filter(call), parts, page=500 if form == "csv" else 50))
        headers = {"Content-Disposition": f'attachment; filename="executions.{form}"'}
        return Reply(write(found), headers=headers, media_type=media_type)

    async def events(self, call: Call) -> Reply:
        """One execution's progress, live."""
        params: One = call.params
        key = Key(KIND, params.project_id, params.execution_id)
        return Reply(await self._progress.open(key, call.principal.actor), media_type=EVENT_STREAM)

    def stop(self) -> None:
        """End the live streams."""
        self._progress.close()

    def _filter(self, call: Call) -> Filter:
        asked: dict[str, Any] = {name: getattr(call.params, name) for name in call.params.__struct_fields__}
        for name in ("since", "until"):
            asked[name] = self._when(asked.get(name), name)
        asked["text"] = asked.pop("search", None)
        for name in ("limit", "offset"):
            asked.pop(name, None)
        return filter_of(**asked, actor=call.principal.actor)

    def _when(self, text: str | None, name: str) -> int | None:
        try:
            return None if text is None else parse_when(text, now=self._ledger.clock.now())
        except InvalidError as error:
            raise InvalidError(str(error), field=name) from error


def _missing(one: One) -> NotFoundError:
    return NotFoundError(f"project {one.project_id!r} has no execution {one.execution_id!r}")


def workflow_kind(ledger: Ledger) -> Kind:
    """The workflow family over a ledger: its words and its routes."""
    workflows = Workflows(ledger)
    return Kind(name=KIND, words=WORDS, routes=tuple(_routes(workflows)), stop=workflows.stop)


def _routes(workflows: Workflows) -> list[Route]:
    base = "/api/projects/{projectId}/executions"
    common: dict[str, Any] = {"tag": "workflows", "limited": True}
    return [
        Route(
            method="GET", path=base, handler=workflows.find, params=PageOf, returns=ExecutionPage,
            summary="A page of a project's executions, newest first", **common,
        ),
        Route(
            method="GET", path=f"{base}/stats", handler=workflows.stats, params=Window, returns=ProjectStatistics,
            summary="A project's executions, tokens and cost summed up", **common,
        ),
        Route(
            method="GET", path=f"{base}/{{executionId}}", handler=workflows.get, params=One, returns=WorkflowExecution,
            summary="One execution with its workflow, input, output, steps and logs", errors=(404,), **common,
        ),
        Route(
            method="DELETE", path=f"{base}/{{executionId}}", handler=workflows.delete, params=One, status=204,
            summary="Remove an execution; it stays removed", role="admin", errors=(404,), **common,
        ),
        Route(
            method="DELETE", path=base, handler=workflows.delete_all, params=Project, returns=Deleted, role="admin",
            summary="Remove every execution of a project", **common,
        ),
        Route(
            method="GET", path=f"{base}/{{executionId}}/events", handler=workflows.events, params=One, errors=(404,),
            summary="One execution's progress, live", description=" ".join(_PROGRESS.split()), media_type=EVENT_STREAM,
            **common,
        ),
        Route(
            method="GET", path="/api/projects/{projectId}/models", handler=workflows.models, params=Window,
            returns=ProjectModels, summary="Tokens and cost by model", description=_MODELS, **common,
        ),
        *(_export(workflows, form, common) for form in ("csv", "json", "ndjson")),
    ]  # fmt: skip


def _export(workflows: Workflows, form: Literal["csv", "json", "ndjson"], common: dict[str, Any]) -> Route:
    return Route(
        method="GET",
        path=f"/api/projects/{{projectId}}/executions.{form}",
        handler=lambda call: workflows.export(call, form),
        params=Narrow,
        summary=f"A project's executions as {form.upper()}, streamed",
        media_type=FORMATS[form][1],
        **common,
    )
