"""Who calls, and whether they may: bearer tokens and roles, the Host header, and requests that other sites make."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from ipaddress import ip_address
from typing import get_args

from execlog.core.errors import SettingsError
from execlog.core.settings import Settings
from execlog.kind import Principal, Role, Route
from execlog.web.problem import ProblemError

COOKIE = "execlog_token"
ROLES: tuple[Role, ...] = get_args(Role)
SAFE = frozenset({"GET", "HEAD", "OPTIONS"})
_EVERYTHING = Principal("admin")
_NOBODY = Principal("public")
_WILD = frozenset({"", "0.0.0.0", "::", "*"})  # noqa: S104 - recognised, not bound


class Access:
    """The authorisation of one server: built from its settings, asked for every request."""

    def __init__(self, settings: Settings) -> None:
        """Raises SettingsError for a token whose role is none."""
        self._principals = {_digest(token): _principal(token, said) for token, said in settings.tokens.items()}
        own = {_bare(settings.host)} - _WILD
        self._hosts = {_bare(name) for name in settings.allowed_hosts} | own
        self._any_host = "*" in settings.allowed_hosts
        self._any_address = _bare(settings.host) in _WILD

    @property
    def open(self) -> bool:
        """Whether no token is asked for: everybody who reaches the server may do everything."""
        return not self._principals

    def principal(self, headers: Mapping[str, str]) -> Principal:
        """Who calls, by `Authorization: Bearer` or the browser's cookie; role "public" for nobody known."""
        if not self._principals:
            return _EVERYTHING
        token = _bearer(headers.get("authorization", "")) or _cookie(headers.get("cookie", ""))
        return self._principals.get(_digest(token), _NOBODY) if token else _NOBODY

    def known(self, token: str) -> bool:
        """Whether this token is one of ours."""
        return _digest(token) in self._principals

    def check(self, route: Route, principal: Principal) -> None:
        """Nothing, for a principal who may call this route; raises ProblemError 401 or 403."""
        if not may(principal, route.role):
            if principal.role == "public":
                raise ProblemError(
                    401,
                    "send a token of this server: Authorization: Bearer …",
                    headers={"WWW-Authenticate": 'Bearer realm="execlog"'},
                )
            raise ProblemError(403, f"this needs the role {route.role}; your token has the role {principal.role}")
        if principal.actor is not None and not route.limited and route.role != "public":
            raise ProblemError(403, f"your token is limited to {principal.actor!r}; this answers about everybody")

    def check_host(self, header: str | None) -> None:
        """Nothing, for a Host header this server answers to; raises ProblemError 421.

        A page that makes its own name resolve to this machine (DNS rebinding) cannot read answers this way. Its name
        never arrives as an address, so a server that listens on all of the machine's answers to every address.
        """
        host = _bare(header or "")
        if self._any_host or host in self._hosts or _is_loopback(host) or (self._any_address and _is_address(host)):
            return
        raise ProblemError(
            421, f"{host[:100]!r} is not a name of this server; `allowed_hosts` in its settings has the names"
        )

    @staticmethod
    def check_origin(method: str, headers: Mapping[str, str]) -> None:
        """Nothing, unless a browser sends a changing request from another site; raises ProblemError 403 for that."""
        if method in SAFE:
            return
        origin = headers.get("origin")
        foreign = headers.get("sec-fetch-site", "none") not in {"none", "same-origin"}
        if foreign or (origin is not None and origin.partition("://")[2] != headers.get("host", "")):
            raise ProblemError(403, "another web site may not change anything here")


def may(principal: Principal, role: Role) -> bool:
    """Whether the principal has this role, or one above it."""
    return ROLES.index(principal.role) >= ROLES.index(role)


def check_exposure(settings: Settings) -> None:
    """Nothing, if the server may listen on this address; raises SettingsError that says what to set."""
    if _is_loopback(_bare(settings.host)):
        return
    if not settings.tokens:
        raise SettingsError(
            f"refusing to listen on {settings.host} without authentication: all who reach it could read and delete.\n"
            'Set tokens, in execlog.toml:\n\n    [tokens]\n    "<openssl rand -hex 32>" = "admin"\n\n'
            "or in the environment: EXECLOG_TOKENS=<token>=viewer,<token>=admin. Or listen on 127.0.0.1."
        )
    if any(len(token) < 16 for token in settings.tokens):  # noqa: PLR2004 - said in the message
        raise SettingsError(
            "a token of a server that others can reach needs 16 characters or more: openssl rand -hex 32"
        )


def _principal(token: str, said: str) -> Principal:
    role, _, actor = said.partition(":")
    if not token or role not in ROLES[1:]:
        raise SettingsError(f"tokens: {said!r} is no role; write viewer, operator or admin, or role:actor")
    return Principal(role, actor or None)


def _digest(token: str) -> bytes:
    # A lookup by digest takes no longer for a token that is nearly right.
    return hashlib.sha256(token.encode("utf-8", "surrogateescape")).digest()


def _bearer(header: str) -> str:
    scheme, _, token = header.partition(" ")
    return token.strip() if scheme.lower() == "bearer" else ""


def _cookie(header: str) -> str:
    for pair in header.split(";"):
        name, _, value = pair.strip().partition("=")
        if name == COOKIE:
            return value
    return ""


def _bare(host: str) -> str:
    """A host name without its port and brackets, in lower case."""
    host = host.strip().lower()
    if host.startswith("["):
        return host[1:].partition("]")[0]
    return host if host.count(":") > 1 else host.partition(":")[0].rstrip(".")


def _is_address(host: str) -> bool:
    try:
        ip_address(host)
    except ValueError:
        return False
    return True


def _is_loopback(host: str) -> bool:
    if host == "localhost":
        return True
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return False
