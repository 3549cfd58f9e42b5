"""Values of kdb+, as they travel: exact to the bit, and as plain Python values.

Numbers are held as they are on the wire (nulls and infinities are bit patterns there); `plain` makes of them what JSON
can say: null is None, an infinity is a float infinity, times are ISO 8601 texts.
"""

from __future__ import annotations

import math
import struct
import uuid
from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any, NamedTuple

from msgspec import Struct

BOOLEAN, GUID, BYTE, SHORT, INT, LONG, REAL, FLOAT, CHAR, SYMBOL = 1, 2, 4, 5, 6, 7, 8, 9, 10, 11
TIMESTAMP, MONTH, DATE, DATETIME, TIMESPAN, MINUTE, SECOND, TIME = 12, 13, 14, 15, 16, 17, 18, 19
TABLE, DICTIONARY, LAMBDA, SORTED_DICTIONARY = 98, 99, 100, 127


class Layout(NamedTuple):
    """How a fixed-width type is written: its name, its `struct` code and its width in bytes."""

    name: str
    code: str
    width: int


LAYOUTS: dict[int, Layout] = {
    BOOLEAN: Layout("boolean", "B", 1),
    GUID: Layout("guid", "16s", 16),
    BYTE: Layout("byte", "B", 1),
    SHORT: Layout("short", "h", 2),
    INT: Layout("int", "i", 4),
    LONG: Layout("long", "q", 8),
    REAL: Layout("real", "f", 4),
    FLOAT: Layout("float", "d", 8),
    CHAR: Layout("char", "c", 1),
    TIMESTAMP: Layout("timestamp", "q", 8),
    MONTH: Layout("month", "i", 4),
    DATE: Layout("date", "i", 4),
    DATETIME: Layout("datetime", "d", 8),
    TIMESPAN: Layout("timespan", "q", 8),
    MINUTE: Layout("minute", "i", 4),
    SECOND: Layout("second", "i", 4),
    TIME: Layout("time", "i", 4),
}


class Atom(Struct, frozen=True):
    """One value of a basic type; `raw` as on the wire (bytes for guid and char, text for symbol)."""

    type: int
    raw: Any


class Vector(Struct, frozen=True):
    """Values of one basic type: their bytes as on the wire (little-endian), or a list of texts for symbols.

    attribute   0 none, 1 sorted, 2 unique, 3 parted, 5 grouped
    """

    type: int
    raw: Any
    attribute: int = 0

    def __len__(self) -> int:
        return len(self.raw) if self.type == SYMBOL else len(self.raw) // LAYOUTS[self.type].width

    def values(self, start: int = 0, stop: int | None = None) -> Sequence[Any]:
        """The raw values from `start` up to `stop`."""
        if self.type == SYMBOL:
            return self.raw[start:stop]
        layout = LAYOUTS[self.type]
        stop = len(self) if stop is None else min(stop, len(self))
        piece = self.raw[start * layout.width : max(stop, start) * layout.width]
        if self.type == GUID:
            return [piece[at : at + 16] for at in range(0, len(piece), 16)]
        if self.type == CHAR:
            return [piece[at : at + 1] for at in range(len(piece))]
        numbers: Any = memoryview(piece)
        return numbers.cast(layout.code).tolist()


class Mixed(Struct, frozen=True):
    """A general list."""

    items: tuple[Any, ...]
    attribute: int = 0

    def __len__(self) -> int:
        return len(self.items)


class Dictionary(Struct, frozen=True):
    """Keys and values, both lists (or tables, in a keyed table); `stepped`: type 127."""

    keys: Any
    values: Any
    stepped: bool = False


class Table(Struct, frozen=True):
    """Columns, by a dictionary of names to lists."""

    columns: Dictionary
    attribute: int = 0


class Function(Struct, frozen=True):
    """A function: a lambda has its context and text, a primitive its number, everything else what it was made of."""

    type: int
    context: str = ""
    text: str = ""
    number: int = 0
    parts: tuple[Any, ...] = ()


class QError(Exception):
    """What kdb+ refused, in its own words."""


NULL = Function(101)
_EPOCH = datetime(2000, 1, 1, tzinfo=UTC)
_DAY_NS, _SECOND_NS = 86_400_000_000_000, 1_000_000_000
_LIMITS = {"h": 2**15, "i": 2**31, "q": 2**63}
_INFINITE = {kind: _LIMITS[layout.code] - 1 for kind, layout in LAYOUTS.items() if layout.code in _LIMITS}


