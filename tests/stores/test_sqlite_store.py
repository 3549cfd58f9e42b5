"""What only SQLite can get wrong: locks, poisoned events, forks, interrupted questions, threads that compute."""

import os
import shutil
import sqlite3
import threading
import time
from contextlib import closing

import apsw
import pytest

from execlog.core.codec import decode_event
from execlog.core.errors import StoreError
from execlog.core.filter import Filter
from execlog.core.fold import begin
from execlog.core.model import Error, Event, Status
from execlog.store.base import WHOLE
from execlog.store.preparing import complete
from execlog.store.sqlite import SQLiteStore, connection
from execlog.testing.making import MIDNIGHT


def ended(number, **fields):
    said = {"id": f"run-{number:05d}", "kind": "job", "at": MIDNIGHT + number, "subject": "a"}
    return Event(**{**said, "status": Status.SUCCEEDED, **fields})


@pytest.fixture
def store(tmp_path):
    made = SQLiteStore(tmp_path / "execlog.db", busy_timeout=0.2)
    yield made
    made.close()


def test_a_locked_database_is_worth_another_try(store):
    other = apsw.Connection(str(store.path))
    other.execute("begin immediate")
    with pytest.raises(StoreError) as refused:
        store.apply([ended(1)])
    assert refused.value.retry
    other.execute("rollback")
    assert store.apply([ended(1)]).inserted == 1
    other.close()


def test_a_file_that_cannot_be_opened_for_writing_is_worth_another_try(store, monkeypatch):
    # As SQLite does by itself where the system refuses to open a file for writing.
    reading = apsw.SQLITE_OPEN_READONLY
    open_anyhow = apsw.Connection
    with monkeypatch.context() as patched:
        patched.setattr(apsw, "Connection", lambda path, **how: open_anyhow(path, flags=reading, **how))
        with pytest.raises(StoreError, match="cannot be opened for writing") as refused:
            store.apply([ended(1)])
    assert refused.value.retry
    assert store.apply([ended(1)]).inserted == 1


def test_readers_wait_for_no_writer(store):
    store.apply([ended(1)])
    other = apsw.Connection(str(store.path))
    other.execute("begin immediate; delete from executions")
    assert store.count(Filter()) == 1
    assert store.get("run-00001") is not None
    other.execute("rollback")
    other.close()


def test_a_full_disk_is_worth_another_try_and_leaves_nothing_behind(store):
    store.apply([ended(number) for number in range(100)])
    with store.connections.write() as session:
        pages = session.value("pragma page_count")
        session.value(f"pragma max_page_count = {pages}")
    with pytest.raises(StoreError) as refused:
        store.apply([ended(number, params={"x": "y" * 5_000}) for number in range(100, 300)])
    assert refused.value.retry
    assert store.count(Filter()) == 100
    assert store.stats(Filter())[0].bucket.total == 100


def test_an_event_that_fits_no_column_is_set_aside_and_the_rest_is_kept(store):
    poison = ended(5, rows="many")
    applied = store.apply([ended(1), ended(2), poison, ended(3), ended(4)])
    assert (applied.inserted, applied.quarantined) == (4, 1)
    assert store.stats(Filter())[0].bucket.total == 4
    assert store.check()["quarantined"] == "1"
    with store.connections.read() as session:
        (reason, data) = session.rows("select reason, event from quarantine")[0]
    assert "Mismatch" in reason or "Constraint" in reason
    with pytest.raises(Exception, match=r"rows|int"):
        decode_event(data)
    assert [change.id for change in store.changes(0)] == ["run-00001", "run-00002", "run-00003", "run-00004"]


def test_a_question_that_takes_too_long_is_interrupted(tmp_path):
    store = SQLiteStore(tmp_path / "execlog.db", read_timeout=0.05)
    endless = "with recursive n (i) as (select 1 union all select i + 1 from n) select count(*) from n"
    began = time.monotonic()
    with pytest.raises(StoreError, match="time-out") as refused, store.connections.read() as session:
        session.value(endless)
    assert time.monotonic() - began < 5
    assert not refused.value.retry
    assert store.count(Filter()) == 0
    store.close()


