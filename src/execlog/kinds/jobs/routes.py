"""The scheduler's routes, and the kind `job` they belong to."""

from __future__ import annotations

from typing import Annotated, Any

from msgspec import UNSET, Meta, Struct

from execlog.core.errors import InvalidError, NotFoundError
from execlog.kind import Call, Kind, Reply, Route
from execlog.kinds.jobs.changing import JobPatch, job_of
from execlog.kinds.jobs.desk import Cancelled, JobAgain, JobView, RunRequest, Started
from execlog.kinds.jobs.record import KIND, WORDS, JobExecutionRecord, RecordView
from execlog.kinds.jobs.serving import SchedulerServingApp
from execlog.runner.job import Job

Limit = Annotated[int, Meta(ge=1, le=1000)]
Id = Annotated[str, Meta(min_length=1, max_length=100)]
_TAG = "jobs"


class JobParams(Struct, frozen=True):
    """A job."""

    job_id: Id


class ExecutionParams(Struct, frozen=True):
    """An execution."""

    execution_id: Id


class HistoryParams(Struct, frozen=True):
    """Which executions of a job: at most `limit`, with this status.

    Statuses are success, partial_success (partial too), failed, running and queued.
    """

    job_id: Id
    limit: Limit = 50
    status: Annotated[str, Meta(max_length=40)] | None = None


class JobsParams(Struct, frozen=True):
    """Which jobs: at most `limit`, after `cursor` (the header X-Next-Cursor of the page before)."""

    limit: Limit = 50
    cursor: Annotated[str, Meta(max_length=200)] | None = None


class Deleted(Struct, frozen=True):
    """How many executions were removed."""

    deleted: int


class Handlers:
    """What the routes do."""

    def __init__(self, app: SchedulerServingApp) -> None:
        self._app = app

    def history(self, call: Call) -> list[RecordView]:
        """The newest records of a job."""
        params: HistoryParams = call.params
        records = self._app.registry.get_job_history(params.job_id, params.limit, params.status)
        if not records:
            self._app.check_known(params.job_id)
        return [record.view() for record in records]

    def latest(self, call: Call) -> RecordView:
        """The newest record of a job."""
        job_id: str = call.params.job_id
        record = self._app.registry.get_latest_execution(job_id)
        if record is None:
            self._app.check_known(job_id)
        return _found(record, f"job {job_id!r} has no executions that have ended")

    def execution(self, call: Call) -> RecordView:
        """One record."""
        execution_id: str = call.params.execution_id
        return _found(self._app.registry.get_execution(execution_id), f"there is no execution {execution_id!r}")

    def delete_execution(self, call: Call) -> Reply:
        """Nothing."""
        execution_id: str = call.params.execution_id
        if not self._app.registry.delete_execution(execution_id):
            raise NotFoundError(f"there is no execution {execution_id!r}")
        return Reply(status=204)

    def delete_history(self, call: Call) -> Deleted:
        """How many records were removed."""
        job_id: str = call.params.job_id
        self._app.check_known(job_id)
        return Deleted(self._app.registry.delete_job_history(job_id))

    def create(self, call: Call) -> Reply:
        """The new job."""
        return _reply(self._app.desk.create(call.body), 201)

    def jobs(self, call: Call) -> Reply:
        """A page of jobs."""
        page = self._app.desk.list(limit=call.params.limit, cursor=call.params.cursor)
        return Reply(page.entries, headers={} if page.next_cursor is None else {"X-Next-Cursor": page.next_cursor})

    def job(self, call: Call) -> Reply:
        """One job."""
        return _reply(self._app.desk.get(call.params.job_id))

    def replace(self, call: Call) -> Reply:
        """The job as replaced."""
        return _reply(self._app.desk.replace(call.params.job_id, job_of(call.body), version=_version(call)))

    def patch(self, call: Call) -> Reply:
        """The job as changed."""
        body: Any = call.body
        changes = {name: value for name in body.__struct_fields__ if (value := getattr(body, name)) is not UNSET}
        return _reply(self._app.desk.patch(call.params.job_id, changes, version=_version(call)))

    def delete(self, call: Call) -> Reply:
        """Nothing."""
        if not self._app.desk.delete(call.params.job_id):
            raise NotFoundError(f"there is no job {call.params.job_id!r}")
        return Reply(status=204)

    def run(self, call: Call) -> Reply:
        """The execution asked for."""
        actor = call.principal.actor or "manual"
        return Reply(self._app.desk.run(call.params.job_id, call.body or RunRequest(), triggered_by=actor), status=202)

    def pause(self, call: Call) -> Reply:
        """The job, paused."""
        return _reply(self._app.desk.set_enabled(call.params.job_id, enabled=False))

    def resume(self, call: Call) -> Reply:
        """The job, going on."""
        return _reply(self._app.desk.set_enabled(call.params.job_id, enabled=True))

    def cancel(self, call: Call) -> Cancelled:
        """What was cancelled."""
        who = f" by {call.principal.actor}" if call.principal.actor else " on request"
        return self._app.desk.cancel(call.params.job_id, reason=f"cancelled{who}")


