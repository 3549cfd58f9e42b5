"""The drain: each record reaches the store once, whatever is wrong with the journal or the store in between."""

from __future__ import annotations

import os
from zlib import crc32

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from execlog.core import codec
from execlog.core.errors import StoreError
from execlog.core.filter import Filter
from execlog.core.model import Event, Status
from execlog.recorder import segment
from execlog.recorder.drain import JournalDrain, decode, quarantine_of
from execlog.recorder.journal import Journal, Limits
from execlog.recorder.segment import FIRST, FRAME, Frame, Reader
from execlog.recorder.sidecar import Owner, read_cursor
from execlog.store.memory import MemoryStore

OWNER = Owner("boot:me", os.getpid(), "here", "boot", 0)
KIB = 1024


def event(number: int, **fields) -> Event:
    return Event(id=f"e{number}", kind="task", at=number + 1, status=Status.SUCCEEDED, ended_at=1, **fields)


def payload(number: int) -> bytes:
    return codec.encode(event(number, name="x" * (number % 60)))


def ids(store) -> set[str]:
    found, cursor = set(), None
    while True:
        page = store.find(Filter(), limit=1000, cursor=cursor)
        found |= {entry.id for entry in page.entries}
        if (cursor := page.next_cursor) is None:
            return found


def empty(drain: JournalDrain, store, *, dead: bool = True) -> int:
    assert drain.claim()
    taken = 0
    while step := drain.step(store, 100, dead=dead):
        taken += step
    return taken


@pytest.fixture
def root(tmp_path):
    (tmp_path / "home" / "journal" / "store").mkdir(parents=True)
    return tmp_path / "home" / "journal" / "store"


@pytest.fixture
def journal(root):
    made = Journal(root / "j", OWNER, Limits(4 * KIB, 1024 * KIB, 0))
    yield made
    made.close(remove=False)


@pytest.fixture
def drain(journal):
    made = JournalDrain(journal.folder)
    yield made
    made.release()


def quarantined(root) -> dict[str, bytes]:
    folder = quarantine_of(root)
    return {path.name: path.read_bytes() for path in folder.iterdir()} if folder.exists() else {}


def test_a_living_journal_is_emptied_as_it_grows(journal, drain):
    store = MemoryStore()
    for number in range(500):
        journal.append(payload(number))
        if number % 7 == 0:
            journal.make_spare()
        if number % 10 == 0:
            empty(drain, store, dead=False)
    empty(drain, store, dead=False)
    assert ids(store) == {f"e{number}" for number in range(500)}
    assert (drain.cursor.stored, drain.cursor.sequence, drain.cursor.damaged, drain.cursor.lost) == (500, 500, 0, 0)
    assert (drain.cursor.number, drain.cursor.offset) == journal.position
    assert read_cursor(journal.folder) == drain.cursor
    assert len(segment.numbers(journal.folder)) <= 2


def test_a_spare_that_is_not_begun_does_not_end_the_segment_before(journal, drain):
    store = MemoryStore()
    while journal.position[1] < 3 * KIB:
        journal.append(payload(journal.accepted))
    journal.make_spare()
    empty(drain, store, dead=False)
    assert segment.numbers(journal.folder) == [1, 2]
    journal.append(payload(journal.accepted))
    empty(drain, store, dead=False)
    assert drain.cursor.stored == journal.accepted == len(ids(store))


@settings(max_examples=30)
@given(batches=st.lists(st.integers(1, 40), max_size=12), lose=st.sets(st.integers(0, 11)))
def test_a_lost_cursor_only_means_replay(tmp_path_factory, batches, lose):
    root = tmp_path_factory.mktemp("home") / "journal" / "store"
    root.mkdir(parents=True)
    journal = Journal(root / "j", OWNER, Limits(4 * KIB, 1024 * KIB, 0))
    store, number = MemoryStore(), 0
    for turn, batch in enumerate(batches):
        for _ in range(batch):
            journal.append(payload(number))
            number += 1
        drain = JournalDrain(journal.folder)
        empty(drain, store, dead=False)
        drain.release()
        if turn in lose:
            (journal.folder / "cursor").write_bytes(b"nonsense")
    drain = JournalDrain(journal.folder)
    empty(drain, store)
    assert ids(store) == {f"e{each}" for each in range(number)}
    assert (drain.cursor.lost, drain.cursor.damaged) == (0, 0)
    assert number == 0 or drain.cursor.sequence == drain.cursor.stored == number
    drain.release()
    journal.close(remove=True)


def test_a_batch_the_store_refuses_is_not_passed_over(journal, drain):
    class Down(MemoryStore):
        down = True

        def apply(self, events):
            if self.down:
                raise StoreError("down", retry=True)
            return super().apply(events)

    store = Down()
    journal.append(payload(0))
    assert drain.claim()
    with pytest.raises(StoreError):
        drain.step(store, 10)
    assert drain.cursor.stored == 0
    store.down = False
    assert empty(drain, store, dead=False) == 1


def test_a_record_no_store_code_can_take_is_kept_aside_and_the_others_stored(root, journal, drain):
    class Picky(MemoryStore):
        def apply(self, events):
            if any(event.id == "e13" for event in events):
                raise TypeError("a bug")
            return super().apply(events)

    store = Picky()
    for number in range(30):
        journal.append(payload(number))
    empty(drain, store)
    assert ids(store) == {f"e{number}" for number in range(30)} - {"e13"}
    assert (drain.cursor.stored, drain.cursor.aside) == (29, 1)
    (kept,) = quarantined(root).values()
    assert payload(13) in kept


