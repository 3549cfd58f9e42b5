"""One question object for code, REST and the command line: a `Filter`, and the `Page`s of its answer."""

from __future__ import annotations

import base64
import binascii
import hashlib
from typing import Annotated, Any, Generic, Literal, TypeVar

import msgspec
from msgspec import Meta, Struct

from execlog.core.errors import CursorError
from execlog.core.model import Status
from execlog.core.storable import LABEL_BYTES, LABELS, NAME_BYTES, NAMES, stored_name

T = TypeVar("T")
Sort = Literal["newest", "oldest", "slowest", "costliest"]
Text = Annotated[str, Meta(max_length=1000)]
Micros = Annotated[int, Meta(ge=-62_135_596_800_000_000, le=253_402_300_799_999_999)]
MAX_LIMIT = 1000
_LONGEST = {
    **dict.fromkeys(({*LABELS} - {"id"}) | {"fingerprint"}, LABEL_BYTES),
    **dict.fromkeys((*NAMES, "item"), NAME_BYTES),
}


class Filter(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Which executions are asked for; every field narrows, None does not.

    A name is looked for as it is stored: one that was mended for that is found by what its caller knows.

    statuses        any of these
    id_prefix       the id begins with this, exactly as written
    since, until    created_at in [since, until), UTC µs
    item            has an item of this key; with `item_status`, an item of this key and that status
    text            the error's type or message, an item's, or the searchable text, contains this (case-insensitive)
    fingerprint     of the error
    min/max_*       inclusive bounds; duration in seconds, cost in 10⁻⁹ USD, tokens in plus out: both 0 where no model
                    was called; a cost that is not known is within no bounds
    tags            all of these tags have these values
    sort            newest (default) | oldest by (created_at, id); slowest by duration, costliest by
                    cost, each then newest
    """

    kind: str | None = None
    namespace: str | None = None
    subject: str | None = None
    actor: str | None = None
    engine: str | None = None
    name: str | None = None
    statuses: tuple[Status, ...] = ()
    since: Micros | None = None
    until: Micros | None = None
    item: str | None = None
    item_status: Status | None = None
    text: Text | None = None
    fingerprint: str | None = None
    min_duration: float | None = None
    max_duration: float | None = None
    min_cost_nano: int | None = None
    max_cost_nano: int | None = None
    min_tokens: int | None = None
    max_tokens: int | None = None
    tags: dict[str, str] | None = None
    ids: tuple[str, ...] = ()
    id_prefix: Annotated[str, Meta(min_length=1, max_length=100)] | None = None
    parent_id: str | None = None
    root_id: str | None = None
    retry_of: str | None = None
    origin: str | None = None
    sort: Sort = "newest"

    def __post_init__(self) -> None:
        for name, limit in _LONGEST.items():
            asked = getattr(self, name)
            if type(asked) is str and (stored := stored_name(asked, limit)) != asked:
                msgspec.structs.force_setattr(self, name, stored)

    @property
    def digest(self) -> bytes:
        """Four bytes that tell this question from others, so that a cursor is not used for another one.

        Its window is left out: a span back from now is another one from page to page, and pages go on in any.
        """
        question = msgspec.structs.replace(self, since=None, until=None)
        return hashlib.blake2s(msgspec.msgpack.encode(question, order="deterministic"), digest_size=4).digest()


class Page(Struct, Generic[T], frozen=True):
    """One page of answers, and the cursor of the next one; None when this is the last."""

    entries: tuple[T, ...] = ()
    next_cursor: str | None = None


class Position(Struct, frozen=True, array_like=True):
    """Where a page ended: the sort value and the identity of its last entry (keyset pagination)."""

    value: float | int | None
    created_at: int
    kind: str
    namespace: str
    id: str


def encode_cursor(filter_: Filter, position: Position) -> str:
    """A cursor for the entries after `position`: URL-safe text, opaque to clients."""
    body = msgspec.msgpack.encode(position)
    return base64.urlsafe_b64encode(filter_.digest + _seal(body) + body).decode().rstrip("=")


def decode_cursor(filter_: Filter, cursor: str) -> Position:
    """Where the page before ended. Raises CursorError for a cursor that this question did not make."""
    try:
        raw = base64.b64decode(cursor + "=" * (-len(cursor) % 4), altchars=b"-_", validate=True)
        position = msgspec.msgpack.decode(_unseal(raw[4:]), type=Position)
    except (binascii.Error, ValueError, msgspec.MsgspecError) as error:
        message = "this cursor is not one of ours: use next_cursor as it was given"
        raise CursorError(message, field="cursor") from error
    if raw[:4] != filter_.digest:
        message = "this cursor belongs to another question: keep the filters the same from page to page"
        raise CursorError(message, field="cursor")
    return position


def _seal(body: bytes) -> bytes:
    """Four bytes that tell a cursor that was cut or changed on its way; no secret: a cursor opens nothing."""
    return hashlib.blake2s(body, digest_size=4).digest()


def _unseal(sealed: bytes) -> bytes:
    if sealed[:4] != _seal(sealed[4:]):
        raise ValueError("cut or changed")
    return sealed[4:]


def as_filter(fields: dict[str, Any]) -> Filter:
    """A Filter of plain values, as they come from a query string or a command line; raises InvalidError."""
    from execlog.core.codec import convert

    return convert(fields, Filter)
