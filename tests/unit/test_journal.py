"""The journal: what `append` returned True for is there, whoever interrupts whom; what is shed is counted."""

from __future__ import annotations

import dis
import errno
import gc
import itertools
import os
import signal
import sys
import threading
import time
from pathlib import Path
from types import SimpleNamespace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from execlog.recorder import journal as journals
from execlog.recorder import segment
from execlog.recorder.journal import Journal, JournalClosedError, Limits, Worth
from execlog.recorder.segment import FIRST, Reader
from execlog.recorder.sidecar import Owner, read_cursor, read_drops, read_owner

OWNER = Owner("boot:me", os.getpid(), "here", "boot", 0)
KIB = 1024


def begin(folder, *, size: int = 4 * KIB, cap: int = 1024 * KIB, min_free: int = 0) -> Journal:
    return Journal(folder, OWNER, Limits(size, cap, min_free))


def stored(folder) -> list[bytes]:
    """Every record in the segments, in order, and the proof that their numbers have no gap."""
    found, expected = [], 0
    for path in (segment.path_of(folder, number) for number in segment.numbers(folder)):
        if segment.is_begun(path):
            reader = Reader(path)
            scan = reader.scan(FIRST, 10**9, sealed=True)
            reader.close()
            assert scan.damaged == []
            assert reader.first == expected
            assert [frame.number for frame in scan.frames] == [*range(expected, expected + len(scan.frames))]
            expected += len(scan.frames)
            found += [frame.payload for frame in scan.frames]
    return found


def name_of(fd: int) -> str:
    return str(Path(f"/proc/self/fd/{fd}").readlink())


@pytest.fixture
def journal(tmp_path):
    made = begin(tmp_path / "j")
    yield made
    made.close(remove=False)


@settings(max_examples=50)
@given(records=st.lists(st.binary(max_size=9 * KIB), max_size=20))
def test_records_of_any_size_are_kept_in_order(tmp_path_factory, records):
    folder = tmp_path_factory.mktemp("j") / "j"
    journal = begin(folder)
    assert all(journal.append(record) for record in records)
    assert stored(folder) == records
    assert journal.accepted == len(records)
    journal.close(remove=True)
    assert not folder.exists()


def test_a_new_journal_says_who_writes_it(journal):
    assert read_owner(journal.folder) == OWNER
    assert read_cursor(journal.folder).stored == 0
    assert read_drops(journal.folder) == (0, 0, 0)
    assert [path.name for path in journal.folder.parent.iterdir()] == ["j"]


def test_a_spare_is_made_ahead_and_used(journal):
    journal.append(bytes(3 * KIB))
    journal.make_spare()
    journal.make_spare()
    assert segment.numbers(journal.folder) == [1, 2]
    assert not segment.is_begun(segment.path_of(journal.folder, 2))
    journal.append(bytes(2 * KIB))
    assert segment.is_begun(segment.path_of(journal.folder, 2))
    assert segment.numbers(journal.folder) == [1, 2]


def test_a_spare_too_small_for_a_record_is_passed_over(journal):
    journal.append(bytes(3 * KIB))
    journal.make_spare()
    assert journal.append(b"x" * 20 * KIB)
    assert journal.append(b"small")
    assert segment.numbers(journal.folder) == [1, 2, 3, 4]
    assert stored(journal.folder) == [bytes(3 * KIB), b"x" * 20 * KIB, b"small"]


def test_a_closed_journal_takes_nothing_more(journal):
    journal.append(b"one")
    end = journal.seal()
    with pytest.raises(JournalClosedError):
        journal.append(b"two")
    assert journal.position == end
    assert stored(journal.folder) == [b"one"]


