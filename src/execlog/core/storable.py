"""Making what callers hand in storable: every store takes the result, and the caller is never failed for it.

NaN and infinities become None, NUL characters and lone surrogates U+FFFD, over-long texts and lists are cut with a
mark, too deep nesting becomes text, integers beyond 64 bits become text. The model's own numbers stay within what sums
and calendars can hold: times in the years 1 to 9999, durations in 31 years, counts in 10¹⁵, costs in a million dollars.
Its names stay within what an index takes, and those that differ go on differing. Each kind of mending is counted, so
that the caller can be told.
"""

from __future__ import annotations

import math
import operator
from collections import Counter
from functools import cache
from hashlib import blake2s
from typing import Any, NamedTuple, TypeVar, cast

import msgspec
from msgspec import Struct

from execlog.core.clock import MAX_AT, MIN_AT
from execlog.core.model import Error, Event, Item, Status

MAX_TEXT = 262_144
MAX_NAME = 1_000
MAX_ENTRIES = 10_000
MAX_DEPTH = 32
_INT_LIMIT = 2**63
_NUMBERS = {int, float}
_BOUNDS = {"time": (MIN_AT, MAX_AT), "duration": (0.0, 1e9), "cost": (-(10**15), 10**15), "count": (-(10**15), 10**15)}
LABEL_BYTES, NAME_BYTES = 400, 1_000
"""Most bytes of what is looked up: of ids 100 characters of any script. An entry of a PostgreSQL index has 2,704 bytes,
and may have to hold three of them: kind, namespace and subject; kind, actor and engine."""

LABELS = ("id", "kind", "namespace", "parent_id", "root_id", "retry_of")
NAMES = ("subject", "actor", "engine", "origin")
_BYTES: dict[type[Struct], dict[str, int]] = {
    Event: {**dict.fromkeys(LABELS, LABEL_BYTES), **dict.fromkeys(NAMES, NAME_BYTES)},
    Item: {"key": NAME_BYTES},
    Error: {"fingerprint": LABEL_BYTES},
}
T = TypeVar("T")


class _Measure(NamedTuple):
    """What a number may be: within bounds, and whether there must be one."""

    low: float
    high: float
    duration: bool
    must: bool


def mend_text(text: str, mended: Counter[str], limit: int = MAX_TEXT) -> str:
    """The text without NULs and lone surrogates, at most `limit` characters."""
    if text.isascii() and "\0" not in text and len(text) <= limit:
        return text
    if "\0" in text:
        mended["nul"] += 1
        text = text.replace("\0", "\ufffd")
    if not text.isascii():
        try:
            text.encode()
        except UnicodeEncodeError:
            mended["surrogate"] += 1
            text = text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")
    if len(text) > limit:
        mended["truncated"] += 1
        text = f"{text[: limit - 40]}… [{len(text)} characters in all]"[:limit]
    return text


def mend_name(text: str, mended: Counter[str], limit: int) -> str:
    """The text as `mend_text` leaves it, of at most `limit` bytes: cut, with a hash of all of it as the mark."""
    text = mend_text(text, mended)
    if not is_longer(text, limit):
        return text
    mended["truncated"] += 1
    whole = text.encode()
    mark = f"…{blake2s(whole, digest_size=8).hexdigest()}"
    return whole[: limit - len(mark.encode())].decode(errors="ignore") + mark


def stored_name(text: str, limit: int) -> str:
    """The name as it is stored when this text is handed in as one."""
    return text if text.isascii() and len(text) <= limit and "\0" not in text else mend_name(text, Counter(), limit)


def is_longer(text: str, limit: int) -> bool:
    """Whether the text has more than `limit` bytes."""
    return len(text) > limit // 4 and len(text.encode()) > limit


def _is_plain(value: Any, limit: int = MAX_TEXT) -> bool:
    """Whether this is surely a text of at most `limit` bytes or an integer that is storable as it is."""
    if type(value) is str:
        return value.isascii() and len(value) <= limit and "\0" not in value
    return type(value) is int and -_INT_LIMIT <= value < _INT_LIMIT


def mend(value: Any, mended: Counter[str], depth: int = 0) -> Any:
    """A storable copy of a plain value: None, bool, int, float, str, list, dict, and what a codec turns into these."""
    if value is None or _is_plain(value):
        return value
    match value:
        case bool():
            mended_value = value
        case str():
            mended_value = mend_text(str(value), mended)
        case float():
            mended_value = _finite(value, mended)
        case int():
            fits = -_INT_LIMIT <= value < _INT_LIMIT
            mended_value = value if fits else _as_text(_digits(value), "integer", mended)
        case _:
            mended_value = _mend_nested(value, mended, depth)
    return mended_value


def _mend_nested(value: Any, mended: Counter[str], depth: int) -> Any:
    if depth >= MAX_DEPTH:
        return _as_text(safe_repr(value), "depth", mended)
    if isinstance(value, Struct):
        return mend_struct(value, mended, depth)
    if isinstance(value, dict):
        return _mend_dict(cast("dict[Any, Any]", value), mended, depth)
    if isinstance(value, set | frozenset):
        value = sorted(cast("set[Any]", value), key=safe_repr)
    if isinstance(value, list | tuple):
        return [mend(entry, mended, depth + 1) for entry in _cut(cast("list[Any]", value), mended)]
    return _mend_object(value, mended)


