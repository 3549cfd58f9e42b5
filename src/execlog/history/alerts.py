"""Alerts, read from the `[alerts]` table of `execlog.toml`: which executions somebody is told of, and where.

[alerts.nightly]
kind = "job"
silent = "26h"
webhook_env = "NIGHTLY_WEBHOOK"
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal
from urllib.parse import urlsplit

from msgspec import Meta, Struct

from execlog.core.clock import parse_seconds
from execlog.core.codec import convert
from execlog.core.errors import InvalidError, SettingsError
from execlog.core.filter import Filter
from execlog.core.ids import check_id
from execlog.core.model import Status
from execlog.core.settings import section
from execlog.history.question import Name, Span, Tags, Word, statuses

Way = Literal["webhook", "command"]
_URL = re.compile(r"https?://[!-~]+")
_NARROWING = ("kind", "namespace", "subject", "actor", "engine")


class AlertTable(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What stands in a table `[alerts.NAME]`.

    kind … tags   of which executions; all of them must match
    status        which of them are trouble
    silent        also tell when none of them has ended for so long
    webhook       where a message is posted to; `webhook_env` names an environment variable that has the URL
    command       what is run with the message on its standard input
    every         at most one message about the same trouble in this time
    recovery      tell once when it succeeds again
    pages         where the server's pages are reached, for links; default: the address it listens on
    """

    kind: Name | None = None
    namespace: Name | None = None
    subject: Name | None = None
    actor: Name | None = None
    engine: Name | None = None
    tags: Tags = {}
    status: tuple[Word, ...] = ("failed", "timed_out", "partial", "crashed")
    silent: Span | None = None
    webhook: str | None = None
    webhook_env: str | None = None
    command: Annotated[tuple[str, ...], Meta(min_length=1)] | None = None
    every: Span = "1h"
    recovery: bool = True
    pages: str | None = None


class Rule(Struct, frozen=True, kw_only=True):
    """An alert; `statuses` are trouble, `silent` and `every` seconds. See `AlertTable`."""

    name: str
    filter: Filter
    statuses: frozenset[Status]
    silent: float | None
    every: float
    recovery: bool
    webhook: str | None
    webhook_env: str | None
    command: tuple[str, ...]
    pages: str | None

    @property
    def ways(self) -> tuple[Way, ...]:
        """How its messages go out."""
        posts = self.webhook is not None or self.webhook_env is not None
        return (*(("webhook",) if posts else ()), *(("command",) if self.command else ()))

    @property
    def what(self) -> str:
        """Which executions, in words."""
        named = [f"{name} {value}" for name in _NARROWING if (value := getattr(self.filter, name)) is not None]
        return ", ".join([*named, *(f"{name}={value}" for name, value in (self.filter.tags or {}).items())])

    def address(self, environment: Mapping[str, str] = os.environ) -> str:
        """The URL that messages are posted to. Raises SettingsError where the environment has none, or no URL."""
        if self.webhook is not None:
            return self.webhook
        name = self.webhook_env or ""
        if not environment.get(name):
            raise SettingsError(f"alerts.{self.name}: webhook_env: the environment has no {name!r:.60}")
        try:
            return _checked_url(environment[name].strip(), f"webhook_env: what {name} has")
        except InvalidError as error:
            raise SettingsError(f"alerts.{self.name}: {error}") from error


def load_alerts(home: Path) -> dict[str, Rule]:
    """The alerts of the configuration file, by name. Raises SettingsError, naming the alert and what is wrong."""
    return {name: rule_of(name, table) for name, table in section(home, "alerts").items()}


def rule_of(name: str, table: Any) -> Rule:
    """The alert a table describes. Raises SettingsError."""
    if not isinstance(table, dict):
        raise SettingsError(f"alerts.{name}: a table is needed, as [alerts.NAME] with a webhook or a command in it")
    try:
        check_id(name, field="name")
        return _rule(name, convert(table, AlertTable, strict=True))  # pyright: ignore[reportUnknownArgumentType] - TOML
    except InvalidError as error:
        known = ""
        if "unknown field" in str(error):
            known = f"; there are {', '.join(AlertTable.__struct_fields__)}"
        raise SettingsError(f"alerts.{name}: {error}{known}") from error


def _rule(name: str, table: AlertTable) -> Rule:
    places = [key for key in ("webhook", "webhook_env", "command") if getattr(table, key) is not None]
    if not places:
        raise InvalidError("it goes nowhere: a webhook, a webhook_env or a command is needed")
    if {"webhook", "webhook_env"} <= set(places):
        raise InvalidError("webhook and webhook_env: one of them is enough")
    if not table.status and table.silent is None:
        raise InvalidError("it never tells anything: a status or silent is needed")
    narrowed = {key: getattr(table, key) for key in _NARROWING}
    return Rule(
        name=name,
        filter=Filter(**narrowed, tags=table.tags or None),
        statuses=frozenset(statuses(table.status)),
        silent=None if table.silent is None else _positive(table.silent, "silent"),
        every=parse_seconds(table.every),
        recovery=table.recovery,
        webhook=None if table.webhook is None else _checked_url(table.webhook, "webhook"),
        webhook_env=table.webhook_env,
        command=table.command or (),
        pages=None if table.pages is None else _checked_url(table.pages, "pages").rstrip("/"),
    )


def _positive(span: str, key: str) -> float:
    seconds = parse_seconds(span)
    if seconds < 1:
        raise InvalidError(f"{key}: a second or more is needed")
    return seconds


def _checked_url(url: str, key: str) -> str:
    """The URL. Raises InvalidError, which does not show it: who has a webhook's URL may post there."""
    try:
        parts = urlsplit(url)
        fits = _URL.fullmatch(url) is not None and bool(parts.hostname) and parts.port != 0
    except ValueError:
        fits = False
    else:
        if fits and "@" in parts.netloc:
            raise InvalidError(f"{key}: a user or password in the URL is not sent; a command can")
    if not fits:
        raise InvalidError(f"{key} is no URL; write https://HOST/PATH")
    return url
