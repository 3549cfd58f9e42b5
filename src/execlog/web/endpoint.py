"""One method of one path, as an ASGI app: who calls, with what, the handler in a worker thread, and its answer."""

from __future__ import annotations

import asyncio
import inspect
import logging
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from typing import Any, cast
from urllib.parse import quote

from msgspec.structs import replace
from starlette.types import Receive, Scope, Send

from execlog.history.view import to_json
from execlog.kind import Call, Principal, Reply, Route
from execlog.web.access import Access
from execlog.web.content import Arrivals, Body, ClientGoneError
from execlog.web.parameters import Parameters
from execlog.web.problem import MEDIA_TYPE, RETRY_AFTER, ProblemError, as_problem, document
from execlog.web.requests import Requests
from execlog.web.workers import Workers

_POLICY = (
    b"default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; "
    b"form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
)
SECURITY = (
    (b"x-content-type-options", b"nosniff"),
    (b"referrer-policy", b"same-origin"),
    (b"x-frame-options", b"DENY"),
    (b"cross-origin-opener-policy", b"same-origin"),
    (b"cross-origin-resource-policy", b"same-origin"),
    (b"content-security-policy", _POLICY),
)
HTML = "text/html"
_AS_IS = "".join(map(chr, range(0x20, 0x7F)))
PageOf = Callable[[ProblemError, Scope], Reply]
_log = logging.getLogger("execlog.web")


class Endpoint:
    """One route of the table, answering."""

    def __init__(
        self,
        route: Route,
        *,
        access: Access,
        workers: Workers,
        requests: Requests,
        arrivals: Arrivals,
        body_limit: int,
        page_of: PageOf | None = None,
    ) -> None:
        """`page_of` makes the page that pages answer with where they cannot be shown."""
        names = frozenset(part[1:-1] for part in route.path.split("/") if part.startswith("{"))
        self.route = route
        self._parameters = Parameters(route.params, names)
        self._body = None if route.body is None else Body(route, body_limit, arrivals)
        self._access = access
        self._workers = workers
        self._requests = requests
        self._page_of = page_of
        self._awaits = inspect.iscoroutinefunction(route.handler)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        try:
            reply = await self._answer(scope, receive)
        except ClientGoneError:
            return
        except asyncio.CancelledError:
            if not self._workers.stopping:
                raise
            # The server's patience with what still runs is over: its clients are told, and its log is not.
            reply = self._refuse(ProblemError(503, "this server is stopping", headers=RETRY_AFTER), scope)
        except Exception as error:  # noqa: BLE001 - the last place: the client gets a problem, never a trace
            reply = self._refuse(error, scope)
        self._requests.count(self.route, reply.status)
        await send_reply(reply, scope, receive, send)

    async def _answer(self, scope: Scope, receive: Receive) -> Reply:
        headers = read_headers(scope)
        principal = self._access.principal(headers)
        self._access.check(self.route, principal)
        path_params: dict[str, str] = scope["path_params"]
        params = self._parameters.read(path_params, scope["query_string"])
        body = None if self._body is None else await self._body.read(headers, receive)
        call = self._call(scope, headers, principal, params, body)
        if self._awaits:
            call = replace(call, gone=lambda: _until_gone(receive))
            return self._encoded(await self.route.handler(call))
        return await self._workers.run(lambda: self._encoded(self.route.handler(call)))

    @staticmethod
    def _call(scope: Scope, headers: dict[str, str], principal: Principal, params: Any, body: Any) -> Call:
        root: str = scope.get("root_path", "")
        base = f"{scope['scheme']}://{headers.get('host', '')}{root}"
        return Call(
            principal=principal, params=params, body=body, headers=headers, path=scope["path"], root=root, base=base
        )

    def _refuse(self, error: Exception, scope: Scope) -> Reply:
        if self._page_of is not None and self.route.media_type == HTML:
            return self._page_of(explain(error, scope), scope)
        return refuse(error, scope)

    def _encoded(self, answer: Any) -> Reply:
        """The answer with its body as bytes, or as the iterator it is."""
        if not isinstance(answer, Reply):
            answer = Reply(answer, status=self.route.status, media_type=self.route.media_type)
        if answer.status == 204:  # noqa: PLR2004 - No Content
            return Reply(b"", status=204, headers=answer.headers, media_type="")
        if isinstance(answer.body, bytes | Iterator | AsyncIterator):
            return answer
        return Reply(to_json(answer.body), answer.status, answer.headers, answer.media_type)


async def _until_gone(receive: Receive) -> None:
    """Nothing, once the client has hung up; to be asked when the body has been read."""
    while (await receive())["type"] != "http.disconnect":
        pass


def read_headers(scope: Scope) -> dict[str, str]:
    """The request's headers, names in lower case; repeated ones joined by commas."""
    headers: dict[str, str] = {}
    for raw_name, raw_value in cast("list[tuple[bytes, bytes]]", scope["headers"]):
        name, value = raw_name.decode("latin-1"), raw_value.decode("latin-1")
        headers[name] = f"{headers[name]}, {value}" if name in headers else value
    return headers


def explain(error: Exception, scope: Scope) -> ProblemError:
    """The problem an error is; one nobody expected is told to the log, not to the client."""
    problem = as_problem(error)
    if problem is None:
        _log.error("%s %s failed", scope["method"], scope["path"], exc_info=error)
        problem = ProblemError(500, "this should not happen; the server's log has the reason")
    return problem


def refuse(error: Exception, scope: Scope) -> Reply:
    """The answer to an error: its problem document."""
    problem = explain(error, scope)
    return Reply(to_json(document(problem, scope["path"])), problem.status, problem.headers, MEDIA_TYPE)


async def send_reply(reply: Reply, scope: Scope, receive: Receive, send: Send) -> None:
    """Send an answer whose body is bytes or an iterator of bytes."""
    from execlog.web.stream import send_stream

    headers = [*head(reply.headers, reply.media_type), *SECURITY]
    if not isinstance(reply.body, bytes):
        await send_stream(reply, headers, scope, receive, send)
        return
    if reply.status != 204:  # noqa: PLR2004 - No Content
        headers.append((b"content-length", str(len(reply.body)).encode()))
    await send({"type": "http.response.start", "status": reply.status, "headers": headers})
    await send({"type": "http.response.body", "body": b"" if scope["method"] == "HEAD" else reply.body})


def head(headers: Mapping[str, str], media_type: str) -> list[tuple[bytes, bytes]]:
    """Raw headers of an answer; nothing is cached that does not say so."""
    # Percent-encoded where it is not ASCII, as addresses in Location must be; and no value can begin another header.
    raw = [
        (name.lower().encode("latin-1"), quote(value, safe=_AS_IS).encode("ascii")) for name, value in headers.items()
    ]
    if media_type:
        charset = "; charset=utf-8" if media_type.startswith("text/") and ";" not in media_type else ""
        raw.append((b"content-type", f"{media_type}{charset}".encode("latin-1")))
    if all(name != b"cache-control" for name, _ in raw):
        raw.append((b"cache-control", b"no-store"))
    return raw