def test_a_damaged_file_is_reported(tmp_path):
    path = tmp_path / "execlog.db"
    store = SQLiteStore(path)
    store.apply([ended(number, params={"x": "y" * 500}) for number in range(2_000)])
    store.close()
    connection = apsw.Connection(str(path))
    connection.execute("pragma wal_checkpoint(truncate)")
    connection.close()
    with path.open("r+b") as file:
        for page in range(4, 60):
            file.seek(page * 8_192)
            file.write(b"\xaa" * 4_000)
    with pytest.raises(StoreError) as refused:
        SQLiteStore(path).check()
    assert not refused.value.retry


def test_a_child_of_a_fork_writes_over_connections_of_its_own(store):
    store.apply([ended(1)])
    assert store.count(Filter()) == 1
    child = os.fork()
    if child == 0:
        try:
            store.apply([ended(2)])
            os._exit(0 if store.count(Filter()) == 2 else 1)
        except BaseException:  # noqa: BLE001 - the child must end here whatever happens
            os._exit(2)
    assert os.waitpid(child, 0)[1] == 0
    store.apply([ended(3)])
    assert store.count(Filter()) == 3
    assert store.check()["integrity"] == "ok"


@pytest.mark.parametrize("apart", [1, 30_000, 60_000, 250_000, 2_000_000])
def test_what_was_cut_by_a_cursor_within_one_second_of_errors_is_whole(store, apart):
    told = [
        ended(number, at=MIDNIGHT + number * apart, status=Status.FAILED, error=Error("E", f"timeout {number}"))
        for number in range(500)
    ]
    store.apply(told[::-1])
    late = MIDNIGHT + 500 * apart + 3 * 2**20
    store.apply([ended(1_000, at=late, status=Status.FAILED, error=Error("E", "timeout late"))])
    for sort, expected in (("newest", list(range(499, -1, -1))), ("oldest", list(range(500)))):
        seen, cursor = [], None
        while True:
            page = store.find(Filter(text="TIMEOUT", sort=sort), limit=37, cursor=cursor)
            seen += [entry.id for entry in page.entries]
            cursor = page.next_cursor
            if cursor is None:
                break
        wanted = [f"run-{number:05d}" for number in expected]
        assert seen == (["run-01000", *wanted] if sort == "newest" else [*wanted, "run-01000"])


def test_the_text_of_an_error_that_changes_is_found_anew(store):
    store.apply([ended(1, status=Status.CRASHED, error=Error("Gone", "the process vanished"))])
    store.apply([ended(1, status=Status.FAILED, error=Error("E", "disk quota"))])
    assert store.count(Filter(text="vanished")) == 0
    assert [entry.id for entry in store.find(Filter(text="disk quota")).entries] == ["run-00001"]


def test_many_appended_durations_are_made_compact(store):
    for first in range(0, 34_000, 1_000):
        store.apply([ended(number, duration=0.5, subject=f"s{number % 400}") for number in range(first, first + 1_000)])
    with store.connections.read() as session:
        longest = session.value("select max(length(sketch) - instr(sketch, '+')) from buckets")
    assert longest <= 4_000
    assert store.stats(Filter(kind="job", subject="s7"))[0].bucket.timed == 85
    assert store.stats(Filter())[0].bucket.timed == 34_000


def test_a_busy_main_thread_does_not_starve_the_writer(store):
    """One hand-over of the interpreter a row would take 5 ms a row."""
    batches = [[ended(number) for number in range(first, first + 1_000)] for first in range(0, 5_000, 1_000)]
    took = []

    def drain():
        began = time.monotonic()
        for batch in batches:
            store.apply(batch)
        took.append(time.monotonic() - began)

    thread = threading.Thread(target=drain)
    thread.start()
    value = 1
    while thread.is_alive():
        for _ in range(10_000):
            value = value * 3 & 0xFFFF
    assert took[0] < 15
    assert store.count(Filter()) == 5_000


@pytest.mark.parametrize("number", [1, 7, 30, 450, 1_003])
def test_any_number_of_executions_of_any_shape_is_written_whole(store, number):
    """Rows are written many to a statement, plain ones by statements of their own, the last one filled up."""
    shapes = ({}, {"status": Status.FAILED, "error": Error("E", "no \u4fa1")}, {"tags": {"n": "1"}}, {"total": 3})
    told = [ended(n, duration=n / 7, params={"n": n}, **shapes[n % 5 % 4]) for n in range(number)]
    assert store.apply(told).inserted == number
    assert store.apply([*told, ended(number)]).inserted == 1
    for event in told[:40] + told[-40:]:
        assert store.get(event.id) == begin(complete(event))
    assert store.stats(Filter())[0].bucket.total == store.count(Filter()) == number + 1