def test_several_threads_share_one_journal(journal):
    def write(name: int) -> None:
        for number in range(3000):
            assert journal.append(b"%d:%d" % (name, number))

    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    try:
        threads = [threading.Thread(target=write, args=(name,)) for name in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    finally:
        sys.setswitchinterval(interval)
    found = stored(journal.folder)
    assert len(found) == len(set(found)) == 12_000
    for name in range(4):
        mine = [record for record in found if record.startswith(b"%d:" % name)]
        assert mine == [b"%d:%d" % (name, number) for number in range(3000)]


def test_signal_handlers_record_whatever_they_interrupt(tmp_path):
    journal = begin(tmp_path / "j", size=16 * KIB, cap=2**30)
    said, depth, deepest = [], 0, 0

    def handle(*_):
        nonlocal depth, deepest
        if depth < 3:
            depth += 1
            deepest = max(depth, deepest)
            record = b"signal %d." % next(numbers)
            assert journal.append(record * 30)
            said.append(record * 30)
            depth -= 1

    numbers = itertools.count()
    before = signal.signal(signal.SIGALRM, handle)
    signal.setitimer(signal.ITIMER_REAL, 0.0002, 0.0002)
    written, deadline = [], time.monotonic() + 1.0
    try:
        while time.monotonic() < deadline:
            record = b"main %d" % len(written)
            assert journal.append(record)
            written.append(record)
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
    found = stored(journal.folder)
    assert len(said) > 100
    assert [record for record in found if record.startswith(b"main")] == written
    assert {record for record in found if record.startswith(b"signal")} == set(said)
    assert len(found) == len(written) + len(said)
    assert deepest > 1
    journal.close(remove=True)


def test_a_keyboard_interrupt_anywhere_leaves_the_journal_usable(journal):
    def interrupt(*_):
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGALRM, interrupt)
    acknowledged, struck, deadline = [], 0, time.monotonic() + 1.0
    number = 0
    try:
        while time.monotonic() < deadline:
            try:
                signal.setitimer(signal.ITIMER_REAL, 0.00001 + (number % 37) * 0.000003)
                while True:
                    number += 1
                    record = b"%d" % number * 40
                    if journal.append(record):
                        acknowledged.append(record)
            except KeyboardInterrupt:
                struck += 1
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
    assert struck > 100
    found = stored(journal.folder)
    assert set(acknowledged) <= set(found)
    assert len(found) == len(set(found))
    other = threading.Thread(target=journal.append, args=(b"after",))
    other.start()
    other.join(5)
    assert stored(journal.folder)[-1] == b"after"


def test_finalizers_record_while_something_is_recorded(journal):
    count = 0

    class Cyclic:
        def __init__(self) -> None:
            self.me = self

        def __del__(self) -> None:
            nonlocal count
            assert journal.append(b"finalizer %d" % count)
            count += 1

    threshold = gc.get_threshold()
    gc.set_threshold(1)
    try:
        for number in range(2000):
            Cyclic()
            assert journal.append(b"main %d" % number)
    finally:
        gc.set_threshold(*threshold)
    gc.collect()
    found = stored(journal.folder)
    assert count == 2000
    assert [record for record in found if record.startswith(b"main")] == [b"main %d" % n for n in range(2000)]
    assert len(found) == len(set(found)) == 4000


@pytest.mark.parametrize("function", [Journal.append, Journal._set_limit, Journal._begin_segment])
def test_nothing_can_get_between_the_last_look_and_the_store(function):
    """The interpreter lets others in at calls and backward jumps only; none may stand between look and store."""
    steps = list(dis.get_instructions(function))
    stores = [place for place, step in enumerate(steps) if step.opname == "STORE_ATTR" and step.argval == "_state"]
    assert stores
    for store in stores:
        look = max(place for place in range(store) if steps[place].opname == "IS_OP")
        between = {step.opname for step in steps[look:store]}
        assert not {name for name in between if "CALL" in name or "BACKWARD" in name or "BUILD" in name}, between
        assert between <= {
            "IS_OP", "LOAD_FAST", "LOAD_FAST_LOAD_FAST", "LOAD_FAST_BORROW", "LOAD_FAST_BORROW_LOAD_FAST_BORROW",
            "LOAD_GLOBAL", "STORE_SUBSCR", "STORE_ATTR", "POP_JUMP_IF_FALSE", "POP_JUMP_FORWARD_IF_FALSE", "NOT_TAKEN",
        }, between  # fmt: skip


def fill(journal: Journal, worth: Worth, size: int = 1000) -> int:
    taken = 0
    while journal.append(bytes(size), worth):
        taken += 1
    return taken


def test_progress_is_shed_first_then_starts_outcomes_last(tmp_path):
    journal = begin(tmp_path / "j", size=4 * KIB, cap=64 * KIB)
    progress, starts, outcomes = (fill(journal, worth) for worth in Worth)
    assert min(progress, starts, outcomes) > 0
    assert journal.dropped == {"progress": 1, "start": 1, "outcome": 1}
    assert read_drops(journal.folder) == (1, 1, 1)
    assert len(stored(journal.folder)) == journal.accepted == progress + starts + outcomes
    assert journal.size() <= 64 * KIB
    assert 0.75 * 64 <= progress <= 0.9 * 64
    journal.close(remove=True)


def test_what_is_shed_is_taken_again_when_there_is_room(tmp_path):
    journal = begin(tmp_path / "j", size=4 * KIB, cap=16 * KIB)
    fill(journal, Worth.OUTCOME)
    for number in segment.numbers(journal.folder)[:-1]:
        segment.path_of(journal.folder, number).unlink()
    journal.reassess()
    assert journal.append(bytes(1000), Worth.PROGRESS)
    journal.close(remove=True)


def test_even_the_smallest_cap_lets_the_drain_get_on(tmp_path):
    journal = begin(tmp_path / "j", size=4 * KIB, cap=1)
    assert fill(journal, Worth.OUTCOME) > 6
    assert len(segment.numbers(journal.folder)) == 2
    journal.close(remove=True)


