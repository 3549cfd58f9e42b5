"""Hypothesis strategies of events and filters: few values each, so that they meet; times around the edges of cells."""

from __future__ import annotations

import random
from typing import Any

from hypothesis import strategies as st

from execlog.core.filter import Filter
from execlog.core.model import Error, Event, Item, LogLine, Status, Usage

MIDNIGHT = 1_763_769_600_000_000
"""UTC µs of 2025-11-22T00:00:00Z: minute, hour and day begin together."""

SECOND, HOUR, DAY = 1_000_000, 3_600_000_000, 86_400_000_000
_MINUTE = 60_000_000
_EDGES = (-DAY, -HOUR, -_MINUTE, 0, _MINUTE, HOUR, HOUR + _MINUTE, 2 * HOUR, DAY, 8 * DAY)

times: st.SearchStrategy[int] = st.sampled_from([MIDNIGHT + edge + off for edge in _EDGES for off in range(-2, 4)])
LONG = "".join(map(chr, random.Random(1).choices(range(0x4E00, 0x9FA5), k=3_000)))  # noqa: S311 - not for secrets
"""A name that no index takes as it is, and that does not compress."""

kinds = st.sampled_from(("job", "query", "übung"))
namespaces = st.sampled_from(("", "north", "süd", LONG))
ids = st.sampled_from(("a", "b", "c", "Ab", "abc", "ä"))
subjects = st.sampled_from(("prices", "Prices", "news", "日報", "", LONG))
actors = st.sampled_from(("ann", "bob", "schedule", LONG))
engines = st.sampled_from(("kdb", "duck"))
names = st.sampled_from(("one", "two"))
keys = st.sampled_from(("AAPL", "GOOG", "Ünit", LONG))
texts = st.sampled_from(
    (
        "Failed to fetch GOOGL: Connection timeout after 30s",
        "connection TIMEOUT after 45s",
        "Überlauf bei Zeile 7",
        '100 % "broken" *',
        "no",
        "価格が見つかりません",
        "line one\nline two",
        "",
    )
)
statuses = st.sampled_from(list(Status))
durations = st.one_of(st.sampled_from((0.0, 0.5e-6, 1e-6, 1.5e-6, 0.25, 1.0, 3600.0)), st.floats(0, 1e5))
small = st.integers(0, 5)
plain = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(-(2**53), 2**53), st.floats(-1e9, 1e9), st.text(max_size=5)),
    lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(st.text(max_size=3), inner, max_size=3)),
    max_leaves=4,
)
objects = st.dictionaries(st.text(max_size=3), plain, max_size=3)