def test_a_bug_that_hits_every_record_sets_nothing_aside(root, journal, drain):
    class Broken(MemoryStore):
        def apply(self, events):
            raise TypeError("a bug")

    for number in range(5):
        journal.append(payload(number))
    assert drain.claim()
    with pytest.raises(TypeError):
        drain.step(Broken(), 10)
    assert quarantined(root) == {}
    assert drain.cursor.stored == 0


def test_unknown_versions_are_kept_and_counted(root, journal, drain):
    path = segment.path_of(journal.folder, 1)
    for number in range(3):
        journal.append(payload(number))
    data = bytearray(path.read_bytes())
    position = FIRST + FRAME.size + len(payload(0))
    word = segment.FRAME_MAGIC | 9 << 24
    body = payload(1)
    FRAME.pack_into(data, position, word, len(body), crc32(body, segment.seed(1, 9) ^ 1), 1)
    with path.open("r+b") as file:
        file.write(data)
    store = MemoryStore()
    empty(drain, store)
    empty(drain, store)
    assert ids(store) == {"e0", "e2"}
    assert (drain.cursor.stored, drain.cursor.aside, drain.cursor.lost) == (2, 1, 0)
    ((name, kept),) = quarantined(root).items()
    assert name == "j-00000001.records"
    assert kept[position : position + FRAME.size + len(body)] == data[position : position + FRAME.size + len(body)]


def test_damage_costs_one_record_is_kept_and_counted(root, journal, drain):
    for number in range(10):
        journal.append(payload(number))
    path = segment.path_of(journal.folder, 1)
    reader = Reader(path)
    hit = reader.scan(FIRST, 100, sealed=True).frames[4]
    reader.close()
    with path.open("r+b") as file:
        file.seek(hit.start + FRAME.size + 3)
        file.write(b"\xff")
    store = MemoryStore()
    empty(drain, store)
    assert ids(store) == {f"e{number}" for number in range(10)} - {"e4"}
    assert (drain.cursor.stored, drain.cursor.damaged, drain.cursor.lost) == (9, hit.end - hit.start, 1)
    assert list(quarantined(root)) == ["j-00000001.damaged"]


def test_a_file_that_is_no_segment_is_kept_and_the_rest_read(root, journal, drain):
    while len(segment.numbers(journal.folder)) < 3:
        journal.append(payload(journal.accepted))
    segment.path_of(journal.folder, 2).write_bytes(b"something else entirely")
    store = MemoryStore()
    empty(drain, store)
    cursor = drain.cursor
    assert cursor.damaged == 23
    assert cursor.lost > 0
    assert len(ids(store)) == cursor.stored == journal.accepted - cursor.lost
    assert list(quarantined(root).values()) == [b"something else entirely"]


def test_a_journal_cut_anywhere_starts(root, journal):
    for number in range(8):
        journal.append(payload(number))
    path = segment.path_of(journal.folder, 1)
    whole = path.read_bytes()
    end = journal.position[1]
    for cut in range(0, end + 3, 5):
        (journal.folder / "cursor").unlink(missing_ok=True)
        path.write_bytes(whole[:cut])
        drain, store = JournalDrain(journal.folder), MemoryStore()
        empty(drain, store)
        complete = [n for n in range(8) if FIRST + sum(FRAME.size + len(payload(m)) for m in range(n + 1)) <= cut]
        assert ids(store) == {f"e{number}" for number in complete}
        drain.release()


def test_a_spare_whose_writer_died_is_no_damage(journal, drain):
    store = MemoryStore()
    while journal.position[1] < 3 * KIB:
        journal.append(payload(journal.accepted))
    journal.make_spare()
    assert segment.numbers(journal.folder) == [1, 2]
    assert empty(drain, store) == journal.accepted
    assert drain.cursor.damaged == 0


def test_an_empty_file_that_an_interrupt_left_is_no_damage(journal, drain):
    segment.path_of(journal.folder, 2).touch()
    journal.append(payload(0))
    store = MemoryStore()
    assert empty(drain, store) == 1
    assert drain.cursor.damaged == 0


def test_only_one_drains_at_a_time(journal, drain):
    assert drain.claim()
    other = JournalDrain(journal.folder)
    assert not other.claim()
    drain.release()
    assert other.claim()
    other.release()


def test_fields_that_do_not_fit_are_left_out():
    values = msgspec.msgpack.decode(codec.encode(event(1, rows=3)))
    values[Event.__struct_fields__.index("rows")] = "many"
    values[Event.__struct_fields__.index("duration")] = "1.5"
    found = decode(Frame(codec.VERSION, 0, msgspec.msgpack.encode(values), 0, 0))
    assert (found.id, found.rows, found.duration) == ("e1", None, 1.5)


@given(st.binary(max_size=60))
def test_bytes_that_are_no_event_say_so(data):
    try:
        decode(Frame(codec.VERSION, 0, data, 0, 0))
    except codec.CodecError:
        return
    assert len(msgspec.msgpack.decode(data)) >= 3
