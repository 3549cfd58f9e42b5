"""What a family of executions brings: its words, and its routes.

One table of `Route`s makes the server, its validation, its OpenAPI document and its authorisation.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Awaitable, Callable
from typing import Any, Literal, Self

from msgspec import Struct

from execlog.core.model import Status

Role = Literal["public", "viewer", "operator", "admin"]
"""Anyone; who may read; who may also run and change; who may also delete and configure."""

Method = Literal["GET", "POST", "PUT", "PATCH", "DELETE"]


class Principal(Struct, frozen=True):
    """Who calls: a role, and the user id the calls are limited to (None: not limited)."""

    role: Role = "admin"
    actor: str | None = None


class Call(Struct, frozen=True, kw_only=True):
    """One call of a route: what came in, already validated.

    params    the route's `params` Struct: path and query parameters together
    body      the route's `body` value, or the raw bytes (decompressed, within the limit) where it asks for `bytes`
    headers   lower-case names
    path      as the client wrote it, without the query
    root      where the app is mounted, "" at the top: what links begin with
    base      the same with scheme and host, as the client sees them
    gone      returns once the client has hung up, for a handler that waits; None where that is not known
    """

    principal: Principal = Principal()
    params: Any = None
    body: Any = None
    headers: dict[str, str] = {}
    path: str = ""
    root: str = ""
    base: str = ""
    gone: Callable[[], Awaitable[None]] | None = None


class Reply(Struct, frozen=True):
    """An answer with a status or headers of its own; a handler's plain return value is a 200 (or the route's status).

    `body` is encoded as JSON, except bytes, which are sent as they are, an iterator of bytes, which is streamed from a
    worker thread, and an async iterator of bytes, which is streamed from the event loop ("text/event-stream", a
    `Stream`: with heartbeats).
    """

    body: Any = None
    status: int = 200
    headers: dict[str, str] = {}
    media_type: str = "application/json"


class Stream:
    """Live events as the body of a reply. Whoever sends it closes it, also when nobody ever read it.

    `leave` is called once, when it is closed: a place among a server's live clients is taken when a stream is promised,
    so that many who ask at once do not all find the last one free.
    """

    def __init__(self, events: AsyncGenerator[bytes], leave: Callable[[], None]) -> None:
        self._events = events
        self._leave: Callable[[], None] | None = leave

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> bytes:
        """The next events, as they are sent."""
        return await anext(self._events)

    async def aclose(self) -> None:
        """End it. Closing twice is fine."""
        try:
            await self._events.aclose()
        finally:
            leave, self._leave = self._leave, None
            if leave is not None:
                leave()


class Route(Struct, frozen=True, kw_only=True):
    """One route.

    The handler is a plain function of a `Call`; it is run in a worker thread and may block on the store. An `async def`
    handler is awaited on the event loop and must not block. Its errors of `core.errors` become problem documents:
    InvalidError 422, CursorError 400, NotFoundError 404, ConflictError 409, UnsupportedError 501, StoreError 503.

    path          as in "/scheduler/jobs/{job_id}/history"; a fixed segment wins over a parameter, whatever the order. A
                  parameter is one segment, percent-decoded, and must be a fit id (`core.ids.check_id`), else 422
    params        a Struct of path and query parameters. Lists are repeated, or separated by commas where their entries
                  are numbers or enumerated; dicts are repeated "key:value"; empty values count as not given, unknown
                  ones are ignored unless the Struct forbids unknown fields
    body          a type; `bytes` for raw ones; one that takes None need not be sent
    accepts       media types of the body
    reads         for the document: the type a JSON body of raw bytes is read as
    returns       type of the answer with `status`; `also` has further statuses with theirs
    media_type    of the answer, for the document; a Reply says its own
    role          who may call
    limited       knows `call.principal.actor`, and shows and changes only that actor's executions; other routes answer
                  403 to a token that is limited to one actor
    errors        statuses of errors that are part of its contract; what the framework itself answers (400, 401, 403,
                  408, 413, 414, 415, 421, 422, 503) is added to the document where it can occur
    documented    stands in the API's document; pages and files do not
    """

    method: Method
    path: str
    handler: Callable[[Call], Any]
    summary: str
    description: str = ""
    params: Any = None
    body: Any = None
    accepts: tuple[str, ...] = ("application/json",)
    reads: Any = None
    returns: Any = None
    status: int = 200
    also: dict[int, Any] = {}
    media_type: str = "application/json"
    role: Role = "viewer"
    limited: bool = False
    errors: tuple[int, ...] = ()
    tag: str = "executions"
    documented: bool = True


class Kind(Struct, frozen=True, kw_only=True):
    """A family of executions: its name, how it calls each canonical status, and its routes.

    `stop` is called, on the event loop of its streams, when a server begins to stop: it ends those that would go on.
    """

    name: str
    words: dict[Status, str]
    routes: tuple[Route, ...] = ()
    stop: Callable[[], None] | None = None

    def canonical(self, word: str) -> tuple[Status, ...]:
        """The canonical statuses a family's word stands for; () for a word that is none of its."""
        return tuple(status for status, shown in self.words.items() if shown == word)
