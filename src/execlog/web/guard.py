"""The gate in front of everything: names of this server, other sites' requests, and addresses without end."""

from __future__ import annotations

from starlette.types import ASGIApp, Receive, Scope, Send

from execlog.web.access import Access
from execlog.web.endpoint import read_headers, refuse, send_reply
from execlog.web.problem import ProblemError

MAX_ADDRESS = 16_384


class Guard:
    """ASGI middleware that refuses what must not reach a route."""

    def __init__(self, app: ASGIApp, access: Access) -> None:
        self._app = app
        self._access = access

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on, or answer it with a problem."""
        if scope["type"] == "http":
            try:
                self._check(scope)
            except ProblemError as error:
                await send_reply(refuse(error, scope), scope, receive, send)
                return
        await self._app(scope, receive, send)

    def _check(self, scope: Scope) -> None:
        if len(scope["path"]) + len(scope["query_string"]) > MAX_ADDRESS:
            raise ProblemError(414, f"path and query may have {MAX_ADDRESS} characters")
        host = next((value for name, value in scope["headers"] if name == b"host"), None)
        self._access.check_host(None if host is None else host.decode("latin-1"))
        if scope["method"] not in {"GET", "HEAD", "OPTIONS"}:
            self._access.check_origin(scope["method"], read_headers(scope))