def test_deleting_more_than_one_transaction_takes_is_complete(store):
    for first in range(0, 2_500, 500):
        store.apply([ended(number, duration=1.0) for number in range(first, first + 500)])
    assert store.delete(Filter(until=MIDNIGHT + 2_400)) == 2_400
    assert store.count(Filter()) == 100
    assert store.stats(Filter(kind="job", subject="a"))[0].bucket.timed == 100
    with store.connections.read() as session:
        assert session.value("select count(*) from buckets where succeeded < 0 or timed < 0") == 0


def test_the_whole_file_may_be_checked_however_long_that_takes(tmp_path, monkeypatch):
    monkeypatch.setattr(connection, "_PROGRESS_STEPS", 10)
    with closing(SQLiteStore(tmp_path / "execlog.db", read_timeout=0.0)) as store:
        store.apply([ended(number) for number in range(50)])
        with pytest.raises(StoreError, match="time-out"):
            store.find(Filter())
        assert store.check()["integrity"] == "ok"


def test_another_program_may_read_the_file_after_a_kill_and_close_it_last(tmp_path):
    """It moves the write-ahead log into the file then; nothing may depend on who does that."""
    left = tmp_path / "left.db"
    with closing(SQLiteStore(tmp_path / "live.db")) as store:
        store.apply([ended(number) for number in range(500)])
        for suffix in ("", "-wal"):  # as a kill leaves them
            shutil.copy(tmp_path / f"live.db{suffix}", f"{left}{suffix}")
    with closing(sqlite3.connect(left)) as other:
        assert other.execute("select count(*) from executions").fetchone() == (500,)
    assert not left.with_name("left.db-wal").exists()
    with closing(SQLiteStore(left)) as store:
        assert store.stats(Filter())[0].bucket.total == 500
        assert store.check()["integrity"] == "ok"


@pytest.mark.parametrize(
    ("written", "found"),
    [(b"marked", b"mar\xffed"), (b'{"metadata":', b'{"metadata";'), (b"jobsucceeded", b"jobsucseeded")],
    ids=["no UTF-8", "no JSON", "no status"],
)
def test_what_cannot_be_read_as_it_was_written_is_refused_and_says_what_to_do(tmp_path, written, found):
    path = tmp_path / "execlog.db"
    with closing(SQLiteStore(path)) as store:
        store.apply([ended(1, metadata={"text": "marked"})])
    data = path.read_bytes()
    assert written in data
    path.write_bytes(data.replace(written, found))
    with closing(SQLiteStore(path)) as store, pytest.raises(StoreError, match=r"is damaged .* move it away") as refused:
        store.find(Filter(), parts=WHOLE)
    assert not refused.value.retry


@pytest.mark.parametrize(
    ("written", "found"),
    [(b"coalesce(duration, max(", b"coalesce(duration, mix("), (b"number integer", b"nunber integer")],
    ids=["no function", "no column"],
)
def test_a_schema_that_was_damaged_is_refused_and_says_what_to_do(tmp_path, written, found):
    path = tmp_path / "execlog.db"
    with closing(SQLiteStore(path)) as store:
        store.apply([ended(1)])
    data = path.read_bytes()
    assert written in data
    path.write_bytes(data.replace(written, found))

    def go_on() -> None:
        with closing(SQLiteStore(path)) as store:
            store.apply([ended(2)])
            store.find(Filter())

    with pytest.raises(StoreError, match=r"is damaged .* move it away"):
        go_on()


def test_a_batch_of_nothing_that_fails_says_so(tmp_path, monkeypatch):
    def fail(*_: object) -> None:
        raise apsw.SQLError("integer overflow")

    with closing(SQLiteStore(tmp_path / "execlog.db")) as store:
        monkeypatch.setattr("execlog.store.sqlite.store.take", fail)
        with pytest.raises(StoreError, match="integer overflow"):
            store.apply([])
