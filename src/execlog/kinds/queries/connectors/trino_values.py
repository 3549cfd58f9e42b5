"""Trino's values as its protocol has them, with times in ISO 8601.

The client's Python types fail a query for a year after 9999, round to microseconds, and know no months.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta, timezone
from typing import Any
from zoneinfo import ZoneInfo

Read = Callable[[Any], Any]
_SECONDS = len("2024-01-01 12:00:00")
_PRECISION = re.compile(r"\(\d+\)")
_NAMED = re.compile(r'(?:"(?:[^"]|"")*"|\S+)\s+(.+)')
_OFFSET = re.compile(r"([+-])(\d\d):(\d\d)")
_DAYS = re.compile(r"(-?)(\d+) (\d+):(\d+):([\d.]+)")
_MONTHS = re.compile(r"(-?)(\d+)-(\d+)")


def reader_of(kind: str) -> Read | None:
    """What makes a value of a type, as Trino writes it, one of ours; None for a type whose values are that already."""
    for name, make in _NESTED.items():
        if kind.startswith(f"{name}("):
            readers = [reader_of(inner) for inner in _arguments(kind[len(name) + 1 : -1], named=name == "row")]
            return make(*readers) if any(readers) else None
    return _READERS.get(_PRECISION.sub("", kind))


def read(reader: Read | None, value: Any) -> Any:
    """The value as the reader makes it."""
    return value if reader is None or value is None else reader(value)


def _arguments(text: str, *, named: bool) -> Iterator[str]:
    """The types in a type's parentheses, without the names that the fields of a row may have."""
    depth, start, quoted = 0, 0, False
    for at, sign in enumerate(f"{text},"):
        quoted ^= sign == '"'
        depth += 0 if quoted else (sign == "(") - (sign == ")")
        if sign == "," and depth == 0 and not quoted:
            inner, start = text[start:at].strip(), at + 1
            bare = _PRECISION.sub("", inner) in _READERS or inner.startswith(tuple(f"{name}(" for name in _NESTED))
            found = _NAMED.fullmatch(inner) if named and not bare else None
            yield found[1] if found else inner


def _list(item: Read | None) -> Read:
    return lambda value: [read(item, one) for one in value]


def _map(key: Read | None, entry: Read | None) -> Read:
    return lambda value: {read(key, name): read(entry, one) for name, one in value.items()}


def _row(*fields: Read | None) -> Read:
    return lambda value: [read(field, one) for field, one in zip(fields, value, strict=True)]


def _timestamp(value: str) -> str:
    return value.replace(" ", "T", 1)


def _instant(value: str) -> str:
    """In UTC; as it is where Python has no such year, or does not know the zone."""
    local, _, zone = value.rpartition(" ")
    offset = _OFFSET.fullmatch(zone)
    try:
        if offset is None:
            shift: Any = ZoneInfo(zone)
        else:
            shift = timezone((-1 if offset[1] == "-" else 1) * timedelta(hours=int(offset[2]), minutes=int(offset[3])))
        moment = datetime.fromisoformat(local[:_SECONDS]).replace(tzinfo=shift).astimezone(UTC)
    except (ValueError, LookupError, OverflowError):
        return value
    return f"{moment.replace(tzinfo=None).isoformat()}{local[_SECONDS:]}Z"


def _days(value: str) -> str:
    return _DAYS.sub(r"\1P\2DT\3H\4M\5S", value)


def _months(value: str) -> str:
    return _MONTHS.sub(r"\1P\2Y\3M", value)


_NESTED: dict[str, Callable[..., Read]] = {"array": _list, "map": _map, "row": _row}
_READERS: dict[str, Read] = {
    "timestamp": _timestamp,
    "timestamp with time zone": _instant,
    "interval day to second": _days,
    "interval year to month": _months,
}
