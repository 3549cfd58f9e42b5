"""A question as people write it, in a query string or on a command line: `Question`, and the `Filter` it means."""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache
from typing import Annotated, Any, Literal

import msgspec
from msgspec import Meta, Struct

from execlog.core.clock import parse_seconds, parse_when
from execlog.core.codec import convert
from execlog.core.errors import ForbiddenError, InvalidError
from execlog.core.filter import MAX_LIMIT, Filter, Sort
from execlog.core.model import OPEN, TERMINAL, UNSUCCESSFUL, Status
from execlog.history.view import nano

Name = Annotated[str, Meta(max_length=1000)]
Id = Annotated[str, Meta(min_length=1, max_length=100)]
_WHEN = "ISO 8601 (without an offset: UTC), Unix seconds, or a span back from now: 90s, 15m, 24h, 7d, 2w"
When = Annotated[str, Meta(max_length=40, description=_WHEN, examples=["24h", "2026-01-31T06:00:00Z"])]
Dollars = Annotated[str, Meta(pattern=r"^\d{1,9}(\.\d{1,9})?$", description="US dollars", examples=["0.05"])]
_SPAN = r"^\d{1,10}(\.\d{1,9})?(ms|s|m|h|d|w)?$"
Span = Annotated[
    str, Meta(pattern=_SPAN, description="Seconds, or a span with its unit", examples=["2.5", "250ms", "90s", "15m"])
]
Count = Annotated[int, Meta(ge=0, le=2**53)]
Limit = Annotated[int, Meta(ge=1, le=MAX_LIMIT, description="Most entries of the answer")]
Offset = Annotated[int, Meta(ge=0, le=100_000, description="Entries to skip; `cursor` costs less and is stable")]
Word = Literal[
    "queued", "running", "succeeded", "partial", "failed", "timed_out", "cancelled", "crashed", "open", "ended", "bad"
]
"""A status, or several: open (queued, running), ended (the others), bad (ended, but not succeeded)."""
Statuses = tuple[Word, ...]
GROUPS: dict[str, frozenset[Status]] = {"open": OPEN, "ended": TERMINAL, "bad": UNSUCCESSFUL}
_ANY = "Any of these; open, ended and bad are several"
AnyOf = Annotated[Statuses, Meta(max_length=11, description=_ANY)]
Tags = Annotated[dict[str, str], Meta(max_length=20, description="key:value, all of them must match")]


class Scope(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What every question may narrow: what ran, for whom, on what, and when it was created."""

    kind: Name | None = None
    namespace: Name | None = None
    subject: Annotated[Name, Meta(description="What ran: a job id, a pipeline's name …")] | None = None
    actor: (
        Annotated[Name, Meta(description="Who or what triggered it; 403 for another one than the token is limited to")]
        | None
    ) = None
    engine: Name | None = None
    since: Annotated[When, Meta(description=f"Created at or after: {_WHEN}")] | None = None
    until: Annotated[When, Meta(description=f"Created before: {_WHEN}")] | None = None


class Narrow(Scope, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A question about executions, by everything a `Filter` knows."""

    status: Annotated[AnyOf, Meta(description=f"{_ANY}; repeat it, or separate by commas")] = ()
    name: Name | None = None
    id: Annotated[tuple[Id, ...], Meta(max_length=100)] = ()
    id_prefix: Annotated[Id, Meta(description="The id begins with this")] | None = None
    item: Annotated[Name, Meta(description="Has an item of this key")] | None = None
    item_status: Annotated[Status, Meta(description="… and that item has this status")] | None = None
    text: (
        Annotated[
            str,
            Meta(max_length=1000, description="Its error, an error of its items or its searchable text contains this"),
        ]
        | None
    ) = None
    fingerprint: Annotated[str, Meta(max_length=100, description="Of the error, as /api/failures gives it")] | None = (
        None
    )
    min_duration: Span | None = None
    max_duration: Span | None = None
    min_cost: Dollars | None = None
    max_cost: Dollars | None = None
    min_tokens: Count | None = None
    max_tokens: Count | None = None
    tags: Tags = {}
    parent_id: Id | None = None
    root_id: Id | None = None
    retry_of: Id | None = None


class Question(Narrow, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A question about a page of executions.

    include     more than the summary: items; detail (input, output, params, metadata, usage, context); logs
    count       also say how many there are in all
    """

    sort: Sort = "newest"
    limit: Limit = 50
    offset: Offset = 0
    cursor: Annotated[str, Meta(max_length=2000, description="`next_cursor` of the page before")] | None = None
    include: tuple[Literal["items", "detail", "logs"], ...] = ()
    count: bool = False


_PLAIN = frozenset(
    {
        "id_prefix", "kind", "namespace", "subject", "actor", "engine", "name", "item", "item_status", "text",
        "fingerprint",
        "min_tokens", "max_tokens", "parent_id", "root_id", "retry_of", "sort",
    }
)  # fmt: skip


def as_filter(question: Scope, *, now: int, actor: str | None = None) -> Filter:
    """The Filter a question means; `actor` limits it to one actor's executions, whatever it asks for.

    Raises InvalidError, naming the field, for a time or amount that is none, ForbiddenError for another actor's.
    """
    said = {name: getattr(question, name) for name in question.__struct_fields__}
    fields: dict[str, Any] = {name: said[name] for name in _PLAIN & said.keys() if said[name] is not None}
    fields["since"] = when(said["since"], now=now, field="since")
    fields["until"] = when(said["until"], now=now, field="until")
    fields["statuses"] = statuses(said.get("status", ()))
    fields["ids"] = said.get("id", ())
    fields["tags"] = said.get("tags") or None
    for bound in ("min_duration", "max_duration"):
        fields[bound] = None if said.get(bound) is None else parse_seconds(said[bound])
    fields["min_cost_nano"] = nano(said.get("min_cost"))
    fields["max_cost_nano"] = nano(said.get("max_cost"))
    if actor is not None:
        if fields.get("actor") not in (None, actor):
            raise ForbiddenError(f"your token is limited to {actor!r}: it may not ask for executions of others")
        fields["actor"] = actor
    return Filter(**fields)


@lru_cache(256)
def statuses(words: Statuses) -> tuple[Status, ...]:
    """The statuses of these words, each once, in the order of `Status` within a group."""
    groups = [[one for one in Status if one in GROUPS[word]] if word in GROUPS else [Status(word)] for word in words]
    return tuple(dict.fromkeys(one for group in groups for one in group))


def when(text: str | None, *, now: int, field: str) -> int | None:
    """UTC µs of a written time, None for None; raises InvalidError naming the field."""
    if text is None:
        return None
    try:
        return parse_when(text, now=now)
    except InvalidError as error:
        raise InvalidError(str(error), field=field) from error


def ask(fields: Mapping[str, Any]) -> Question:
    """The Question of plain values, as a command line has them; raises InvalidError naming what is wrong."""
    return convert({name: value for name, value in fields.items() if value is not None}, Question)


def encoded(question: Question) -> dict[str, Any]:
    """The question as plain values again, defaults left out: for links to the next page."""
    defaults = msgspec.to_builtins(Question())
    return {name: value for name, value in msgspec.to_builtins(question).items() if value != defaults[name]}
