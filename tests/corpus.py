"""Bad inputs made by hand, used twice: over HTTP each is a clear 4xx, through Python the caller goes on."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import datetime
from typing import Any, NamedTuple

DEEP = 100_000
HUGE = 10 * 2**20


class Bad(NamedTuple):
    """Fields of an execution that cannot be taken as they are; `body` is how they are written for HTTP."""

    title: str
    fields: dict[str, Any]
    body: bytes
    kept: bool = False
    """Whether Python keeps it as it is: nothing is lost by it, so there is nothing to count."""


def _bad(title: str, *, kept: bool = False, **fields: Any) -> Bad:
    return Bad(title, fields, json.dumps(fields).encode(), kept)


def _nested() -> Any:
    nested: Any = []
    for _ in range(DEEP):
        nested = [nested]
    return nested


BAD = (
    _bad("a duration that is no number", duration=float("nan")),
    _bad("a duration without end", duration=float("inf")),
    _bad("a NaN deep inside", input={"prices": [1.0, float("nan")]}),
    _bad("a lone surrogate", name="a\ud800b"),
    _bad("a lone surrogate as a key", input={"\udfff": 1}),
    _bad("ten megabytes", input="x" * HUGE),
    Bad("a hundred thousand deep", {"input": _nested()}, b'{"input":' + b"[" * DEEP + b"]" * DEEP + b"}"),
    _bad("an id of 101 characters", id="x" * 101),
    _bad("an id that climbs", id="../../etc/passwd"),
    _bad("an id that is a folder", id=".."),
    _bad("an id with a NUL", id="a\x00b"),
    _bad("an id with a line end", id="a\nb"),
    _bad("a namespace that climbs", kept=True, namespace="..\\x"),
    _bad("rows below nothing", kept=True, rows=-1),
    _bad("rows beyond 64 bits", rows=2**63),
    _bad("a cost below nothing", cost=-0.01),
    _bad("a status of no family", status="excellent"),
    _bad("the year 0", started_at="0000-01-01T00:00:00Z"),
    _bad("past the year 9999", started_at="9999-12-31T23:59:59-23:00"),
    _bad("a time that is none", started_at="soon"),
    _bad("a field of no execution", excellent=True),
)
"""Each with the field that is bad and no other."""

MENDED: tuple[tuple[str, dict[str, Any], Callable[[Any], bool]], ...] = (
    ("a naive time is UTC", {"started_at": datetime(2026, 1, 1)}, lambda one: one.started_at == 1767225600000000),  # noqa: DTZ001 - that is the case
    ("a NUL in a text", {"name": "a\x00b"}, lambda one: "\x00" not in one.name),
    ("a text too long", {"name": "x" * 300_000}, lambda one: len(one.name) < 300_000),
)
"""What Python takes all the same, and what holds of what is kept."""
