"""kdb+'s values as bytes, held to bytes that KX's own encoder wrote (fixtures/make_qipc.py)."""

from __future__ import annotations

import json
import math
import struct
from contextlib import suppress
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from execlog.kinds.queries.connectors.qipc import messages, wire
from execlog.kinds.queries.connectors.qipc import values as q

from .fixtures.make_qipc import CODES, GUIDS, SAMPLES, SYMBOLS

FIXTURES = json.loads((Path(__file__).parent / "fixtures" / "qipc.json").read_text())


def single(value):
    """The nearest number that four bytes hold."""
    return struct.unpack("<f", struct.pack("<f", value))[0]


def named_values():
    """Every value of the fixtures, made here; by the fixtures' names."""
    found = {}
    for kind, samples in SAMPLES.items():
        for place, sample in enumerate(samples):
            found[f"atom_{kind}_{place}"] = q.Atom(kind, single(sample) if kind == q.REAL else sample)
        packed = b"".join(struct.pack(f"<{CODES[kind]}", sample) for sample in samples)
        found[f"vector_{kind}"] = q.Vector(kind, packed)
        found[f"empty_{kind}"] = q.Vector(kind, b"")
    for place, raw in enumerate(GUIDS):
        found[f"atom_2_{place}"] = q.Atom(q.GUID, raw)
    found["vector_2"] = q.Vector(q.GUID, b"".join(GUIDS))
    for place, text in enumerate(SYMBOLS):
        found[f"atom_11_{place}"] = q.symbol(text)
    found["vector_11"] = q.Vector(q.SYMBOL, SYMBOLS)
    found["empty_11"] = q.Vector(q.SYMBOL, [])
    found["string"] = q.string("select from größe")
    found["sorted"] = q.vector(q.LONG, [1, 2, 3], attribute=1)
    found["mixed"] = q.Mixed((q.vector(q.LONG, [1, 2]), q.symbol("a"), q.string("text"), q.Mixed(())))
    found["dictionary"] = q.Dictionary(q.Vector(q.SYMBOL, ["a", "b"]), q.vector(q.LONG, [1, 2]))
    found["table"] = q.table({"sym": q.Vector(q.SYMBOL, ["A", "B"]), "price": q.vector(q.LONG, [10, 20])})
    found["keyed_table"] = q.Dictionary(
        q.table({"sym": q.Vector(q.SYMBOL, ["A", "B"])}), q.table({"price": q.vector(q.LONG, [10, 20])})
    )
    found["null"] = q.NULL
    found["primitive_monadic"] = q.Function(101, number=4)
    found["primitive_dyadic"] = q.Function(102, number=1)
    found["adverb"] = q.Function(103, number=3)
    found["projection"] = q.Function(104, parts=(q.Function(102, number=1), q.long(1)))
    found["derived"] = q.Function(106, parts=(q.Function(102, number=1),))
    return found


VALUES = named_values()


def test_the_fixtures_and_the_values_are_the_same_set():
    assert VALUES.keys() == FIXTURES["values"].keys()
    assert len(VALUES) > 90


@pytest.mark.parametrize("name", FIXTURES["values"])
def test_a_value_is_written_as_kx_writes_it_and_read_back(name):
    body = bytes.fromhex(FIXTURES["values"][name])
    assert wire.encode(VALUES[name]).hex() == body.hex()
    assert wire.decode(body) == VALUES[name]


def test_a_message_kx_compressed_is_read():
    data = bytes.fromhex(FIXTURES["compressed"])
    assert data[2] == 1
    value = messages.value_of(data)
    numbers = q.vector(q.LONG, [number % 50 for number in range(3_000)])
    assert value == q.Mixed((q.string("f"), numbers))


def test_what_we_compress_is_what_kx_compresses():
    data = bytes.fromhex(FIXTURES["compressed"])
    assert messages.compress(messages.decompress(data)) == data


