"""Values of a result as JSON that every reader takes the same way.

Numbers stay numbers where a double holds them exactly; what JSON cannot say becomes text:

    integers beyond ±(2⁵³-1), Decimal     their digits
    NaN, infinities                       "NaN", "Infinity", "-Infinity"
    bytes                                 Base64
    dates, times                          ISO 8601; with an offset they are UTC and end in Z, without one they have none
    timedelta                             an ISO 8601 duration; PostgreSQL's months come as a text of one
    UUID, anything else                   its text
"""

from __future__ import annotations

import base64
import math
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from typing import Any, cast

import msgspec

MAX_SAFE = 2**53 - 1
MAX_DEPTH = 32
_encode = msgspec.json.Encoder().encode


def row(values: Sequence[Any]) -> list[Any]:
    """The row with every value safe for JSON."""
    return [
        value if value is None or (type(value) is int and -MAX_SAFE <= value <= MAX_SAFE) else cell(value)
        for value in values
    ]


def cell(value: Any, depth: int = 0) -> Any:
    """One value, safe for JSON."""
    write = _WRITERS.get(type(value))  # pyright: ignore[reportUnknownArgumentType] - a driver's value is of any type
    if write is not None:
        return write(value)
    if depth >= MAX_DEPTH:
        return _text(str(value))
    for kind, write_nested in _NESTED:
        if isinstance(value, kind):
            return write_nested(value, depth + 1)
    return _other(value)


def encoded(safe: list[Any]) -> msgspec.Raw:
    """A row of safe cells as JSON."""
    return msgspec.Raw(_encode(safe))


def _int(value: int) -> int | str:
    return value if -MAX_SAFE <= value <= MAX_SAFE else str(value)


def _float(value: float) -> float | str:
    if math.isfinite(value):
        return value
    return "NaN" if math.isnan(value) else "Infinity" if value > 0 else "-Infinity"


def _text(value: str) -> str:
    if value.isascii():
        return value
    try:
        value.encode()
    except UnicodeEncodeError:
        return value.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")
    return value


def _decimal(value: Decimal) -> str:
    if value.is_finite():
        return format(value, "f") if -40 < value.adjusted() < 40 else str(value)  # noqa: PLR2004 - digits worth writing out
    return _float(float(value)) if not value.is_snan() else "NaN"  # pyright: ignore[reportReturnType] - not finite, so it is a text


def _bytes(value: bytes | bytearray | memoryview) -> str:
    return base64.b64encode(value).decode()


def _datetime(value: datetime) -> str:
    if value.tzinfo is None:
        return value.isoformat()
    return value.astimezone(UTC).replace(tzinfo=None).isoformat() + "Z"


def _time(value: time) -> str:
    return value.isoformat()


def _duration(value: timedelta) -> str:
    return cast("str", msgspec.to_builtins(value))


def _mapping(value: Mapping[Any, Any], depth: int) -> dict[str, Any]:
    return {key if isinstance(key, str) else str(cell(key)): cell(entry, depth) for key, entry in value.items()}


def _sequence(value: Any, depth: int) -> list[Any]:
    return [cell(entry, depth) for entry in value]


def _other(value: Any) -> Any:
    if isinstance(value, bool):
        return bool(value)
    for kind, write in _DERIVED:
        if isinstance(value, kind):
            return write(value)
    return _text(str(value))


_WRITERS: dict[type, Callable[[Any], Any]] = {
    type(None): lambda value: value,
    bool: lambda value: value,
    int: _int,
    float: _float,
    str: _text,
    Decimal: _decimal,
    bytes: _bytes,
    bytearray: _bytes,
    memoryview: _bytes,
    datetime: _datetime,
    date: lambda value: value.isoformat(),
    time: _time,
    timedelta: _duration,
}
_DERIVED: tuple[tuple[type, Callable[[Any], Any]], ...] = (
    (int, lambda value: _int(int(value))),
    (float, lambda value: _float(float(value))),
    (str, lambda value: _text(str(value))),
    (Decimal, _decimal),
    (datetime, _datetime),
    (date, lambda value: value.isoformat()),
    (time, _time),
    (timedelta, _duration),
)
_NESTED: tuple[tuple[type | tuple[type, ...], Callable[[Any, int], Any]], ...] = (
    (Mapping, _mapping),
    ((list, tuple, set, frozenset), _sequence),
)