def jobs_kind(app: SchedulerServingApp) -> Kind:
    """The kind `job`, its routes answered by `app`."""
    return Kind(name=KIND, words=WORDS, routes=(*_history_routes(Handlers(app)), *_job_routes(Handlers(app))))


def _history_routes(do: Handlers) -> tuple[Route, ...]:
    return (
        Route(
            method="GET",
            path="/scheduler/jobs/{job_id}/history",
            handler=do.history,
            summary="The newest executions of a job",
            description="What runs or waits is left out unless its status is asked for.",
            params=HistoryParams,
            returns=list[RecordView],
            errors=(404,),
            tag=_TAG,
        ),
        Route(
            method="GET",
            path="/scheduler/jobs/{job_id}/latest-execution",
            handler=do.latest,
            summary="The newest execution of a job that has ended",
            params=JobParams,
            returns=RecordView,
            errors=(404,),
            tag=_TAG,
        ),
        Route(
            method="GET",
            path="/scheduler/executions/{execution_id}",
            handler=do.execution,
            summary="One execution",
            params=ExecutionParams,
            returns=RecordView,
            errors=(404,),
            tag=_TAG,
        ),
        Route(
            method="DELETE",
            path="/scheduler/executions/{execution_id}",
            handler=do.delete_execution,
            summary="Remove one execution from the history",
            params=ExecutionParams,
            status=204,
            role="admin",
            errors=(404,),
            tag=_TAG,
        ),
        Route(
            method="DELETE",
            path="/scheduler/jobs/{job_id}/history",
            handler=do.delete_history,
            summary="Remove all executions of a job that have ended",
            params=JobParams,
            returns=Deleted,
            role="admin",
            errors=(404,),
            tag=_TAG,
        ),
    )


def _job_routes(do: Handlers) -> tuple[Route, ...]:
    """A job may run any command and any function of its server, so making and changing one takes an admin."""
    one: dict[str, Any] = {"params": JobParams, "tag": _TAG, "path": "/scheduler/jobs/{job_id}"}
    return (
        Route(
            method="POST",
            path="/scheduler/jobs",
            handler=do.create,
            summary="Make a job",
            body=Job,
            returns=JobView,
            status=201,
            role="admin",
            errors=(409, 422),
            tag=_TAG,
        ),
        Route(
            method="GET",
            path="/scheduler/jobs",
            handler=do.jobs,
            summary="The jobs, the newest made first",
            params=JobsParams,
            returns=list[JobView],
            errors=(422,),
            tag=_TAG,
        ),
        Route(method="GET", handler=do.job, summary="One job", returns=JobView, errors=(404,), **one),
        Route(
            method="PUT",
            handler=do.replace,
            summary="Replace a job",
            description="What `GET` answers may be sent back: what is no part of the definition is ignored.",
            body=JobAgain,
            returns=JobView,
            role="admin",
            errors=(404, 409, 422),
            **one,
        ),
        Route(
            method="PATCH",
            handler=do.patch,
            summary="Change some of a job",
            description="What is left out stays, in objects too unless their `type` changes; `tags` are replaced.",
            body=JobPatch,
            returns=JobView,
            role="admin",
            errors=(404, 409, 422),
            **one,
        ),
        Route(
            method="DELETE", handler=do.delete, summary="Remove a job", status=204, role="admin", errors=(404,), **one
        ),
        _action("run", do.run, "Run a job now", Started, 202, body=RunRequest | None, errors=(404, 409, 422)),
        _action("pause", do.pause, "Pause a job: its trigger does nothing until it is resumed", JobView),
        _action("resume", do.resume, "Let a paused job go on, from now", JobView),
        _action("cancel", do.cancel, "Cancel what a job runs and what waits for it", Cancelled),
    )


def _action(
    name: str,
    handler: Any,
    summary: str,
    returns: Any,
    status: int = 200,
    *,
    body: Any = None,
    errors: tuple[int, ...] = (404, 409),
) -> Route:
    return Route(
        method="POST",
        path=f"/scheduler/jobs/{{job_id}}/{name}",
        handler=handler,
        summary=summary,
        params=JobParams,
        body=body,
        returns=returns,
        status=status,
        role="operator",
        errors=errors,
        tag=_TAG,
    )


def _found(record: JobExecutionRecord | None, otherwise: str) -> RecordView:
    if record is None:
        raise NotFoundError(otherwise)
    return record.view()


def _reply(job: JobView, status: int = 200) -> Reply:
    headers = {"ETag": f'"{job.version}"'} | ({"Location": f"/scheduler/jobs/{job.id}"} if status == 201 else {})  # noqa: PLR2004 - Created
    return Reply(job, status=status, headers=headers)


def _version(call: Call) -> int | None:
    """The version in If-Match, None for none or "*". Raises InvalidError."""
    text = call.headers.get("if-match", "*").strip()
    if text == "*":
        return None
    bare = text.removeprefix("W/").strip('"')
    if not (bare.isascii() and bare.isdigit() and len(bare) < 19):  # noqa: PLR2004 - digits of a 64-bit number
        raise InvalidError(f"If-Match: {text[:60]!r} is not a version of a job", field="if-match")
    return int(bare)