@given(st.binary(max_size=40), st.integers(1, 400), st.binary(max_size=3_000))
def test_what_is_compressed_comes_back(piece, times, rest):
    whole = messages.wrap(wire.encode(q.Vector(q.BYTE, piece * times + rest)), messages.SYNC)
    smaller = messages.compress(whole)
    if smaller is None:
        return
    assert len(smaller) < len(whole) / 2
    assert messages.decompress(smaller) == whole


def test_little_is_not_compressed_and_noise_is_neither():
    import random

    noise = q.Vector(q.BYTE, random.Random(7).randbytes(5_000))
    assert messages.message(noise, messages.SYNC, compress_it=True)[2] == 0
    assert messages.message(q.string("a" * 1_900), messages.SYNC, compress_it=True)[2] == 0
    assert messages.message(q.string("a" * 3_000), messages.SYNC, compress_it=True)[2] == 1


def big_endian(value):
    """The body as a big-endian machine writes it, for the kinds used here."""
    match value:
        case q.Atom():
            return struct.pack(">b", -value.type) + struct.pack(f">{CODES[value.type]}", value.raw)
        case q.Vector():
            numbers = value.values()
            return struct.pack(">bBi", value.type, 0, len(numbers)) + struct.pack(
                f">{len(numbers)}{CODES[value.type]}", *numbers
            )


@pytest.mark.parametrize("kind", [5, 6, 7, 8, 9, 12, 13, 14, 15, 16, 17, 18, 19])
def test_big_endian_machines_are_read_too(kind):
    for value in (q.Atom(kind, SAMPLES[kind][1]), q.vector(kind, SAMPLES[kind])):
        assert wire.decode(big_endian(value), little=False) == value
    whole = big_endian(q.vector(kind, SAMPLES[kind]))
    data = struct.pack(">BBBBI", 0, 2, 0, 0, 8 + len(whole)) + whole
    assert messages.value_of(data) == q.vector(kind, SAMPLES[kind])


def test_errors_of_kdb_are_raised_in_its_words():
    with pytest.raises(q.QError, match=r"^type$"):
        wire.decode(wire.encode_error("type"))


def test_lambdas_are_kept():
    value = q.Function(q.LAMBDA, "ns", "{x+y}")
    assert wire.decode(wire.encode(value)) == value
    assert q.plain(value) == "{x+y}"


@pytest.mark.parametrize(
    ("kind", "raws", "shown"),
    [
        (q.BOOLEAN, [0, 1], [False, True]),
        (q.BYTE, [0, 255], [0, 255]),
        (q.SHORT, [-32768, -32767, 32767, 7], [None, -math.inf, math.inf, 7]),
        (q.INT, [-(2**31), -(2**31) + 1, 2**31 - 1, 7], [None, -math.inf, math.inf, 7]),
        (q.LONG, [-(2**63), -(2**63) + 1, 2**63 - 1, 2**62], [None, -math.inf, math.inf, 2**62]),
        (q.REAL, [math.nan, math.inf, 1.5, single(0.1), single(1e-30)], [None, math.inf, 1.5, 0.1, 1e-30]),
        (q.FLOAT, [math.nan, -math.inf, 0.1], [None, -math.inf, 0.1]),
        (q.CHAR, [b"a", b"\xe9"], ["a", "é"]),
        (q.SYMBOL, ["", "AAPL"], [None, "AAPL"]),
        (q.GUID, GUIDS, [None, "8c6b8b64-6815-6084-0a3e-178401251b68"]),
        (
            q.TIMESTAMP,
            [-(2**63), 2**63 - 1, 0, 757_382_400_123_456_789, -1],
            [None, math.inf, "2000-01-01T00:00:00", "2024-01-01T00:00:00.123456789", "1999-12-31T23:59:59.999999999"],
        ),
        (q.MONTH, [-(2**31), 0, 290, -1], [None, "2000-01", "2024-03", "1999-12"]),
        (q.DATE, [-(2**31), 0, 8766, -1], [None, "2000-01-01", "2024-01-01", "1999-12-31"]),
        (q.DATETIME, [math.nan, 0.0, 8766.5], [None, "2000-01-01T00:00:00.000", "2024-01-01T12:00:00.000"]),
        (
            q.TIMESPAN,
            [-(2**63), 0, 93_784_123_456_789, -1_000_000_000],
            [None, "PT0S", "P1DT7384.123456789S", "-PT1S"],
        ),
        (q.MINUTE, [-(2**31), 0, 754, -90], [None, "00:00", "12:34", "-01:30"]),
        (q.SECOND, [-(2**31), 0, 45_296, 360_000], [None, "00:00:00", "12:34:56", "100:00:00"]),
        (q.TIME, [-(2**31), 0, 45_296_789], [None, "00:00:00.000", "12:34:56.789"]),
    ],
)
def test_values_are_shown_plainly(kind, raws, shown):
    assert [q.plain(q.Atom(kind, raw)) for raw in raws] == shown
    assert q.plain_values(q.vector(kind, raws)) == shown
    assert q.plain_values(q.vector(kind, raws), 1, 3) == shown[1:3]


