"""Making what callers hand in storable: every store takes the result, and the caller is never failed for it.

NaN and infinities become None, NUL characters and lone surrogates U+FFFD, over-long texts and lists are cut with a
mark, too deep nesting becomes text, integers beyond 64 bits become text. The model's own numbers stay within what sums
and calendars can hold: times in the years 1 to 9999, durations in 31 years, counts in 10¹⁵, costs in a million dollars.
Each kind of mending is counted, so that the caller can be told.
"""

from __future__ import annotations

import math
import operator
from collections import Counter
from functools import cache
from typing import Any, TypeVar, cast

import msgspec
from msgspec import Struct

from execlog.core.clock import MAX_AT, MIN_AT

MAX_TEXT = 262_144
MAX_NAME = 1_000
MAX_ENTRIES = 10_000
MAX_DEPTH = 32
_INT_LIMIT = 2**63
_BOUNDS = {"time": (MIN_AT, MAX_AT), "duration": (0.0, 1e9), "cost": (-(10**15), 10**15), "count": (-(10**15), 10**15)}
T = TypeVar("T")


def mend_text(text: str, mended: Counter[str], limit: int = MAX_TEXT) -> str:
    """The text without NULs and lone surrogates, at most `limit` characters."""
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


def mend(value: Any, mended: Counter[str], depth: int = 0) -> Any:
    """A storable copy of a plain value: None, bool, int, float, str, list, dict, and what a codec turns into these."""
    match value:
        case None | bool():
            mended_value = value
        case str():
            mended_value = mend_text(str(value), mended)
        case float():
            mended_value = _finite(value, mended)
        case int():
            fits = -_INT_LIMIT <= value < _INT_LIMIT
            mended_value = value if fits else _as_text(str(value), "integer", mended)
        case _:
            mended_value = _mend_nested(value, mended, depth)
    return mended_value


def _mend_nested(value: Any, mended: Counter[str], depth: int) -> Any:
    if depth >= MAX_DEPTH:
        return _as_text(_safe_repr(value), "depth", mended)
    if isinstance(value, Struct):
        return mend_struct(value, mended, depth)
    if isinstance(value, dict):
        return _mend_dict(cast("dict[Any, Any]", value), mended, depth)
    if isinstance(value, set | frozenset):
        value = sorted(cast("set[Any]", value), key=_safe_repr)
    if isinstance(value, list | tuple):
        return [mend(entry, mended, depth + 1) for entry in _cut(cast("list[Any]", value), mended)]
    return _mend_object(value, mended)


def mend_struct(struct: Any, mended: Counter[str], depth: int = 0) -> Any:
    """A storable copy of a Struct of the model, of the same type."""
    changes: dict[str, Any] = {}
    numbers = _numbers_of(cast("type[Struct]", type(struct)))
    for name in struct.__struct_fields__:
        old = getattr(struct, name)
        if old is None or old == ():
            continue  # most fields of most events: nothing was said
        measure = numbers.get(name)
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
    if isinstance(value, str) and type(value) is not str:  # an enumeration stays what it is
        return value
    return mend(value, mended, depth)


@cache
def _numbers_of(type_: type[Struct]) -> dict[str, str]:
    """What is measured by each field of a Struct that is a number, and "!" behind it where it must be one."""
    numbers: dict[str, str] = {}
    for name, said in type_.__annotations__.items():
        kinds = {part.strip() for part in str(said).split("|")}
        if not kinds <= {"int", "float", "None"}:
            continue
        what = "time" if name == "at" or name.endswith("_at") else "cost" if name.startswith("cost") else "count"
        numbers[name] = ("duration" if "float" in kinds else what) + ("" if "None" in kinds else "!")
    return numbers


def _within(value: Any, measure: str, mended: Counter[str]) -> Any:
    """The number within its bounds: at the nearer one where it must be a number, else None where it is outside."""
    if value is None or not isinstance(value, int | float):
        return value
    low, high = _BOUNDS[measure.removesuffix("!")]
    if low <= value <= high and not isinstance(value, bool):
        return value
    if isinstance(value, bool):
        return int(value)
    mended["not_finite" if isinstance(value, float) and not math.isfinite(value) else "out_of_range"] += 1
    if measure == "duration" and value < 0:
        return 0.0
    return (low if value < low else high) if measure.endswith("!") else None


def _mend_dict(value: dict[Any, Any], mended: Counter[str], depth: int) -> dict[str, Any]:
    entries = _cut(list(value.items()), mended)
    return {mend_text(str(key), mended, MAX_NAME): mend(entry, mended, depth + 1) for key, entry in entries}


def _mend_object(value: Any, mended: Counter[str]) -> Any:
    try:
        plain = msgspec.to_builtins(value)
    except (TypeError, ValueError, RecursionError):
        return _as_text(_safe_repr(value), "object", mended)
    return plain if isinstance(plain, str | int | float | None) else _as_text(_safe_repr(value), "object", mended)


def _safe_repr(value: Any) -> str:
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
