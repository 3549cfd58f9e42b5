"""Messages of kdb+: a header of eight bytes, a value, and the compression of those that come from far.

The format is described in KX's documentation of the IPC protocol; compression is a byte-pair dictionary of 256 places
(a place is the xor of two bytes), in groups of eight literals or references with one byte of flags before them.
"""

from __future__ import annotations

import struct
from typing import Any, NamedTuple

from execlog.kinds.queries.connectors.qipc.wire import WireError, decode, encode

ASYNC, SYNC, RESPONSE = 0, 1, 2
HEADER = 8
MAX_MESSAGE = 2**31 - 1
COMPRESSED_FROM = 2_000
_START = 12
_RUN = 255


class Header(NamedTuple):
    """What begins a message; `length` with the header."""

    little: bool
    kind: int
    compressed: bool
    length: int


def read_header(data: bytes) -> Header:
    """The header in these eight bytes. Raises WireError."""
    little = data[0] == 1
    (length,) = struct.unpack("<I" if little else ">I", data[4:8])
    if data[0] > 1 or data[1] > RESPONSE or data[2] > 1 or not HEADER < length <= MAX_MESSAGE:
        raise WireError(f"not a message of kdb+: it begins with {data[:8].hex()}")
    return Header(little, data[1], bool(data[2]), length)


def message(value: Any, kind: int, *, compress_it: bool = False) -> bytes:
    """The whole message; compressed where that is asked for and halves it at least."""
    return wrap(encode(value), kind, compress_it=compress_it)


def wrap(body: bytes, kind: int, *, compress_it: bool = False) -> bytes:
    """The message around an encoded value."""
    whole = struct.pack("<BBBBI", 1, kind, 0, 0, HEADER + len(body)) + body
    if compress_it and len(whole) > COMPRESSED_FROM:
        return compress(whole) or whole
    return whole


def value_of(data: bytes) -> Any:
    """The value of a whole message. Raises QError for an error of kdb+'s, WireError."""
    header = read_header(data)
    if header.length != len(data):
        raise WireError(f"a message of {header.length} bytes came as {len(data)}")
    whole = decompress(data) if header.compressed else data
    return decode(memoryview(whole)[HEADER:], little=header.little)


def decompress(data: bytes, limit: int = MAX_MESSAGE) -> bytes:
    """The message a compressed one stands for, at most `limit` bytes. Raises WireError."""
    header = read_header(data)
    (size,) = struct.unpack_from("<i" if header.little else ">i", data, HEADER)
    if not HEADER <= size <= limit:
        raise WireError(f"a compressed message of {size} bytes")
    out = bytearray(size)
    out[:HEADER] = bytes((data[0], data[1], 0, 0)) + struct.pack("<I" if header.little else ">I", size)
    try:
        _expand(data, out)
    except IndexError as error:
        raise WireError("a compressed message ends too early") from error
    return bytes(out)


def _expand(data: bytes, out: bytearray) -> None:  # noqa: C901 - one loop, once a byte: a call each would cost more
    places = [0] * 256
    at, flags, bit = _START, 0, 256
    seen = written = HEADER
    size = len(out)
    while written < size:
        if bit == 256:  # noqa: PLR2004 - eight flags are used up
            flags, bit = data[at], 1
            at += 1
        run = 0
        if flags & bit:
            source, run = places[data[at]], data[at + 1]
            at += 2
            out[written], out[written + 1] = out[source], out[source + 1]
            written += 2
            if written + run > size:
                raise WireError("a compressed message runs over its end")
            source += 2
            if source + run <= written:
                out[written : written + run] = out[source : source + run]
            else:  # it repeats what it is writing
                for step in range(run):
                    out[written + step] = out[source + step]
        else:
            out[written] = data[at]
            at += 1
            written += 1
        while seen < written - 1:
            places[out[seen] ^ out[seen + 1]] = seen
            seen += 1
        if flags & bit:
            written += run
            seen = written
        bit <<= 1


def compress(whole: bytes) -> bytes | None:
    """The compressed message; None where it would not be half as long."""
    out = bytearray(whole[:4]) + bytes(4) + struct.pack("<I", len(whole))
    out[2] = 1
    places = [0] * 256
    limit, end = len(whole) // 2, len(whole)
    at, pending = HEADER, -1
    while at < end:
        if len(out) > limit - 17:
            return None
        group = len(out)
        out.append(0)
        for bit in range(8):
            if at >= end:
                break
            place = whole[at] ^ whole[at + 1] if at + 1 < end else 0
            source = places[place] if at <= end - 3 else 0
            if pending >= 0:
                places[whole[pending] ^ whole[pending + 1]] = pending
                pending = -1
            if not source or whole[at] != whole[source]:
                out.append(whole[at])
                pending = at if at + 1 < end else -1
                at += 1
                continue
            places[place] = at
            out[group] |= 1 << bit
            run = _run(whole, source + 2, at + 2, end)
            out += bytes((place, run))
            at += 2 + run
    struct.pack_into("<I", out, 4, len(out))
    return bytes(out)


def _run(whole: bytes, source: int, at: int, end: int) -> int:
    """How many bytes from `at` on repeat those from `source` on."""
    run = 0
    while run < _RUN and at + run < end and whole[source + run] == whole[at + run]:
        run += 1
    return run
