"""What a family of executions brings: its words, and its routes.

One table of `Route`s makes the server, its validation, its OpenAPI document and its authorisation.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Literal

from msgspec import Struct

from execlog.core.model import Status

Role = Literal["public", "viewer", "operator", "admin"]
"""Who may call: anyone; who may read; run and change; delete and configure. Each includes the ones before it."""

Method = Literal["GET", "POST", "PUT", "PATCH", "DELETE"]


class Principal(Struct, frozen=True):
    """Who calls: a role, and the user id the calls are limited to (None: not limited)."""

    role: Role = "admin"
    actor: str | None = None


class Call(Struct, frozen=True, kw_only=True):
    """One call of a route: what came in, already validated.

    params    the route's `params` Struct: path and query parameters together
    body      the route's `body` value, or the raw bytes where the route asks for `bytes`
    headers   lower-case names
    """

    principal: Principal = Principal()
    params: Any = None
    body: Any = None
    headers: dict[str, str] = {}


class Reply(Struct, frozen=True):
    """An answer with a status or headers of its own; a handler's plain return value takes the route's status."""

    body: Any = None
    status: int = 200
    headers: dict[str, str] = {}
    media_type: str = "application/json"


class Route(Struct, frozen=True, kw_only=True):
    """One route. The handler is a plain function of a `Call`; it is run in a worker thread and may block on the store.

    Its errors of `core.errors` become problem documents: InvalidError 422, NotFoundError 404, ConflictError 409,
    UnsupportedError 501, StoreError 503. `errors` lists the statuses that are part of its contract, for the document.
    `path` is written as "/scheduler/jobs/{job_id}/history". A handler that streams returns an iterator of bytes in a
    Reply.
    """

    method: Method
    path: str
    handler: Callable[[Call], Any]
    summary: str
    params: Any = None
    body: Any = None
    returns: Any = None
    status: int = 200
    role: Role = "viewer"
    errors: tuple[int, ...] = ()
    tag: str = "executions"


class Kind(Struct, frozen=True, kw_only=True):
    """A family of executions: its name, how it calls each canonical status, and its routes."""

    name: str
    words: dict[Status, str]
    routes: tuple[Route, ...] = ()

    def canonical(self, word: str) -> tuple[Status, ...]:
        """The canonical statuses a family's word stands for; () for a word that is none of its."""
        return tuple(status for status, shown in self.words.items() if shown == word)
