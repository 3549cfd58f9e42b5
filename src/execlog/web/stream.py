"""Answers that are sent as they are made: exports from a worker thread, live events from the event loop."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator

from starlette.concurrency import iterate_in_threadpool
from starlette.types import Receive, Scope, Send

from execlog.kind import Reply, Stream

HEARTBEAT_SECONDS = 15
EVENT_STREAM = "text/event-stream"


async def send_stream(
    reply: Reply, headers: list[tuple[bytes, bytes]], scope: Scope, receive: Receive, send: Send
) -> None:
    """Send an answer whose body is an iterator, until it ends or the client hangs up."""
    body: AsyncIterator[bytes] | Iterator[bytes] = reply.body
    if isinstance(body, Stream):
        try:
            await _send_events(body, headers, scope, receive, send)
        finally:
            await body.aclose()
        return
    await send({"type": "http.response.start", "status": reply.status, "headers": headers})
    if scope["method"] != "HEAD":
        async for chunk in iterate_in_threadpool(body) if isinstance(body, Iterator) else body:
            await send({"type": "http.response.body", "body": chunk, "more_body": True})
    await send({"type": "http.response.body", "body": b"", "more_body": False})


async def _send_events(
    body: Stream, headers: list[tuple[bytes, bytes]], scope: Scope, receive: Receive, send: Send
) -> None:
    from sse_starlette.sse import EventSourceResponse

    response = EventSourceResponse(body, ping=HEARTBEAT_SECONDS, sep="\n", send_timeout=HEARTBEAT_SECONDS)
    known = {name for name, _ in response.raw_headers}
    response.raw_headers.extend(pair for pair in headers if pair[0] not in known)
    await response(scope, receive, send)
