"""The gateway's routes: `POST /v3/execute`, cancelling, and what may be queried."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from contextlib import suppress
from typing import Annotated, Any

import msgspec
from msgspec import Meta, Struct

from execlog.core.errors import ConflictError, ForbiddenError, NotFoundError
from execlog.core.model import Status
from execlog.kind import Call, Reply, Route
from execlog.kinds.queries.gateway import Gateway, Query
from execlog.kinds.queries.record import DEFAULT_PAGE, WORDS
from execlog.kinds.queries.running import Outcome, Running

TAG = "queries"
_LONG = 10_000
_SECONDS_UNWATCHED = 0.1
"""How long a query runs before its client is watched: most have ended by then."""

PROBLEM = "application/problem+json"
Id = Annotated[str, Meta(min_length=1, max_length=100)]
Name = Annotated[str, Meta(min_length=1, max_length=100)]
_HTTP: Mapping[Status, tuple[int, str]] = {
    Status.FAILED: (422, "The query was refused"),
    Status.TIMED_OUT: (504, "The query took too long"),
    Status.CANCELLED: (409, "The query was cancelled"),
    Status.CRASHED: (502, "The database could not be asked"),
}
_HTTP_BY_KIND: Mapping[str, tuple[int, str]] = {
    "Overloaded": (503, "Too many queries are waiting"),
    "MissingExtraError": (501, "Not possible with this installation"),
}


class ExecuteRequest(Struct, frozen=True, kw_only=True):
    """A query to run. `connection` or `database_type` may be left out where only one fits."""

    query: Annotated[str, Meta(min_length=1, max_length=500_000)]
    connection: Name | None = None
    database_type: Name | None = None
    params: Annotated[
        list[Any] | dict[str, Any] | None, Meta(description="Values for the database's own placeholders")
    ] = None
    page: Annotated[int, Meta(ge=0, le=2**31, description="Counted from 0")] = DEFAULT_PAGE
    page_size: (
        Annotated[int, Meta(ge=1, le=100_000, description="100, or the connection's max_page_size where that is less")]
        | None
    ) = None
    timeout: (
        Annotated[float, Meta(gt=0, le=86_400, description="Seconds; at most what the connection allows")] | None
    ) = None
    user_id: Id | None = None
    conversation_id: Id | None = None
    execution_id: (
        Annotated[Id, Meta(description="Made here where it is not given; one that a query has already is a 409")] | None
    ) = None
    metadata: Annotated[dict[str, Any], Meta(description="Recorded as request_metadata")] = {}
    fresh: Annotated[bool, Meta(description="Ask the database, whatever the cache has")] = False


class QueryPage(Struct, frozen=True, kw_only=True):
    """A page of a query's result.

    total_rows       rows of the whole result; those counted, where `truncated` is "rows"
    execution_time   seconds, from asking the database to its last row
    truncated        "rows": the result is larger than the connection counts; "bytes": the page would be too large
    """

    execution_id: str
    status: str
    columns: tuple[str, ...]
    column_types: tuple[str, ...]
    rows: tuple[Any, ...]
    total_rows: int
    returned_rows: int
    page: int
    page_size: int
    execution_time: float
    connection: str
    database_type: str
    truncated: str | None = None
    affected_rows: int | None = None
    cached: bool = False


class QueryProblem(Struct, frozen=True, kw_only=True):
    """Why a query has no result: a problem document (RFC 9457) with what was recorded about it.

    query_status   as the history shows it: failed, timeout or error
    """

    type: str
    title: str
    status: int
    detail: str
    instance: str
    execution_id: str
    query_status: str
    error_type: str
    error_message: str
    execution_time: float


class ExecutionQuestion(Struct, frozen=True, kw_only=True):
    """Which execution."""

    execution_id: Id


class Cancelling(Struct, frozen=True):
    """A query that is being stopped; its outcome is recorded, and given to who asked it."""

    execution_id: str
    status: str = "cancelling"


class ConnectionView(Struct, frozen=True, kw_only=True):
    """A connection that may be queried, without anything secret. Times are seconds."""

    name: str
    database_type: str
    read_only: bool
    timeout: float
    max_timeout: float
    max_rows: int
    max_bytes: int
    max_page_size: int
    max_concurrent: int


class ConnectionList(Struct, frozen=True):
    """What may be queried."""

    connections: tuple[ConnectionView, ...]


class Executor:
    """The handlers of the gateway's routes."""

    def __init__(self, gateway: Gateway) -> None:
        self._gateway = gateway

    async def execute(self, call: Call) -> Reply:
        """A page of the query's result, or the problem it had."""
        query = query_of(call.body, call)
        # Reading a long query, and looking up an id, take too long for the event loop.
        submit = self._gateway.submit
        aside = len(query.query) > _LONG or query.execution_id is not None
        running = await asyncio.to_thread(submit, query) if aside else submit(query)
        outcome = await self._outcome(running, call)
        return reply_of(outcome, call.path)

    async def _outcome(self, running: Running, call: Call) -> Outcome:
        """The outcome; a query whose client hangs up meanwhile is cancelled, since nobody waits for its answer."""
        outcome = asyncio.wrap_future(running.future)
        await asyncio.wait({outcome}, timeout=_SECONDS_UNWATCHED)
        if call.gone is not None and not outcome.done():
            gone = asyncio.ensure_future(call.gone())
            try:
                await asyncio.wait({outcome, gone}, return_when=asyncio.FIRST_COMPLETED)
            finally:
                gone.cancel()
            if not outcome.done():
                with suppress(ConflictError, NotFoundError):  # it ends at this moment, or is being stopped
                    await asyncio.to_thread(self._gateway.cancel, running.id, by="its client, which hung up")
        return await outcome

    def cancel(self, call: Call) -> Cancelling:
        """Stop a query that runs here."""
        execution_id: str = call.params.execution_id
        actor = call.principal.actor
        self._gateway.cancel(execution_id, user_id=actor, by=actor or "")
        return Cancelling(execution_id)

    def connections(self, _call: Call) -> ConnectionList:
        """What may be queried."""
        return ConnectionList(
            tuple(
                ConnectionView(
                    name=one.name,
                    database_type=one.database_type,
                    **{name: getattr(one.limits, name) for name in _SHOWN},
                )
                for one in self._gateway.connections.values()
            )
        )


