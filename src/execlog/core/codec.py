"""Bytes and JSON of the model; the one place that knows the version of an encoded event.

An event is a MessagePack array behind one version byte. Fields are only appended, so version 1 reads every older array
(missing fields take their defaults) and skips what a newer minor added. A change that cannot be expressed so gets a
new version.
"""

from __future__ import annotations

from typing import Any, TypeVar

import msgspec

from execlog.core.errors import CodecError, InvalidError
from execlog.core.model import Event

T = TypeVar("T")
VERSION = 1
_VERSION_BYTE = bytes([VERSION])
_REPR_LIMIT = 500


def _plain(value: object) -> object:
    """A storable stand-in for an object no codec knows: its text, cut."""
    if isinstance(value, set | frozenset):
        return sorted(map(str, value))  # pyright: ignore[reportUnknownArgumentType, reportUnknownVariableType] - a set of anything
    return repr(value)[:_REPR_LIMIT]


_encoder = msgspec.msgpack.Encoder(enc_hook=_plain)
_decoder = msgspec.msgpack.Decoder(Event)
_json = msgspec.json.Encoder(enc_hook=_plain)

encode = _encoder.encode
"""MessagePack of an event, without the version byte; an object it does not know becomes its text."""

to_json = _json.encode
"""JSON of any part of the model; NaN and infinities become null."""


def encode_event(event: Event) -> bytes:
    """The event as bytes that `decode_event` of this and every later version reads."""
    return _VERSION_BYTE + encode(event)


def decode_event(data: bytes | memoryview) -> Event:
    """The event in these bytes. Raises CodecError for a version newer than this code or for bytes that are no event."""
    if not data or data[0] != VERSION:
        message = f"event version {data[0] if data else 'missing'} is unknown here (this code reads {VERSION})"
        raise CodecError(message)
    try:
        return _decoder.decode(memoryview(data)[1:])
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        message = f"not an event: {error}"
        raise CodecError(message) from error


def from_json(data: bytes | str, type_: type[T]) -> T:
    """The value in this JSON. Raises InvalidError, naming the place, for JSON that is none or does not fit."""
    try:
        return msgspec.json.decode(data, type=type_)
    except msgspec.ValidationError as error:
        raise InvalidError(_told(error, type_)) from error
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise InvalidError(str(error) or "nested too deeply") from error


def convert(value: object, type_: type[T], *, strict: bool = False) -> T:
    """A typed value out of plain ones, text read as numbers where a number is due. Raises InvalidError."""
    try:
        return msgspec.convert(value, type_, strict=strict)
    except msgspec.ValidationError as error:
        raise InvalidError(_told(error, type_)) from error
    except (msgspec.MsgspecError, RecursionError, OverflowError) as error:
        raise InvalidError(str(error) or "nested too deeply") from error


def _told(error: msgspec.ValidationError, type_: Any) -> str:
    from execlog.core.misfit import told

    return told(error, type_)


def builtins(value: Any) -> Any:
    """Plain dicts, lists, texts and numbers of a value of the model."""
    return msgspec.to_builtins(value, enc_hook=_plain)