def test_shedding_costs_callers_little(tmp_path):
    journal = begin(tmp_path / "j", size=4 * KIB, cap=8 * KIB)
    fill(journal, Worth.OUTCOME)
    start = time.process_time()
    for _ in range(20_000):
        journal.append(bytes(5000))
    assert (time.process_time() - start) / 20_000 < 20e-6
    assert journal.dropped["outcome"] == 20_001
    journal.close(remove=True)


def test_a_disk_that_fails_sheds_and_counts(tmp_path, monkeypatch, caplog):
    journal = begin(tmp_path / "j")

    def fail(*_):
        raise OSError(errno.EIO, "Input/output error")

    monkeypatch.setattr(segment, "create", fail)
    monkeypatch.setattr(journals, "_LOOK_SECONDS", 0.0)
    taken = fill(journal, Worth.OUTCOME)
    assert not journal.append(bytes(1000))
    assert (taken, journal.accepted) == (4, 4)
    assert read_drops(journal.folder) == (0, 0, 2)
    assert caplog.text.count("Input/output error") == 1
    monkeypatch.undo()
    journal.reassess()
    assert journal.append(bytes(1000))
    journal.close(remove=True)


def disk(monkeypatch, *, size: int, free: int) -> None:
    """Let every disk seem to be of this size."""
    seen = SimpleNamespace(f_frsize=1, f_blocks=size, f_bavail=free)
    monkeypatch.setattr(journals.os, "statvfs", lambda _: seen)


def test_too_little_free_space_sheds(tmp_path, monkeypatch, caplog):
    disk(monkeypatch, size=2**40, free=2**30)
    journal = begin(tmp_path / "j", min_free=2**31)
    assert fill(journal, Worth.OUTCOME) == 4
    assert segment.numbers(journal.folder) == [1]
    assert journal.is_shedding
    for _ in range(3):
        journal.reassess()
    assert caplog.text.count("drops records, the journal cannot grow") == 1
    assert "the disk is nearly full (journal_min_free)" in caplog.text
    journal.close(remove=True)


def test_of_a_small_disk_a_tenth_is_left_free(tmp_path, monkeypatch):
    disk(monkeypatch, size=1024 * KIB, free=200 * KIB)
    journal = begin(tmp_path / "j", min_free=2**31)
    journal.reassess()
    assert not journal.is_shedding
    disk(monkeypatch, size=1024 * KIB, free=100 * KIB)
    journal.reassess()
    assert journal.is_shedding
    journal.close(remove=True)


def test_shedding_starts_is_said_and_not_only_counted(tmp_path, caplog):
    journal = begin(tmp_path / "j", size=4 * KIB, cap=64 * KIB)
    fill(journal, Worth.START)
    assert journal.append(bytes(1000), Worth.OUTCOME)
    assert caplog.text.count("drops records, the journal cannot grow") == 1
    assert "it is nearly at its cap (journal_cap)" in caplog.text
    journal.close(remove=True)


def test_sync_makes_files_and_names_durable_once(journal, monkeypatch):
    files, folders = [], []
    monkeypatch.setattr(journals.os, "fdatasync", lambda fd: files.append(name_of(fd)))
    monkeypatch.setattr(segment.os, "fsync", lambda fd: folders.append(name_of(fd)))
    journal.append(b"one")
    journal.sync()
    journal.sync()
    folder = journal.folder
    assert files == [str(folder / "00000001.seg"), str(folder / "process.json")]
    assert folders == [str(each) for each in (folder, *list(folder.parents)[:4])]
    files.clear()
    folders.clear()
    journal.append(bytes(5 * KIB))
    segment.path_of(folder, 1).unlink()  # the store has it, and the drain dropped it
    journal.sync()
    assert (files, folders) == ([str(folder / "00000002.seg")], [str(folder)])


def test_after_a_failed_sync_all_pages_are_written_again(journal, monkeypatch):
    journal.append(bytes(3 * KIB))
    fdatasync, dirtied = os.fdatasync, []

    def fail(_):
        raise OSError(errno.EIO, "Input/output error")

    monkeypatch.setattr(journals.os, "fdatasync", fail)
    with pytest.raises(OSError, match="Input"):
        journal.sync()
    sync_file = journals._sync_file
    monkeypatch.setattr(journals.os, "fdatasync", fdatasync)
    monkeypatch.setattr(
        journals, "_sync_file", lambda path, **how: (dirtied.append(how["dirty_first"]), sync_file(path, **how))
    )
    journal.sync()
    journal.append(b"more")
    journal.sync()
    assert dirtied == [True, False, False]
    assert stored(journal.folder) == [bytes(3 * KIB), b"more"]


def test_a_journal_that_cannot_be_made_leaves_nothing(tmp_path, monkeypatch):
    def fail(*_):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(segment, "create", fail)
    with pytest.raises(OSError, match="No space"):
        begin(tmp_path / "j")
    assert list(tmp_path.iterdir()) == []
