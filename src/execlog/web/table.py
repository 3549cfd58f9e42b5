"""The route table as something Starlette routes to: every path of it, and nothing else."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any
from urllib.parse import quote, unquote_to_bytes

from starlette.datastructures import URLPath
from starlette.routing import BaseRoute, Match, NoMatchFound
from starlette.types import Receive, Scope, Send

from execlog.kind import Reply, Route
from execlog.web.endpoint import HTML, Endpoint, PageOf, read_headers, refuse, send_reply
from execlog.web.problem import ProblemError


class Resource:
    """One path with its methods."""

    def __init__(self, path: str) -> None:
        self.path = path
        self.names = tuple(part[1:-1] for part in path.split("/") if part.startswith("{"))
        self.endpoints: dict[str, Endpoint] = {}

    def refusal(self) -> ProblemError:
        """What a method is told that nothing answers."""
        allowed = ", ".join(sorted(self.endpoints.keys() | ({"HEAD"} if "GET" in self.endpoints else set())))
        return ProblemError(405, f"{self.path} takes {allowed}", headers={"Allow": allowed})


class Node:
    """A segment of paths: what follows it by name, what follows it as a parameter, and the path that ends here."""

    def __init__(self) -> None:
        self.fixed: dict[str, Node] = {}
        self.parameter: Node | None = None
        self.resource: Resource | None = None

    def find(self, parts: list[str], at: int, values: tuple[str, ...]) -> tuple[Resource, tuple[str, ...]] | None:
        """The path of these segments and its parameters' values; a fixed segment wins over a parameter."""
        if at == len(parts):
            return (self.resource, values) if self.resource is not None else None
        fixed = self.fixed.get(parts[at])
        if fixed is not None and (found := fixed.find(parts, at + 1, values)):
            return found
        if self.parameter is not None and parts[at]:
            return self.parameter.find(parts, at + 1, (*values, parts[at]))
        return None


class RouteTable(BaseRoute):
    """All routes of the app. A parameter is a segment of the path as it was sent: an encoded slash does not end it."""

    def __init__(self, endpoints: Iterable[Endpoint], page_of: PageOf | None = None) -> None:
        """Raises ValueError for two routes of one method and path.

        `page_of` makes the page that a browser is answered with at an address that is none of the API's.
        """
        self._page_of = page_of
        self._programs: set[str] = set()
        self._root = Node()
        self.resources: dict[str, Resource] = {}
        for endpoint in endpoints:
            self._add(endpoint)

    @property
    def routes(self) -> list[Route]:
        """The rows of the table, path by path."""
        return [endpoint.route for resource in self.resources.values() for endpoint in resource.endpoints.values()]

    def matches(self, scope: Scope) -> tuple[Match, Scope]:
        """Whether the request's path is in the table; its parameters are the segments, decoded."""
        if scope["type"] != "http":
            return Match.NONE, {}
        parts = segments(scope)
        if parts is None:
            return Match.FULL, {"endpoint": None}
        found = self._root.find(parts, 0, ())
        if found is None:
            return Match.NONE, {}
        resource, values = found
        return Match.FULL, {"endpoint": resource, "path_params": dict(zip(resource.names, values, strict=True))}

    async def handle(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Hand the request to the method's endpoint."""
        resource: Resource | None = scope["endpoint"]
        if resource is None:
            await send_reply(refuse(ProblemError(400, "the path is not UTF-8"), scope), scope, receive, send)
            return
        endpoint = resource.endpoints.get("GET" if scope["method"] == "HEAD" else scope["method"])
        if endpoint is None:
            await send_reply(self._refuse(resource.refusal(), scope), scope, receive, send)
            return
        await endpoint(scope, receive, send)

    async def answer_unknown(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer what no route takes; a page's address with a slash too many leads to the page."""
        if scope["type"] == "websocket":
            await send({"type": "websocket.close", "code": 1000, "reason": ""})
            return
        reply = self._without_slash(scope)
        if reply is None:
            reply = self._refuse(ProblemError(404, "no such address here; /docs has what there is"), scope)
        await send_reply(reply, scope, receive, send)

    def url_path_for(self, name: str, /, **path_params: Any) -> URLPath:
        """Nothing: routes have no names here; always raises NoMatchFound."""
        raise NoMatchFound(name, path_params)

    def _refuse(self, error: ProblemError, scope: Scope) -> Reply:
        """The answer to an error: a page for a browser that looks for one, else a problem document."""
        first = (segments(scope) or [""])[0]
        if self._page_of is None or first in self._programs or "text/html" not in read_headers(scope).get("accept", ""):
            return refuse(error, scope)
        return self._page_of(error, scope)

    def _without_slash(self, scope: Scope) -> Reply | None:
        parts = segments(scope) or []
        found = self._root.find(parts[:-1], 0, ()) if len(parts) > 1 and not parts[-1] else None
        page = found[0].endpoints.get("GET") if found else None
        if page is None or page.route.media_type != HTML or scope["method"] not in {"GET", "HEAD"}:
            return None
        # Relative, so that it is right wherever the app is mounted.
        query = scope["query_string"].decode("latin-1")
        location = f"../{quote(parts[-2], safe='')}" + (f"?{query}" if query else "")
        return Reply(b"", 308, {"Location": location}, HTML)

    def _add(self, endpoint: Endpoint) -> None:
        route = endpoint.route
        node = self._root
        if route.media_type != HTML:
            self._programs.add(route.path.split("/")[1])
        for part in route.path.split("/")[1:]:
            if part.startswith("{"):
                node.parameter = node.parameter or Node()
                node = node.parameter
            else:
                node = node.fixed.setdefault(part, Node())
        node.resource = node.resource or self.resources.setdefault(route.path, Resource(route.path))
        if node.resource.path != route.path or route.method in node.resource.endpoints:
            message = f"{route.method} {route.path} is in the table twice (also as {node.resource.path})"
            raise ValueError(message)
        node.resource.endpoints[route.method] = endpoint


def segments(scope: Scope) -> list[str] | None:
    """The segments of the path below where the app is mounted, each decoded by itself; None where one is not UTF-8."""
    path: str = scope["path"]
    root: str = scope.get("root_path", "").rstrip("/")
    if root and path.startswith(root + "/"):
        path = path[len(root) :]
    raw: bytes = scope.get("raw_path") or b""
    if b"%" in raw:
        try:
            parts = [unquote_to_bytes(part).decode() for part in raw.partition(b"?")[0].split(b"/")]
        except UnicodeDecodeError:
            return None
        for start in range(1, len(parts)):
            if "/".join(parts[start:]) == path[1:]:
                return parts[start:]
    return path[1:].split("/")
