"""Adoption: journals of the dead are emptied, what they left open is crashed, what they lost is noted once."""

from __future__ import annotations

import os

import pytest

from execlog.core import codec
from execlog.core.errors import StoreError
from execlog.core.filter import Filter
from execlog.core.model import Event, Item, Status
from execlog.recorder import home as homes
from execlog.recorder.crash import mark_crashed
from execlog.recorder.home import Home, Losses
from execlog.recorder.journal import Journal, Limits, Worth
from execlog.recorder.lease import Lease
from execlog.recorder.presence import Presence, is_shared_between_hosts
from execlog.recorder.sidecar import Owner
from execlog.store.memory import MemoryStore

SECOND = 1_000_000


class Clock:
    """A clock that stands still until it is told."""

    def __init__(self) -> None:
        self.at = 1_700_000_000 * SECOND

    def now(self) -> int:
        return self.at

    def monotonic(self) -> float:
        return self.at / SECOND


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
def root(tmp_path):
    (tmp_path / "journal" / "store").mkdir(parents=True)
    return tmp_path / "journal" / "store"


@pytest.fixture
def home(root, clock):
    made = Home(root, clock.now)
    yield made
    made.release()


def leave(root, name: str, events: list[Event], *, cap: int = 2**20, progress: int = 0) -> Journal:
    """The journal of a process that died, or is about to."""
    owner = Owner(f"boot:{name}", os.getpid(), "here", "boot", 0)
    journal = Journal(root / name, owner, Limits(4096, cap, 0))
    for event in events:
        assert journal.append(codec.encode(event))
    for _ in range(progress):
        journal.append(bytes(1000), Worth.PROGRESS)
    return journal


def running(id: str, origin: str, at: int = 5) -> Event:
    item = Item(key="a", status=Status.RUNNING, at=at)
    return Event(id=id, kind="task", at=at, status=Status.RUNNING, started_at=at, origin=origin, items=(item,))


def test_a_dead_journal_is_adopted_and_removed(root, home, clock):
    leave(root, "one", [running("r", "boot:one")]).close(remove=False)
    os.utime(root / "one" / "alive", (1_600_000_000, 1_600_000_000))
    store = MemoryStore()
    assert home.visit(store, 100, own=None, everyone=False) == 1
    crashed = store.get("r")
    assert crashed is not None
    assert (crashed.status, crashed.ended_at) == (Status.CRASHED, 1_600_000_000 * SECOND)
    assert crashed.items[0].status is Status.CRASHED
    assert home.journals() == []
    assert home.losses() == Losses()


def test_a_living_journal_is_left_alone_unless_everybody_is_served(root, home):
    journal = leave(root, "one", [running("r", "boot:one")])
    store = MemoryStore()
    assert home.visit(store, 100, own=None, everyone=False) == 0
    assert home.visit(store, 100, own=None, everyone=True) == 1
    assert store.get("r").status is Status.RUNNING
    assert home.visit(store, 100, own=root / "one", everyone=True) == 0
    journal.close(remove=True)


def test_a_crash_is_marked_again_when_the_adopter_died_in_between(root, home):
    leave(root, "one", [running(f"r{number}", "boot:one") for number in range(300)]).close(remove=False)

    class Dies(MemoryStore):
        left = 5

        def apply(self, events):
            self.left -= 1
            if not self.left:
                raise StoreError("gone", retry=True)
            return super().apply(events)

    store = Dies()
    for _ in range(3):
        try:
            home.visit(store, 100, own=None, everyone=False)
        except StoreError:
            assert home.journals()
    assert store.count(Filter(statuses=(Status.CRASHED,))) == 300
    assert home.journals() == []


def test_what_a_journal_shed_is_noted_once(root, home):
    for name in ("one", "two"):
        leave(root, name, [running(name, "boot:" + name)], cap=8192, progress=20).close(remove=False)
    before = [homes.read_drops(folder) for folder in home.journals()]
    store = MemoryStore()
    home.visit(store, 100, own=None, everyone=False)
    shed = sum(each[0] for each in before)
    assert shed > 10
    assert home.losses().shed == (shed, 0, 0)
    assert home.losses().aside == 40 - shed  # bytes that are no events
    assert Home(root, lambda: 0).losses() == home.losses()


