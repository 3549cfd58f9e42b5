"""What a reader makes of a segment that was cut, flipped or never finished: at most the hit one is lost."""

from __future__ import annotations

import mmap
from zlib import crc32

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from execlog.core.errors import JournalError
from execlog.recorder import segment
from execlog.recorder.segment import FIRST, FRAME, FRAME_WORD, Reader

SIZE = 4096
NUMBER = 7
payloads = st.lists(st.binary(max_size=80), max_size=12)


def frame_of(payload: bytes, index: int, number: int = NUMBER, word: int = FRAME_WORD) -> bytes:
    crc = crc32(payload, segment.seed(number, word >> 24) ^ index)
    return FRAME.pack(word, len(payload), crc, index) + payload


def segment_of(payloads: list[bytes], first: int = 0) -> bytes:
    body = b"".join(frame_of(payload, first + index) for index, payload in enumerate(payloads))
    return (segment.header(NUMBER, first) + body).ljust(SIZE, b"\0")


def read(folder, data: bytes, *, sealed: bool, limit: int = 1000):
    path = segment.path_of(folder, NUMBER)
    path.write_bytes(data)
    reader = Reader(path)
    try:
        return reader.scan(FIRST, limit, sealed=sealed)
    finally:
        reader.close()


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("segments")


class Guarded(mmap.mmap):
    """A mapping that is never searched up to its end: until Python 3.11.5 `find` reads the byte behind it.

    Behind the mapping that byte is nobody's, and to read it ends the process (gh-105235).
    """

    def find(self, sub: bytes, start: int, end: int) -> int:
        assert end < len(self)
        return super().find(sub, start, end)


@pytest.mark.parametrize("sealed", [False, True])
def test_a_search_for_a_frame_ends_before_the_mapping_does(folder, monkeypatch, sealed):
    monkeypatch.setattr(segment.mmap, "mmap", Guarded)
    last = frame_of(b"", 1)
    data = (segment.header(NUMBER, 0) + b"torn" * SIZE)[: SIZE - len(last)] + last
    scan = read(folder, data, sealed=sealed)
    assert [(frame.number, frame.end) for frame in scan.frames] == [(1, SIZE)]


@pytest.mark.parametrize("sealed", [False, True])
@given(payloads=payloads)
def test_what_was_written_is_read(folder, payloads, sealed):
    scan = read(folder, segment_of(payloads), sealed=sealed)
    assert [frame.payload for frame in scan.frames] == payloads
    assert [frame.number for frame in scan.frames] == list(range(len(payloads)))
    assert scan.damaged == []


@given(payloads=payloads, cut=st.integers(FIRST, SIZE), sealed=st.booleans())
@example(payloads=[b"EXL", b"EXL\x01"], cut=FIRST + FRAME.size, sealed=True)
def test_a_torn_tail_is_cut(folder, payloads, cut, sealed):
    whole = segment_of(payloads)
    data = whole[:cut].ljust(SIZE, b"\0")
    kept, position = [], FIRST
    for payload in payloads:
        position += FRAME.size + len(payload)
        if whole[:position].rstrip(b"\0") == data[:position].rstrip(b"\0"):
            kept.append(payload)
    scan = read(folder, data, sealed=sealed)
    assert [frame.payload for frame in scan.frames] == kept
    if not sealed:
        assert scan.damaged == []