def maybe(strategy: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    """The strategy, or None: for fields an event need not say."""
    return st.one_of(st.none(), strategy)


errors = st.builds(
    Error,
    type=st.sampled_from(("ValueError", "HTTPError")),
    message=texts,
    frames=st.sampled_from(((), ("a.py:3 run",))),
)
usages = st.dictionaries(
    st.sampled_from(("small", "large")),
    st.builds(Usage, input=small, output=small, cost_nano=maybe(st.integers(0, 10**9))),
    max_size=2,
)
_ITEM_FIELDS: dict[str, st.SearchStrategy[Any]] = {
    "position": small,
    "attempt": st.integers(1, 2),
    "started_at": times,
    "duration": durations,
    "rows": small,
    "cost_nano": small,
    "error": errors,
    "input": plain,
    "data": objects,
}


@st.composite
def items(draw: st.DrawFn) -> Item:
    """An item that says up to four things."""
    return Item(key=draw(keys), at=draw(times), status=draw(statuses), **_some(draw, _ITEM_FIELDS, 4))


lines = st.builds(LogLine, at=times, number=small, level=st.just("info"), message=texts, item=maybe(keys))
_EVENT_FIELDS: dict[str, st.SearchStrategy[Any]] = {
    "name": names,
    "subject": subjects,
    "actor": actors,
    "engine": engines,
    "queued_at": times,
    "started_at": times,
    "ended_at": times,
    "duration": durations,
    "rows": small,
    "error": errors,
    "total": small,
    "items": st.lists(items(), min_size=1, max_size=3).map(tuple),
    "usage": usages,
    "input": plain,
    "output": plain,
    "params": objects,
    "metadata": objects,
    "tags": st.dictionaries(st.sampled_from(("team", "stage")), st.sampled_from(("x", "y")), max_size=2),
    "logs": st.lists(lines, min_size=1, max_size=2).map(tuple),
    "parent_id": ids,
    "root_id": ids,
    "retry_of": ids,
    "origin": st.sampled_from(("boot:1", "boot:2")),
    "context": st.dictionaries(st.sampled_from(("host", "pid")), st.text(max_size=3), max_size=2),
    "declared_failed": small,
}


@st.composite
def events(draw: st.DrawFn) -> Event:
    """An event that says up to eight things, about one of few executions, so that most events meet others of theirs."""
    return Event(
        id=draw(ids),
        kind=draw(kinds),
        namespace=draw(namespaces),
        at=draw(times),
        status=draw(maybe(statuses)),
        **_some(draw, _EVENT_FIELDS, 8),
    )


_FIELDS: dict[str, st.SearchStrategy[Any]] = {
    "kind": kinds,
    "namespace": namespaces,
    "subject": subjects,
    "actor": actors,
    "engine": engines,
    "name": names,
    "statuses": st.lists(statuses, min_size=1, max_size=4, unique=True).map(tuple),
    "since": times,
    "until": times,
    "item": keys,
    "item_status": statuses,
    "text": st.sampled_from(
        ("timeout", "TIMEOUT after", "überl", "価格が", "e", '"broken" *', "% ", "one\nline", "zzz")
    ),
    "min_duration": durations,
    "max_duration": durations,
    "min_cost_nano": st.integers(0, 10**9),
    "max_tokens": small,
    "min_tokens": small,
    "tags": st.dictionaries(st.sampled_from(("team", "stage")), st.sampled_from(("x", "y")), min_size=1, max_size=2),
    "ids": st.lists(ids, min_size=1, max_size=3, unique=True).map(tuple),
    "id_prefix": st.sampled_from(("a", "A", "ab", "ä")),
    "parent_id": ids,
    "root_id": ids,
    "retry_of": ids,
    "origin": st.sampled_from(("boot:1", "boot:2")),
}


@st.composite
def filters(draw: st.DrawFn, sorts: tuple[str, ...] = ("newest", "oldest", "slowest", "costliest")) -> Filter:
    """Filters that narrow by up to three fields."""
    return Filter(**_some(draw, _FIELDS, 3), sort=draw(st.sampled_from(sorts)))  # pyright: ignore[reportArgumentType] - drawn by name


def _some(draw: st.DrawFn, fields: dict[str, st.SearchStrategy[Any]], most: int) -> dict[str, Any]:
    chosen = draw(st.lists(st.sampled_from(sorted(fields)), max_size=most, unique=True))
    return {name: draw(fields[name]) for name in chosen}


def ended(number: int, status: Status | None = Status.SUCCEEDED, **fields: object) -> Event:
    """A whole job execution, `number` seconds after midnight."""
    at = MIDNIGHT + number * SECOND
    said: dict[str, object] = {"id": f"run-{number:04d}", "kind": "job", "subject": "prices", "at": at}
    return Event(**{**said, "status": status, "duration": 0.5, **fields})  # pyright: ignore[reportArgumentType] - fields by name


def said_whole() -> Event:
    """An event that has something to say in every field."""
    item = Item(
        key="AAPL", at=MIDNIGHT, status=Status.FAILED, position=1, error=Error("E", "m", (), "f"), data={"x": [1]}
    )
    return ended(
        1, Status.PARTIAL, namespace="north", name="Prices", actor="ann", engine="kdb", queued_at=MIDNIGHT,
        started_at=MIDNIGHT + 1, ended_at=MIDNIGHT + 9, rows=5, error=Error("E", "message", ("a.py:1 f",), "0123"),
        total=2, items=(item,), usage={"m": Usage(1, 2, cost_nano=3)}, input={"i": [1, 2.5, None, True]},
        output="o", params={"p": 1}, metadata={"m": {"n": "x"}}, tags={"t": "v"}, parent_id="p", root_id="r",
        retry_of="q", origin="boot:1", context={"host": "h"}, logs=(LogLine(MIDNIGHT, 0, "info", "line", "AAPL"),),
        declared_succeeded=1, declared_failed=1,
    )  # fmt: skip