def test_an_adopter_that_dies_between_note_and_removal_counts_once(root, home, monkeypatch):
    leave(root, "one", [], cap=8192, progress=20).close(remove=False)
    with monkeypatch.context() as patch:
        patch.setattr(homes, "remove_folder", lambda _: None)
        home.visit(MemoryStore(), 100, own=None, everyone=False)
    once = home.losses()
    home.visit(MemoryStore(), 100, own=None, everyone=False)
    assert home.losses() == once
    assert home.journals() == []


def test_one_unreadable_journal_does_not_keep_the_others_waiting(root, home, monkeypatch, caplog):
    for name in ("one", "two"):
        leave(root, name, [running(name, "boot:" + name)]).close(remove=False)
    adopt = Home._adopt

    def fail(self, folder, *args):
        if folder.name == "one":
            raise PermissionError(13, "Permission denied")
        return adopt(self, folder, *args)

    monkeypatch.setattr(Home, "_adopt", fail)
    store = MemoryStore()
    assert home.visit(store, 100, own=None, everyone=False) == 1
    assert store.get("two") is not None
    assert "Permission denied" in caplog.text


def test_a_long_adoption_is_done_in_pieces(root, home):
    events = [Event(id=f"e{number}", kind="task", at=1, status=Status.SUCCEEDED) for number in range(30)]
    leave(root, "one", events).close(remove=False)
    store, visits = MemoryStore(), 0
    while home.visit(store, 10, own=None, everyone=False, seconds=0.0):
        visits += 1
    assert visits == 3
    assert store.count(Filter()) == 30
    assert home.journals() == []


def test_half_made_and_half_removed_journals_are_swept(root, home, clock):
    (root / ".gone-a").mkdir()
    (root / ".new-b").mkdir()
    making = leave(root, "c", [])
    (root / "c").rename(root / ".new-c")
    clock.at = int((root / ".new-b").stat().st_mtime * SECOND) + 3601 * SECOND
    assert home.journals() == []
    home.sweep()
    assert [path.name for path in root.iterdir()] == [".new-c"]
    making.close(remove=False)


def test_only_one_serves(root, home):
    assert home.serve()
    other = Home(root, lambda: 0)
    assert not other.serve()
    assert other.served_by_another()
    assert not home.served_by_another()
    home.release()
    assert not other.served_by_another()


@pytest.mark.parametrize(
    ("url", "shared"),
    [
        ("memory://", False),
        ("sqlite:////a.db", False),
        ("file:///a", False),
        ("postgresql://h/d", True),
        ("redis://h", True),
    ],
)
def test_which_stores_hosts_share(url, shared):
    assert is_shared_between_hosts(url) is shared


def far(store: MemoryStore, clock: Clock, id: str = "far") -> None:
    """A process on another host begins something, and says that it is alive."""
    store.attend(f"elsewhere:{id}", seconds=30)
    store.apply([running(id, f"elsewhere:{id}", at=clock.now())])


def test_elsewhere_a_process_is_crashed_when_its_heartbeat_stops(home, clock):
    store = MemoryStore(clock)
    home.presence = Presence(wanted=True, monotonic=clock.monotonic)
    far(store, clock)
    for _ in range(29):
        home.judge(store)
        clock.at += SECOND
        assert store.get("far").status is Status.RUNNING
    for _ in range(35):  # missed for half a lease more, lest it was the store's clock
        home.judge(store)
        clock.at += SECOND
    assert store.get("far").status is Status.CRASHED


def test_after_an_outage_everybody_gets_a_lease_to_be_heard(home, clock):
    store = MemoryStore(clock)
    home.presence = Presence(wanted=True, monotonic=clock.monotonic)
    home.judge(store)
    far(store, clock)
    clock.at += 3600 * SECOND  # the store was down
    home.presence.lost_touch()
    home.judge(store)
    store.attend("elsewhere:far", seconds=30)
    clock.at += 11 * SECOND
    home.judge(store)
    assert store.get("far").status is Status.RUNNING


