"""The drain's thread: callers never wait for the store, whatever it does; it gets on once the store does."""

from __future__ import annotations

import threading
import time

import pytest

from execlog.core.errors import StoreError
from execlog.core.filter import Filter
from execlog.core.settings import load
from execlog.ledger import Ledger
from execlog.recorder.home import SERVER, Home
from execlog.recorder.lock import FileLock
from execlog.store.memory import MemoryStore


class Moody(MemoryStore):
    """A store that can be down, or hang."""

    def __init__(self) -> None:
        super().__init__()
        self.error: Exception | None = None
        self.asked = 0
        self.go = threading.Event()
        self.go.set()
        self.meanwhile = lambda: None

    def apply(self, events):
        self.asked += 1
        self.meanwhile()
        assert self.go.wait(30)
        if self.error is not None:
            raise self.error
        return super().apply(events)


@pytest.fixture
def store(monkeypatch):
    made = Moody()
    monkeypatch.setattr("execlog.ledger.open_store", lambda *_: made)
    return made


@pytest.fixture
def ledger(store, tmp_path):
    opened = Ledger.open("memory://", home=tmp_path)
    yield opened
    store.error, store.meanwhile = None, lambda: None
    store.go.set()
    opened.close(5)


def until(happened, seconds: float = 10.0) -> None:
    deadline = time.monotonic() + seconds
    while not happened():
        assert time.monotonic() < deadline
        time.sleep(0.005)


def record(ledger, number: int) -> float:
    """The seconds the slowest of so many calls took."""
    slowest = 0.0
    for _ in range(number):
        start = time.perf_counter()
        ledger.record("a")
        slowest = max(slowest, time.perf_counter() - start)
    return slowest


def test_flush_before_anything_was_recorded(ledger):
    assert ledger.flush(0.0)


def test_a_lock_that_cannot_be_read_fails_no_caller(ledger):
    record(ledger, 1)
    lock = ledger.recorder.journal.folder.parent / SERVER
    lock.mkdir()  # which no process may open as a file
    assert ledger.flush(10)
    assert (ledger.stats().stored, ledger.stats().last_error) == (1, None)


def test_who_records_without_end_leaves_the_draining_to_a_server_all_the_same(ledger, store):
    store.meanwhile = lambda: ledger.record("more")
    record(ledger, 1)
    until(lambda: store.asked > 1)
    server = Home(ledger.root, ledger.clock.now)
    assert server.serve()
    drained = FileLock(ledger.recorder.journal.folder / "drain")
    until(drained.acquire)
    drained.release()
    server.release()


def test_a_store_that_is_down_keeps_nobody_waiting(ledger, store):
    store.error = StoreError("down", retry=True)
    assert record(ledger, 2000) < 1.0
    assert not ledger.flush(0.3)
    assert (ledger.stats().accepted, ledger.stats().stored, ledger.stats().last_error) == (2000, 0, "down")
    store.error = None
    assert ledger.flush(10)
    assert store.count(Filter()) == 2000
    until(lambda: ledger.stats().last_error is None)


def test_a_store_that_hangs_keeps_nobody_waiting(ledger, store):
    store.go.clear()
    assert record(ledger, 2000) < 1.0
    assert not ledger.flush(0.1)
    start = time.monotonic()
    ledger.close(0.3)
    assert time.monotonic() - start < 2.0


@pytest.mark.parametrize("error", [StoreError("down", retry=True), TypeError("a bug")])
def test_a_failing_store_is_not_asked_without_a_pause(ledger, store, error, caplog):
    store.error = error
    record(ledger, 1)
    assert not ledger.flush(1.0)
    assert 2 <= store.asked <= 15
    said = [one.getMessage() for one in caplog.records if str(error) in one.getMessage()]
    assert len(said) == 1


def test_what_waits_for_a_store_that_is_down_is_made_durable(ledger, store):
    store.error = StoreError("down", retry=True)
    record(ledger, 1)
    until(lambda: ledger.recorder.journal._synced == 1)


def test_listeners_hear_of_what_was_stored(ledger):
    heard: list[int] = []
    stop = ledger.feed.listen(heard.append)
    record(ledger, 3)
    assert ledger.flush()
    until(lambda: heard and heard[-1] == 3)
    stop()


def test_with_a_server_nobody_else_drains(store, tmp_path, monkeypatch):
    monkeypatch.setattr("execlog.ledger._slug", lambda _: "shared")
    server = Ledger.open("memory://", home=tmp_path, drains_home=True)
    with Ledger.open("memory://", home=tmp_path) as ledger:
        record(ledger, 100)
        assert ledger.flush(10)
        assert ledger.stats().stored == 100
        assert not ledger._pump._drain._lock.held
        server.close()
        store._closed = False
        record(ledger, 100)
        assert ledger.flush(10)  # it takes over
        assert ledger.stats().stored == 200


def test_a_closed_ledgers_late_records_wait_in_a_journal_of_their_own(ledger, tmp_path):
    record(ledger, 1)
    ledger.close()
    record(ledger, 5)
    (left,) = list(tmp_path.rglob("process.json"))
    assert ledger.recorder.journal.accepted == 5
    assert left.parent == ledger.recorder.journal.folder
    ledger.recorder.detach().close(remove=True)


def test_a_second_server_of_a_home_takes_over_when_the_first_is_gone(tmp_path):
    settings = load(store=f"sqlite:///{tmp_path}/h.db", home=str(tmp_path), drain="server")
    first, second = (Ledger.open(settings=settings, drains_home=True) for _ in range(2))
    with second, Ledger.open(settings=settings) as worker:
        with first:
            worker.record("a")
            until(lambda: second.store.count(Filter()) == 1)
        worker.record("b")
        until(lambda: second.store.count(Filter()) == 2)


def test_the_log_says_when_the_store_is_gone_and_when_it_is_back(ledger, store, caplog):
    store.error = StoreError("away", retry=True)
    ledger.record("a")
    until(lambda: "cannot take records" in caplog.text)
    store.error = None
    until(lambda: "the store takes records again" in caplog.text)
    assert ledger.flush()
    assert caplog.text.count("takes records again") == 1