def symbol(text: str) -> Atom:
    """A symbol."""
    return Atom(SYMBOL, text)


def string(text: str) -> Vector:
    """A string: a vector of chars."""
    return Vector(CHAR, text.encode("utf-8", "surrogateescape"))


def long(value: int) -> Atom:
    """A long."""
    return Atom(LONG, value)


def vector(kind: int, values: Sequence[Any], attribute: int = 0) -> Vector:
    """A vector of raw values."""
    if kind == SYMBOL:
        return Vector(SYMBOL, list(values), attribute)
    return Vector(kind, b"".join(struct.pack(f"<{LAYOUTS[kind].code}", value) for value in values), attribute)


def table(columns: dict[str, Any]) -> Table:
    """A table of columns by name."""
    return Table(Dictionary(Vector(SYMBOL, list(columns)), Mixed(tuple(columns.values()))))


def wire_of(value: Any) -> Any:  # noqa: PLR0911 - one a type
    """The kdb+ value of a plain Python one: numbers become long or float, texts strings. Raises TypeError."""
    match value:
        case None:
            return NULL
        case bool():
            return Atom(BOOLEAN, int(value))
        case int() if -(2**63) < value < 2**63:
            return Atom(LONG, value)
        case float():
            return Atom(FLOAT, value)
        case str():
            return string(value)
        case uuid.UUID():
            return Atom(GUID, value.bytes)
        case datetime():
            aware = value if value.tzinfo else value.replace(tzinfo=UTC)
            return Atom(TIMESTAMP, (aware - _EPOCH) // timedelta(microseconds=1) * 1000)
        case _:
            raise TypeError(f"kdb+ takes no {type(value).__name__} as a parameter here")


def plain(value: Any) -> Any:  # noqa: PLR0911 - one a type
    """A plain Python value: numbers, texts, lists and dicts."""
    match value:
        case Atom():
            return _plain_raw(value.type, value.raw)
        case Vector():
            return text_of(value) if value.type == CHAR else plain_values(value)
        case Mixed():
            return [plain(item) for item in value.items]
        case Table():
            names, columns = column_names(value), columns_of(value)
            return {name: plain_values(column) for name, column in zip(names, columns, strict=True)}
        case Dictionary():
            keys, values = plain_values(value.keys), plain_values(value.values)
            return {str(key): entry for key, entry in zip(keys, values, strict=False)}
        case Function():
            return describe(value)
        case _:
            return value


def plain_values(value: Any, start: int = 0, stop: int | None = None) -> list[Any]:
    """The plain values of a list, from `start` up to `stop`; those of a table are its rows, as dicts."""
    match value:
        case Vector():
            reader = _READERS.get(value.type)
            raw = value.values(start, stop)
            return list(raw) if reader is None else [reader(one) for one in raw]
        case Mixed():
            return [plain(item) for item in value.items[start:stop]]
        case Table():
            names = column_names(value)
            columns = [plain_values(column, start, stop) for column in columns_of(value)]
            return [dict(zip(names, row, strict=True)) for row in zip(*columns, strict=True)]
        case _:
            return [plain(value)]


def column_names(value: Table) -> list[str]:
    """The names of a table's columns."""
    return [str(name) for name in plain_values(value.columns.keys)]


def columns_of(value: Table) -> tuple[Any, ...]:
    """A table's columns: lists of one length."""
    held = value.columns.values
    return held.items if isinstance(held, Mixed) else tuple(Vector(held.type, piece) for piece in _pieces(held))


def length_of(value: Any) -> int:
    """How many rows or items it has."""
    if isinstance(value, Table):
        columns = columns_of(value)
        return length_of(columns[0]) if columns else 0
    return len(value) if isinstance(value, Vector | Mixed) else 1


def type_name(value: Any) -> str:
    """What kdb+ calls the type of a column's values."""
    if isinstance(value, Vector | Atom):
        return "symbol" if value.type == SYMBOL else LAYOUTS[value.type].name
    return "list"


def text_of(value: Vector) -> str:
    """The text of a vector of chars."""
    return bytes(value.raw).decode("utf-8", "replace")


def describe(value: Function) -> str:
    """A function as text: a lambda's own, else its type and number; the generic null is empty."""
    if value.type == LAMBDA:
        return value.text
    return "" if value == NULL else f"<function {value.type}:{value.number}>"


def _pieces(held: Vector) -> list[Any]:
    """The one-row columns of a table whose values travelled as a simple vector."""
    width = 1 if held.type == SYMBOL else LAYOUTS[held.type].width
    return [held.raw[at * width : (at + 1) * width] for at in range(len(held))]


def _plain_raw(kind: int, raw: Any) -> Any:
    reader = _READERS.get(kind)
    return raw if reader is None else reader(raw)


def _number(kind: int) -> Callable[[Any], Any]:
    greatest = _INFINITE[kind]

    def read(raw: int) -> int | float | None:
        if -greatest < raw < greatest:
            return raw
        return None if raw < -greatest else math.copysign(math.inf, raw)

    return read


def _time(kind: int, write: Callable[[int], str]) -> Callable[[Any], Any]:
    number = _number(kind)

    def read(raw: int) -> Any:
        value = number(raw)
        return write(value) if isinstance(value, int) else value

    return read


def _float(raw: float) -> float | None:
    return None if math.isnan(raw) else raw


def _real(raw: float) -> float | None:
    """The shortest number that four bytes hold as this one: 0.1, not 0.10000000149."""
    if not math.isfinite(raw):
        return _float(raw)
    for digits in (6, 7, 8):
        short = float(f"{raw:.{digits}g}")
        if struct.unpack("<f", struct.pack("<f", short))[0] == raw:
            return short
    return float(f"{raw:.9g}")


def _guid(raw: bytes) -> str | None:
    return str(uuid.UUID(bytes=bytes(raw))) if any(raw) else None


def _timestamp(raw: int) -> str:
    days, rest = divmod(raw, _DAY_NS)
    seconds, fraction = divmod(rest, _SECOND_NS)
    moment = (_EPOCH + timedelta(days=days, seconds=seconds)).replace(tzinfo=None)
    return moment.isoformat() + (f".{fraction:09d}" if fraction else "")


def _date(raw: int) -> str:
    try:
        return (_EPOCH + timedelta(days=raw)).date().isoformat()
    except OverflowError:
        return f"2000-01-01{raw:+d}d"


def _month(raw: int) -> str:
    years, months = divmod(raw, 12)
    return f"{2000 + years:04d}-{months + 1:02d}"


def _datetime(raw: float) -> str | float | None:
    if not math.isfinite(raw):
        return _float(raw)
    try:
        moment = _EPOCH + timedelta(milliseconds=round(raw * 86_400_000))
    except OverflowError:
        return f"2000-01-01{raw:+f}d"
    return moment.replace(tzinfo=None).isoformat(timespec="milliseconds")


def _timespan(raw: int) -> str:
    sign, raw = ("-" if raw < 0 else ""), abs(raw)
    days, rest = divmod(raw, _DAY_NS)
    seconds, fraction = divmod(rest, _SECOND_NS)
    text = f"{seconds}.{fraction:09d}".rstrip("0") if fraction else str(seconds)
    return f"{sign}P{f'{days}D' if days else ''}T{text}S"


def _clock(raw: int, unit: int) -> str:
    """A time of day of so many units a second (or seconds a unit, where negative); beyond a day the hours go on."""
    sign, raw = ("-" if raw < 0 else ""), abs(raw)
    if unit < 0:
        return f"{sign}{raw // 60:02d}:{raw % 60:02d}"
    seconds, fraction = divmod(raw, unit)
    text = f"{sign}{seconds // 3600:02d}:{seconds // 60 % 60:02d}:{seconds % 60:02d}"
    return f"{text}.{fraction:03d}" if unit > 1 else text


_READERS: dict[int, Callable[[Any], Any]] = {
    BOOLEAN: bool,
    GUID: _guid,
    SHORT: _number(SHORT),
    INT: _number(INT),
    LONG: _number(LONG),
    REAL: _real,
    FLOAT: _float,
    CHAR: lambda raw: bytes(raw).decode("latin-1"),
    SYMBOL: lambda raw: raw or None,
    TIMESTAMP: _time(TIMESTAMP, _timestamp),
    MONTH: _time(MONTH, _month),
    DATE: _time(DATE, _date),
    DATETIME: _datetime,
    TIMESPAN: _time(TIMESPAN, _timespan),
    MINUTE: _time(MINUTE, lambda raw: _clock(raw, -60)),
    SECOND: _time(SECOND, lambda raw: _clock(raw, 1)),
    TIME: _time(TIME, lambda raw: _clock(raw, 1000)),
}
