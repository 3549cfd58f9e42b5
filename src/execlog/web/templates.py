"""Pages out of templates, and the few files they need."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any, cast
from urllib.parse import quote, urlencode

import jinja2
from msgspec import Struct
from starlette.types import Scope

from execlog.history.reason import gist, reason, skipped, taken_over
from execlog.kind import Call, Principal, Reply
from execlog.web import wording
from execlog.web.access import Access
from execlog.web.endpoint import HTML, read_headers
from execlog.web.problem import Problem, ProblemError, document
from execlog.web.release import release

HERE = Path(__file__).parent
_TYPES = {".css": "text/css", ".js": "text/javascript", ".svg": "image/svg+xml"}
_WORDS = (
    "word",
    "called",
    "duration",
    "number",
    "short",
    "percent",
    "money",
    "stamp",
    "iso",
    "ago",
    "pretty",
    "about",
    "coded",
    "parted",
)
_FOREVER = {"Cache-Control": "public, max-age=31536000, immutable"}


class Asset(Struct, frozen=True):
    """A file of the pages; `v` changes with what is in it."""

    name: str
    v: str | None = None


class Templates:
    """The templates of the pages; who has signed in is shown a way to sign out.

    has_jobs   there is a page of jobs to lead to
    """

    def __init__(self, access: Access) -> None:
        self.has_jobs = False
        self._access = access
        self._files = {file.name: file.read_bytes() for file in sorted((HERE / "static").iterdir())}
        self._environment = jinja2.Environment(
            loader=jinja2.FileSystemLoader(HERE / "templates"),
            autoescape=True,
            undefined=jinja2.StrictUndefined,
            trim_blocks=True,
            lstrip_blocks=True,
        )
        filters = cast("dict[str, Any]", self._environment.filters)  # pyright: ignore[reportUnknownMemberType] - jinja2 leaves it untyped
        filters.update({name: getattr(wording, name) for name in _WORDS})
        filters.update(reason=reason, gist=gist, skipped=skipped, taken_over=taken_over)
        self._always: dict[str, Any] = {"release": release(), "change": None, "feed": {}}

    def reply(self, template: str, call: Call, *, status: int = 200, **values: Any) -> Reply:
        """The page a template makes of these values."""
        page = self._render(template, call.root, values | self._of(call.principal))
        return Reply(page.encode(), status=status, media_type=HTML)

    def asset(self, call: Call) -> Reply:
        """A file of the pages; raises ProblemError 404 for any other."""
        asset: Asset = call.params
        data = self._files.get(asset.name)
        if data is None:
            raise ProblemError(404, f"no file {asset.name!r}")
        headers = _FOREVER if asset.v == self._version(asset.name) else {}
        return Reply(data, headers=headers, media_type=_TYPES[Path(asset.name).suffix])

    def refusal(self, error: ProblemError, scope: Scope) -> Reply:
        """The page that says why there is no page; who is not known yet is sent to sign in."""
        root = scope.get("root_path", "")
        if error.status == 401:  # noqa: PLR2004 - Unauthorized
            return Reply(b"", 303, {"Location": f"{root}/login?{urlencode({'next': _address(scope)})}"}, HTML)
        problem: Problem = document(error, scope["path"])
        values = {"problem": problem} | self._of(self._access.principal(read_headers(scope)))
        page = self._render("problem.html", root, values).encode()
        return Reply(page, error.status, error.headers, HTML)

    def _of(self, principal: Principal) -> dict[str, Any]:
        """What the frame of a page shows to this principal."""
        signs_out = not self._access.open and principal.role != "public"
        return {"signs_out": signs_out, "shows_jobs": self.has_jobs and principal.actor is None}

    def _render(self, template: str, root: str, values: dict[str, Any]) -> str:
        def url(path: str, **query: object) -> str:
            pairs = {name: value for name, value in query.items() if value not in (None, "")}
            return f"{root}{path}" + (f"?{urlencode(pairs)}" if pairs else "")

        def execution_url(kind: str, namespace: str, id_: str, **query: object) -> str:
            return url(f"/executions/{quote(id_, safe='')}", kind=kind, namespace=namespace, **query)

        def asset_url(name: str) -> str:
            return url(f"/static/{name}", v=self._version(name))

        helpers = {"root": root, "url": url, "execution_url": execution_url, "asset_url": asset_url}
        return self._environment.get_template(template).render(self._always | values | helpers)

    def _version(self, name: str) -> str:
        return hashlib.blake2s(self._files[name], digest_size=6).hexdigest()


def _address(scope: Scope) -> str:
    query = scope["query_string"].decode("latin-1")
    return scope["path"] + (f"?{query}" if query else "")