_SHOWN = tuple(name for name in ConnectionView.__struct_fields__ if name not in {"name", "database_type"})


def query_of(body: ExecuteRequest, call: Call) -> Query:
    """The query of a request. Raises ForbiddenError where a limited caller asks in another user's name."""
    actor = call.principal.actor
    if actor is not None and body.user_id not in {None, actor}:
        raise ForbiddenError(f"your token is limited to {actor!r}")
    return Query(
        query=body.query,
        connection=body.connection,
        database_type=body.database_type,
        params=body.params,
        page=body.page,
        page_size=body.page_size,
        timeout=body.timeout,
        user_id=body.user_id or actor,
        conversation_id=body.conversation_id,
        execution_id=body.execution_id,
        metadata=body.metadata or None,
        fresh=body.fresh,
    )


def page_of(outcome: Outcome) -> QueryPage | None:
    """The answer to a query that succeeded; None for one that did not."""
    part = outcome.part
    if part is None:
        return None
    return QueryPage(
        execution_id=outcome.execution_id,
        status=WORDS[outcome.status],
        columns=part.columns,
        column_types=part.column_types,
        rows=part.rows,
        total_rows=part.total_rows,
        returned_rows=len(part.rows),
        page=outcome.page,
        page_size=outcome.page_size,
        execution_time=round(outcome.seconds, 6),
        connection=outcome.connection.name,
        database_type=outcome.connection.database_type,
        truncated=part.truncated,
        affected_rows=part.affected_rows,
        cached=outcome.cached,
    )


def reply_of(outcome: Outcome, path: str = "") -> Reply:
    """The answer as it is sent."""
    page = page_of(outcome)
    if page is not None:
        return Reply(msgspec.json.encode(page))
    trouble = outcome.trouble
    kind, message = ("Error", "") if trouble is None else (trouble.kind, trouble.message)
    status, title = _HTTP_BY_KIND.get(kind) or _HTTP.get(outcome.status, (500, "The query failed"))
    problem = QueryProblem(
        type=f"urn:execlog:problem:query-{WORDS[outcome.status]}",
        title=title,
        status=status,
        detail=message,
        instance=path,
        execution_id=outcome.execution_id,
        query_status=WORDS[outcome.status],
        error_type=kind,
        error_message=message,
        execution_time=round(outcome.seconds, 6),
    )
    headers = {"Retry-After": "5"} if status == 503 else {}  # noqa: PLR2004 - Service Unavailable
    return Reply(msgspec.json.encode(problem), status=status, headers=headers, media_type=PROBLEM)


def execute_routes(executor: Executor) -> tuple[Route, ...]:
    """The gateway's routes."""
    return (
        Route(
            method="POST",
            path="/v3/execute",
            handler=executor.execute,
            summary="Run a query on a configured database, and record it",
            description="Exactly one statement, and one that reads unless the connection allows more. An error names "
            "the execution, which is recorded with it: 422 refused, 504 timed out, 409 cancelled, 502 broken "
            "connection, 503 too many waiting. An `execution_id` that is taken is a 409 too, without a record.",
            body=ExecuteRequest,
            returns=QueryPage,
            role="operator",
            limited=True,
            errors=(409, 422, 501, 502, 503, 504),
            tag=TAG,
        ),
        Route(
            method="POST",
            path="/v3/execute/{execution_id}/cancel",
            handler=executor.cancel,
            summary="Stop a query that runs or waits on this server",
            params=ExecutionQuestion,
            returns=Cancelling,
            status=202,
            role="operator",
            limited=True,
            errors=(404, 409),
            tag=TAG,
        ),
        Route(
            method="GET",
            path="/v3/connections",
            handler=executor.connections,
            summary="What may be queried, and within which limits",
            returns=ConnectionList,
            limited=True,
            tag=TAG,
        ),
    )
