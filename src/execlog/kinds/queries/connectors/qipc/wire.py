"""Values of kdb+ as bytes, and back."""

from __future__ import annotations

import struct
from typing import Any

from execlog.kinds.queries.connectors.qipc.values import (
    CHAR,
    DICTIONARY,
    LAMBDA,
    LAYOUTS,
    SORTED_DICTIONARY,
    SYMBOL,
    TABLE,
    Atom,
    Dictionary,
    Function,
    Mixed,
    QError,
    Table,
    Vector,
)

ERROR = -128
MAX_DEPTH = 100
_PRIMITIVES = frozenset({101, 102, 103})
_COMPOUND = frozenset({104, 105})
_DERIVED = range(106, 112)
_DAMAGED = "this is not a value of kdb+"


class WireError(ValueError):
    """Bytes that are no value of kdb+, or one that cannot be told."""


def encode(value: Any) -> bytes:
    """The value as kdb+ writes it, little-endian, without the header of a message."""
    out = bytearray()
    _write(value, out)
    return bytes(out)


def decode(data: bytes | memoryview, *, little: bool = True) -> Any:
    """The value in these bytes. Raises QError for an error of kdb+'s, WireError for bytes that are none."""
    reader = _Reader(bytes(data), little=little)
    try:
        value = reader.read()
    except (struct.error, IndexError) as error:
        raise WireError(f"{_DAMAGED}: it ends too early") from error
    if reader.at != len(reader.data):
        raise WireError(f"{_DAMAGED}: {len(reader.data) - reader.at} bytes too many")
    return value


def encode_error(message: str) -> bytes:
    """An error as kdb+ writes it."""
    return struct.pack("<b", ERROR) + _text(message)


def _write(value: Any, out: bytearray) -> None:
    match value:
        case Atom():
            out += struct.pack("<b", -value.type)
            out += _text(value.raw) if value.type == SYMBOL else struct.pack(f"<{LAYOUTS[value.type].code}", value.raw)
        case Vector():
            out += struct.pack("<bBi", value.type, value.attribute, len(value))
            out += b"".join(map(_text, value.raw)) if value.type == SYMBOL else bytes(value.raw)
        case Mixed():
            out += struct.pack("<bBi", 0, value.attribute, len(value))
            for item in value.items:
                _write(item, out)
        case Dictionary():
            out += struct.pack("<b", SORTED_DICTIONARY if value.stepped else DICTIONARY)
            _write(value.keys, out)
            _write(value.values, out)
        case Table():
            out += struct.pack("<bB", TABLE, value.attribute)
            _write(value.columns, out)
        case Function():
            _write_function(value, out)
        case _:
            raise WireError(f"kdb+ has no value for {type(value).__name__}")


def _write_function(value: Function, out: bytearray) -> None:
    out += struct.pack("<b", value.type)
    if value.type == LAMBDA:
        out += _text(value.context)
        _write(Vector(CHAR, value.text.encode("utf-8", "surrogateescape")), out)
    elif value.type in _PRIMITIVES:
        out += struct.pack("<B", value.number)
    else:
        if value.type in _COMPOUND:
            out += struct.pack("<i", len(value.parts))
        for part in value.parts:
            _write(part, out)


def _text(text: str) -> bytes:
    return text.encode("utf-8", "surrogateescape").replace(b"\0", b"") + b"\0"


class _Reader:
    """Reads one value out of bytes, from `at` on."""

    def __init__(self, data: bytes, *, little: bool) -> None:
        self.data, self.at, self._depth = data, 0, 0
        self._order, self._little = "<" if little else ">", little

    def read(self) -> Any:
        """The value that begins here."""
        if self._depth > MAX_DEPTH:
            raise WireError(f"{_DAMAGED}: nested too deeply")
        self._depth += 1
        kind: int = self._take("b")
        value = self._read(kind)
        self._depth -= 1
        return value

    def _read(self, kind: int) -> Any:
        if kind == ERROR:
            raise QError(self._symbol())
        if -20 < kind < 0:  # noqa: PLR2004 - the basic types
            return self._atom(-kind)
        if 0 < kind < 20:  # noqa: PLR2004 - the basic types
            return self._vector(kind)
        if kind == 0:
            attribute = self._take("B")
            return Mixed(tuple(self.read() for _ in range(self._length(1))), attribute)
        if kind in {DICTIONARY, SORTED_DICTIONARY}:
            return Dictionary(self.read(), self.read(), kind == SORTED_DICTIONARY)
        if kind == TABLE:
            attribute = self._take("B")
            columns = self.read()
            if not isinstance(columns, Dictionary):
                raise WireError(f"{_DAMAGED}: a table without columns")
            return Table(columns, attribute)
        return self._function(kind)

    def _atom(self, kind: int) -> Atom:
        if kind == SYMBOL:
            return Atom(SYMBOL, self._symbol())
        layout = LAYOUTS.get(kind)
        if layout is None:
            raise WireError(f"{_DAMAGED}: type {-kind}")
        return Atom(kind, self._take(layout.code))

    def _vector(self, kind: int) -> Vector:
        attribute = self._take("B")
        if kind == SYMBOL:
            return Vector(SYMBOL, [self._symbol() for _ in range(self._length(1))], attribute)
        layout = LAYOUTS.get(kind)
        if layout is None:
            raise WireError(f"{_DAMAGED}: type {kind}")
        length = self._length(layout.width)
        start, end = self.at, self.at + length * layout.width
        self.at = end
        piece = self.data[start:end]
        if not self._little and layout.code in "hiqfd":
            piece = _swapped(piece, layout.width)
        return Vector(kind, piece, attribute)

    def _function(self, kind: int) -> Function:
        if kind == LAMBDA:
            context = self._symbol()
            body = self.read()
            if not isinstance(body, Vector) or body.type != CHAR:
                raise WireError(f"{_DAMAGED}: a lambda without text")
            return Function(LAMBDA, context, bytes(body.raw).decode("utf-8", "surrogateescape"))
        if kind in _PRIMITIVES:
            return Function(kind, number=self._take("B"))
        if kind in _COMPOUND:
            return Function(kind, parts=tuple(self.read() for _ in range(self._length(1))))
        if kind in _DERIVED:
            return Function(kind, parts=(self.read(),))
        raise WireError(f"{_DAMAGED}: type {kind}")

    def _length(self, width: int) -> int:
        """A length, which cannot be more than what follows."""
        length: int = self._take("i")
        if length < 0 or length * width > len(self.data) - self.at:
            raise WireError(f"{_DAMAGED}: it ends too early")
        return length

    def _symbol(self) -> str:
        end = self.data.find(b"\0", self.at)
        if end < 0:
            raise WireError(f"{_DAMAGED}: a symbol never ends")
        text = self.data[self.at : end].decode("utf-8", "surrogateescape")
        self.at = end + 1
        return text

    def _take(self, code: str) -> Any:
        value = struct.unpack_from(self._order + code, self.data, self.at)[0]
        self.at += struct.calcsize("<" + code)
        return value


def _swapped(piece: bytes, width: int) -> bytes:
    swapped = bytearray(piece)
    for place in range(width):
        swapped[place::width] = piece[width - 1 - place :: width]
    return bytes(swapped)