def test_nested_values_are_shown_plainly():
    assert q.plain(VALUES["table"]) == {"sym": ["A", "B"], "price": [10, 20]}
    assert q.plain(VALUES["mixed"]) == [[1, 2], "a", "text", []]
    assert q.plain(VALUES["dictionary"]) == {"a": 1, "b": 2}
    assert q.plain(q.NULL) == ""


atoms = st.one_of(
    *(
        st.sampled_from(samples).map(lambda raw, kind=kind: q.Atom(kind, single(raw) if kind == q.REAL else raw))
        for kind, samples in SAMPLES.items()
    ),
    st.text(st.characters(codec="utf-8", exclude_characters="\0"), max_size=5).map(q.symbol),
)
vectors = st.one_of(
    *(
        st.lists(st.sampled_from(samples), max_size=4).map(lambda raws, kind=kind: q.vector(kind, raws))
        for kind, samples in SAMPLES.items()
    ),
    st.lists(st.text(st.characters(codec="utf-8", exclude_characters="\0"), max_size=4), max_size=4).map(
        lambda texts: q.Vector(q.SYMBOL, texts)
    ),
    st.text(max_size=8).map(q.string),
)
anything = st.recursive(
    atoms | vectors,
    lambda inner: (
        st.lists(inner, max_size=3).map(lambda items: q.Mixed(tuple(items)))
        | st.tuples(vectors, inner).map(lambda pair: q.Dictionary(*pair))
    ),
    max_leaves=8,
)


@given(anything)
def test_any_value_comes_back(value):
    assert wire.decode(wire.encode(value)) == value
    assert messages.value_of(messages.message(value, messages.SYNC)) == value
    q.plain(value)


@given(anything, st.data())
def test_damaged_bytes_are_an_error_and_nothing_else(value, data):
    body = bytearray(wire.encode(value))
    place = data.draw(st.integers(0, len(body) - 1))
    if data.draw(st.booleans()):
        body[place] ^= data.draw(st.integers(1, 255))
    else:
        del body[place:]
    with suppress(wire.WireError, q.QError):
        wire.decode(bytes(body))


@given(st.binary(max_size=200))
def test_noise_is_an_error_and_nothing_else(noise):
    for read in (
        wire.decode,
        lambda data: messages.decompress(b"\1\1\1\0" + struct.pack("<I", 8 + len(data)) + data, 10_000),
    ):
        with suppress(wire.WireError, q.QError, struct.error):
            read(noise)


def test_deep_nesting_is_an_error():
    with pytest.raises(wire.WireError, match="deep"):
        wire.decode(b"\0\0\1\0\0\0" * 5_000 + b"\0\0\0\0\0\0")