def test_a_journal_here_is_judged_by_its_lock_alone(root, home, clock):
    store = MemoryStore(clock)
    home.presence = Presence(wanted=True, monotonic=clock.monotonic)
    journal = leave(root, "one", [running("r", "boot:one")])
    home.visit(store, 100, own=None, everyone=True)
    assert "boot:one" not in store.absent()
    for _ in range(10):
        home.judge(store)
        clock.at += 11 * SECOND
    assert "boot:one" in store.absent()  # stopped for long
    assert store.get("r").status is Status.RUNNING
    journal.close(remove=False)
    home.visit(store, 100, own=None, everyone=True)
    assert store.get("r").status is Status.CRASHED
    assert store.absent() == []


def test_what_was_told_of_under_a_lease_is_crashed_when_it_runs_out(home, clock):
    store = MemoryStore(clock)
    began = clock.at
    leased = running("leased", Lease.beginning(began, 60).origin, at=began)
    renewed = running("renewed", Lease.beginning(began, 60).origin, at=began)
    store.apply([leased, renewed, running("local", "boot:one", at=began)])
    clock.at += 59 * SECOND
    home.end_leases(store)
    assert {one.status for one in store.find(Filter()).entries} == {Status.RUNNING}
    heartbeat = Event(id="renewed", kind="task", at=clock.at, origin=Lease.beginning(clock.at, 60).origin)
    store.apply([heartbeat])
    clock.at += SECOND
    home.end_leases(store)
    assert {one.id: one.status for one in store.find(Filter()).entries} == {
        "leased": Status.CRASHED,
        "renewed": Status.RUNNING,
        "local": Status.RUNNING,
    }
    crashed = store.get("leased")
    assert "nothing was heard of it within its lease of 60 s" in crashed.error.message
    assert (crashed.ended_at, crashed.items[0].status) == (began, Status.CRASHED)
    store.apply([Event(id="leased", kind="task", at=began + 1, status=Status.SUCCEEDED)])
    assert store.get("leased").status is Status.SUCCEEDED


def test_hosts_that_share_a_store_do_not_judge_a_lease_by_heartbeats(home, clock):
    store = MemoryStore(clock)
    home.presence = Presence(wanted=True, monotonic=clock.monotonic)
    store.apply([running("leased", Lease.beginning(clock.at, 86_400).origin)])
    for _ in range(10):
        home.judge(store)
        clock.at += 11 * SECOND
    assert store.get("leased").status is Status.RUNNING


def test_a_clock_that_jumped_does_not_make_a_crash_end_before_it_began():
    store = MemoryStore()
    store.apply([running("r", "boot:one", at=10**15)])
    assert mark_crashed(store, "boot:one", "process 1", now=5, seen_at=3) == 1
    crashed = store.get("r")
    assert crashed.ended_at == crashed.started_at == 10**15
    assert crashed.duration == 0


def test_an_execution_did_not_end_before_its_process_spoke_of_it_last():
    store = MemoryStore()
    done = Item(key="b", status=Status.SUCCEEDED, at=60, ended_at=60)
    store.apply([running("r", "boot:one", at=50), Event(id="r", kind="task", at=60, items=(done,))])
    assert mark_crashed(store, "boot:one", "process 1", now=90, seen_at=55) == 1
    crashed = store.get("r")
    assert (crashed.ended_at, {item.ended_at for item in crashed.items}) == (60, {60})


def test_more_open_items_than_one_event_can_say_are_all_crashed():
    store = MemoryStore()
    for first in (0, 6_000):
        items = tuple(Item(key=str(n), at=1, status=Status.RUNNING) for n in range(first, first + 6_000))
        store.apply([Event(id="large", kind="job", at=1, status=Status.RUNNING, origin="boot:one", items=items)])
    assert mark_crashed(store, "boot:one", "process 1", now=5, seen_at=3) == 1
    crashed = store.get("large")
    assert crashed is not None
    assert (crashed.status, crashed.counts.open, crashed.counts.failed) == (Status.CRASHED, 0, 12_000)