@pytest.mark.parametrize("sealed", [False, True])
def test_every_flipped_bit_costs_at_most_the_record_it_hits(folder, sealed):
    payloads = [b"", b"first", b"EXL\x01 looks like a frame", bytes(40), b"last"]
    whole = segment_of(payloads, first=3)
    end = len(whole.rstrip(b"\0"))
    for bit in range(8 * (end + FRAME.size)):
        data = bytearray(whole)
        data[bit // 8] ^= 1 << bit % 8
        scan = read(folder, bytes(data), sealed=sealed)
        found = [frame.payload for frame in scan.frames]
        hit = bit // 8 >= FIRST and bit // 8 < end
        assert set(found) <= set(payloads)
        if sealed or hit is False:
            assert len(payloads) - len(found) == (1 if hit else 0), bit
        if sealed and hit:
            assert any(start <= bit // 8 < stop for start, stop in scan.damaged), bit
        if not sealed and hit:
            # The last record of a living writer may be one that is still being written.
            assert found in ([each for each in payloads if each not in lost] for lost in [{one} for one in payloads])


@given(payloads=payloads, place=st.integers(0, SIZE - 1), garbage=st.binary(min_size=1, max_size=300))
def test_garbage_invents_nothing(folder, payloads, place, garbage):
    whole = segment_of(payloads)
    data = (whole[:place] + garbage + whole[place + len(garbage) :])[:SIZE]
    try:
        found = [(frame.number, frame.payload) for frame in read(folder, data, sealed=True).frames]
    except JournalError:
        found = []
    written = list(enumerate(payloads))
    assert [each for each in found if each not in written] == []
    stop = place + len(garbage)
    ends = [FIRST + sum(FRAME.size + len(each) for each in payloads[: index + 1]) for index in range(len(payloads))]
    untouched = [
        one for one, end in zip(written, ends, strict=True) if end <= place or end - FRAME.size - len(one[1]) >= stop
    ]
    assert [one for one in untouched if one not in found] == []


def test_a_frame_is_only_valid_where_it_was_written(folder):
    other = frame_of(b"of another segment", 0, number=NUMBER + 1)
    scan = read(folder, (segment.header(NUMBER, 0) + other).ljust(SIZE, b"\0"), sealed=True)
    assert scan.frames == []
    assert scan.damaged == [(FIRST, FIRST + len(other))]


def test_a_frame_of_a_later_version_is_read_with_its_version(folder):
    later = frame_of(b"new", 0, word=segment.FRAME_MAGIC | 9 << 24)
    scan = read(folder, (segment.header(NUMBER, 0) + later + frame_of(b"old", 1)).ljust(SIZE, b"\0"), sealed=True)
    assert [(frame.version, frame.payload) for frame in scan.frames] == [(9, b"new"), (1, b"old")]


@pytest.mark.parametrize("data", [b"", b"short", b"execlog\x09".ljust(SIZE, b"x"), b"\x01".ljust(SIZE, b"\0")])
def test_what_is_no_segment_is_refused(folder, data):
    path = segment.path_of(folder, NUMBER)
    path.write_bytes(data)
    with pytest.raises(JournalError):
        Reader(path)


def test_a_segment_that_was_not_begun_is_empty(folder):
    scan = read(folder, bytes(SIZE), sealed=True)
    assert (scan.frames, scan.damaged, scan.end) == ([], [], SIZE)


def test_a_segment_that_is_begun_while_it_is_read_has_its_header(folder):
    path = segment.path_of(folder, NUMBER)
    path.write_bytes(bytes(len(segment_of([b"one"], first=7)) + 100))
    reader = Reader(path)
    assert reader.first is None
    with path.open("r+b") as file:
        file.write(segment_of([b"one"], first=7))
    assert reader.first == 7
    reader.close()
    path.unlink()


def test_records_are_found_behind_a_damaged_header(folder):
    data = bytearray(segment_of([b"one", b"two"]))
    data[3] ^= 0x10
    assert [frame.payload for frame in read(folder, bytes(data), sealed=True).frames] == [b"one", b"two"]


def test_the_limit_is_kept_and_reading_goes_on_there(folder):
    path = segment.path_of(folder, NUMBER)
    path.write_bytes(segment_of([b"a", b"b", b"c"]))
    reader = Reader(path)
    first = reader.scan(FIRST, 2, sealed=True)
    rest = reader.scan(first.end, 2, sealed=True)
    reader.close()
    assert [frame.payload for frame in (*first.frames, *rest.frames)] == [b"a", b"b", b"c"]
    assert rest.end == SIZE


def test_a_full_disk_leaves_no_half_segment(tmp_path, monkeypatch):
    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(segment.os, "posix_fallocate", full)
    with pytest.raises(OSError, match="No space"):
        segment.create(segment.path_of(tmp_path, 1), SIZE)
    assert list(tmp_path.iterdir()) == []