def mend_struct(struct: Any, mended: Counter[str], depth: int = 0) -> Any:
    """A storable copy of a Struct of the model, of the same type; itself where nothing was mended."""
    changes: dict[str, Any] = {}
    fields = _fields_of(cast("type[Struct]", type(struct)))
    values: tuple[Any, ...] = msgspec.structs.astuple(struct)
    for (name, measure), old in zip(fields, values, strict=True):
        if old is None:
            continue  # most fields of most events: nothing was said
        if isinstance(measure, _Measure):
            if type(old) in _NUMBERS and measure.low <= old <= measure.high:
                continue
        elif _is_plain(old, measure or MAX_TEXT) or (type(old) is tuple and not old):  # never `==`: arrays answer oddly
            continue
        new = _mend_field(old, mended, depth + 1) if measure is None else _within(old, measure, mended)
        if new is not old:
            changes[name] = new
    return msgspec.structs.replace(struct, **changes) if changes else struct


def _mend_field(value: Any, mended: Counter[str], depth: int) -> Any:
    if isinstance(value, tuple):
        entries = cast("tuple[Any, ...]", value)
        new = tuple(_mend_field(entry, mended, depth) for entry in _cut(entries, mended))
        same = len(new) == len(entries) and all(map(operator.is_, new, entries))
        return entries if same else new
    if isinstance(value, Status):
        return value
    return mend(value, mended, depth)


@cache
def _fields_of(type_: type[Struct]) -> tuple[tuple[str, _Measure | int | None], ...]:
    """The fields of a Struct in their order, each with what it measures as a number, or most bytes as a name."""
    names = _BYTES.get(type_, {})
    return tuple(
        (name, names.get(name) or _measure_of(name, type_.__annotations__.get(name)))
        for name in type_.__struct_fields__
    )


def _measure_of(name: str, said: object) -> _Measure | None:
    kinds = {part.strip() for part in str(said).split("|")}
    if not kinds <= {"int", "float", "None"}:
        return None
    what = "time" if name == "at" or name.endswith("_at") else "cost" if name.startswith("cost") else "count"
    what = "duration" if "float" in kinds else what
    return _Measure(*_BOUNDS[what], duration=what == "duration", must="None" not in kinds)


def _within(value: Any, measure: _Measure | int, mended: Counter[str]) -> Any:
    """A name within its bytes, or a number within its bounds: the nearer one where it must be a number, else None."""
    if isinstance(measure, int):
        return mend_name(str(value), mended, measure) if isinstance(value, str) else _mend_field(value, mended, 1)
    if not isinstance(value, int | float):
        return value
    if measure.low <= value <= measure.high and not isinstance(value, bool):
        return value
    if isinstance(value, bool):
        return int(value)
    mended["not_finite" if isinstance(value, float) and not math.isfinite(value) else "out_of_range"] += 1
    if measure.duration and not measure.must and value < 0:
        return 0.0
    return (measure.low if value < measure.low else measure.high) if measure.must else None


def _mend_dict(value: dict[Any, Any], mended: Counter[str], depth: int) -> dict[str, Any]:
    entries = _cut(list(value.items()), mended) if len(value) > MAX_ENTRIES else value.items()
    return {
        mend_text(str(key), mended, MAX_NAME): entry if _is_plain(entry) else mend(entry, mended, depth + 1)
        for key, entry in entries
    }


def _mend_object(value: Any, mended: Counter[str]) -> Any:
    try:
        plain = msgspec.to_builtins(value)
    except Exception:  # noqa: BLE001 - a caller's object may raise anything when it is looked into
        return _as_text(safe_repr(value), "object", mended)
    return plain if isinstance(plain, str | int | float | None) else _as_text(safe_repr(value), "object", mended)


def _digits(value: int) -> str:
    try:
        return str(value)
    except ValueError:  # Python writes no more than some thousand decimal digits
        return hex(value)


def safe_repr(value: Any) -> str:
    """The object as it shows itself, cut; what is wrong with it where it cannot."""
    try:
        return repr(value)[:MAX_NAME]
    except Exception as error:  # noqa: BLE001 - a caller's broken __repr__ must not fail the recording
        return f"<{type(value).__name__}: repr failed with {type(error).__name__}>"


def _finite(value: float, mended: Counter[str]) -> float | None:
    if math.isfinite(value):
        return value
    mended["not_finite"] += 1
    return None


def _as_text(text: str, reason: str, mended: Counter[str]) -> str:
    mended[reason] += 1
    return mend_text(text, mended)


def _cut(entries: Any, mended: Counter[str]) -> Any:
    if len(entries) <= MAX_ENTRIES:
        return entries
    mended["truncated"] += 1
    return entries[:MAX_ENTRIES]
