"""Signing in from a browser: a token of the settings, kept in a cookie that no script can read."""

from __future__ import annotations

from typing import Annotated
from urllib.parse import parse_qs

from msgspec import Meta, Struct

from execlog.kind import Call, Reply
from execlog.web.access import COOKIE, Access
from execlog.web.problem import ProblemError
from execlog.web.templates import HTML, Templates

FORM = "application/x-www-form-urlencoded"
_LONGEST = 30 * 86_400


class Next(Struct, frozen=True):
    """Where to go once signed in."""

    next: Annotated[str, Meta(max_length=2_000)] = ""


class Signing:
    """The handlers of the sign-in page."""

    def __init__(self, access: Access, templates: Templates) -> None:
        self._access = access
        self._templates = templates

    def ask(self, call: Call) -> Reply:
        """The form; where nobody is asked for a token, the way to the first page."""
        params: Next = call.params
        if self._access.open:
            return Reply(b"", 303, {"Location": f"{call.root}/"}, HTML)
        return self._templates.reply("login.html", call, next=_inside(params.next, call.root), wrong=False)

    def sign_in(self, call: Call) -> Reply:
        """Take the token, and go where the visitor wanted to be."""
        try:
            form = parse_qs(call.body.decode(), errors="strict", max_num_fields=10)
        except ValueError as error:
            raise ProblemError(400, "this is no form") from error
        token = form.get("token", [""])[0].strip()
        wanted = _inside(form.get("next", [""])[0], call.root)
        if not self._access.known(token):
            return self._templates.reply("login.html", call, status=401, next=wanted, wrong=True)
        return Reply(b"", 303, {"Location": wanted, "Set-Cookie": _cookie(token, call, _LONGEST)}, HTML)

    def sign_out(self, call: Call) -> Reply:
        """Forget the token."""
        return Reply(b"", 303, {"Location": f"{call.root}/login", "Set-Cookie": _cookie("", call, 0)}, HTML)


def _cookie(token: str, call: Call, seconds: int) -> str:
    if not all(letter.isascii() and letter.isprintable() and letter not in ' ";,\\' for letter in token):
        raise ProblemError(422, "this token cannot be kept in a cookie: use letters, digits and - _ .", field="token")
    secure = "; Secure" if call.base.startswith("https:") else ""
    return f"{COOKIE}={token}; Path={call.root or '/'}; Max-Age={seconds}; HttpOnly; SameSite=Strict{secure}"


def _inside(wanted: str, root: str) -> str:
    """The address, if it is one of this app's pages, else the first page: nobody is sent elsewhere."""
    plain = wanted.isprintable() and "\\" not in wanted and not wanted.startswith("//")
    return wanted if plain and wanted.startswith(f"{root}/") else f"{root}/"
