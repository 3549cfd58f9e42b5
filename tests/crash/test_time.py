"""Clocks that jump and zones that change theirs: nothing is due twice or left out, nobody is called dead for it."""

from __future__ import annotations

import os
import random
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from datetime import UTC, datetime
from itertools import pairwise
from pathlib import Path
from zoneinfo import ZoneInfo, available_timezones

import pytest

from chores import wait_for
from crash import walltime
from crash.harness import LONG, everything, wait_until
from execlog.core import codec
from execlog.core.clock import micros
from execlog.core.filter import Filter
from execlog.core.ids import IdMaker, check_id
from execlog.core.model import OPEN, Event, Status
from execlog.core.settings import load
from execlog.kinds.jobs import SchedulerServingApp
from execlog.ledger import Ledger
from execlog.recorder import recorder as recording
from execlog.recorder.home import Home
from execlog.recorder.journal import Journal, Limits
from execlog.recorder.presence import Presence
from execlog.recorder.sidecar import Owner
from execlog.runner.firing import encode_job
from execlog.runner.job import Call, Cron, Interval, Job, Misfire
from execlog.runner.runner import Runner
from execlog.runner.scheduler import Scheduler
from execlog.runner.triggers import after
from execlog.store.jobs import Entry
from execlog.store.memory import MemoryStore

pytestmark = [pytest.mark.crash, pytest.mark.timeout(7200 if LONG else 120)]
TESTS = Path(__file__).parents[1]
SECOND, DAY = 1_000_000, 86_400
TICKS, KILLS = (10_000, 40) if LONG else (400, 3)
BEGIN, END = (round(datetime(year, 7, 1, tzinfo=UTC).timestamp()) for year in (2010, 2020))
ZONES = sorted(available_timezones() - {"localtime", "Factory"})
SAMPLE = 6
DAILY = ["30 2 * * *", "0 0 * * *", "15,45 1,3 * * *", "59 23 * * 0", "0 3 1,15 * *"]
PASSING = ["*/10 * * * *", "*/30 3 * * *", "*/20 0 * * 0", "15 */2 * * *", "*/10 1,2 * * *"]
ODD = [
    "Africa/Casablanca", "America/Caracas", "America/Sao_Paulo", "America/St_Johns", "Antarctica/Casey",
    "Antarctica/Troll", "Asia/Gaza", "Asia/Pyongyang", "Australia/Lord_Howe", "Europe/Berlin", "Pacific/Apia",
    "Pacific/Chatham",
]  # fmt: skip
"""Of half an hour, two, or three; at midnight, or a minute behind it; twice more for Ramadan; a whole day left out."""


def rules(zone: str) -> tuple[walltime.Stretch, ...]:
    return walltime.stretches(zone, BEGIN - 3 * DAY, END + 3 * DAY)


def zones() -> list[str]:
    """All zones; in the short form the odd ones, and some more."""
    return ZONES if LONG else sorted({*ODD, *random.Random(7).sample(ZONES, 8)})


def due(expression: str, zone: str, start: int, end: int) -> list[int]:
    """When the trigger says it is due, from `start` up to `end`, in seconds."""
    trigger, found, at = Cron(expression, zone), [], start * SECOND - 1
    while (at := after(trigger, at)) is not None and at < end * SECOND:
        found.append(at // SECOND)
    return found


def shown(moments: set[int], zone: str) -> list[str]:
    return [datetime.fromtimestamp(at, ZoneInfo(zone)).isoformat() for at in sorted(moments)][:5]


def compare(expression: str, zone: str, start: int, end: int) -> int:
    got, expected = due(expression, zone, start, end), walltime.reckon(expression, zone, start, end)
    assert len(got) == len(set(got)), f"{expression} in {zone} is due twice"
    more, less = set(got) - set(expected), set(expected) - set(got)
    assert (shown(less, zone), shown(more, zone)) == ([], []), f"{expression} in {zone}: left out, and made up"
    return len(got)


def windows(zone: str) -> list[tuple[int, int]]:
    """A day and a half to either side of each change of the zone's clock; a day where it has none."""
    changes = [stretch.start for stretch in rules(zone)[1:] if BEGIN <= stretch.start < END]
    if not LONG and len(changes) > SAMPLE:
        changes = [*changes[: SAMPLE // 2], *random.Random(zone).sample(changes, SAMPLE // 2)]
    return [(at - 36 * 3600, at + 36 * 3600) for at in changes] or [(BEGIN, BEGIN + DAY)]


@pytest.mark.parametrize("expression", DAILY)
def test_a_fixed_time_is_due_once_a_day_for_ten_years_in_every_zone(expression, record_property):
    chosen = zones()
    spans = {zone: [(BEGIN, END)] if LONG else windows(zone) for zone in chosen}
    number = sum(compare(expression, zone, *span) for zone in chosen for span in spans[zone])
    record_property("instants", f"{number} of {expression!r} in {len(chosen)} zones, none twice, none left out")


@pytest.mark.parametrize("expression", PASSING)
def test_every_so_many_minutes_goes_on_through_every_change_of_ten_years(expression, record_property):
    chosen = zones()
    number = sum(compare(expression, zone, *window) for zone in chosen for window in windows(zone))
    record_property("instants", f"{number} of {expression!r} in {len(chosen)} zones, none twice, none left out")


@pytest.mark.parametrize("expression", [*DAILY, *PASSING])
@pytest.mark.parametrize("zone", ODD)
def test_it_does_not_matter_from_where_one_asks(expression, zone):
    chance = random.Random(f"{expression} {zone}")
    places = windows(zone)
    for start, end in places if LONG else places[:2]:
        instants = due(expression, zone, start, end)
        for sooner, later in pairwise(instants):
            for at in (sooner * SECOND, later * SECOND - 1, chance.randrange(sooner * SECOND, later * SECOND)):
                assert after(Cron(expression, zone), at) == later * SECOND


@pytest.mark.parametrize("zone", ODD)
def test_six_fields_keep_to_the_same_policy(zone):
    for start, end in windows(zone):
        for expression in ("30 2 * * *", "*/30 3 * * *"):
            assert due(f"0 {expression}", zone, start, end) == walltime.reckon(expression, zone, start, end)


@pytest.mark.parametrize("seconds", [60, 3600, 86_400, 90_061])
def test_an_interval_is_the_same_number_of_seconds_for_ten_years(seconds):
    start = datetime.fromtimestamp(BEGIN, UTC)
    trigger, at, count = Interval(seconds, start), BEGIN * SECOND - 1, 0
    for number in range((END - BEGIN) // seconds if LONG else 20_000):
        at = after(trigger, at)
        assert at == micros(start) + number * seconds * SECOND
        count += 1
    assert count


class Jumping:
    """A wall clock that somebody sets; what measures durations goes on."""

    def __init__(self) -> None:
        self.ahead = 0.0

    def now_ns(self) -> int:
        return real_ns() + round(self.ahead * 1e9)

    def now(self) -> int:
        return self.now_ns() // 1000

    def monotonic(self) -> float:
        return time.monotonic()


real_ns = time.time_ns
JUMPS = [3600.0, -3600.0, 86_400.0, -86_400.0]


@pytest.fixture
def clock(monkeypatch):
    """The clock of everything that records in this process."""
    made = Jumping()
    monkeypatch.setattr(time, "time_ns", made.now_ns)
    monkeypatch.setattr(recording, "_time_ns", made.now_ns)
    monkeypatch.setattr(recording, "IdMaker", lambda: IdMaker(made.now_ns))
    return made


@pytest.mark.parametrize("jump", JUMPS)
def test_what_is_recorded_while_the_clock_jumps_is_whole_and_measured_by_the_other_clock(tmp_path, clock, jump):
    began, ids = time.monotonic(), []
    with Ledger.open(home=tmp_path, clock=clock) as ledger:
        for turn in range(6):
            with ledger.run("jumping", id=f"run{turn}") as run:
                run.note(step="before")
                with run.item("before"):
                    clock.ahead += jump
                run.note(step="after")
                with run.item("after"):
                    pass
                run.log("said")
            ids += [ledger.record("one", duration=0.25) for _ in range(5000)]
            if turn == 3:
                jump = -jump
        assert ledger.flush(30)
        assert ledger.stats().refused == {}
        found = everything(ledger.store, Filter())
        longest = time.monotonic() - began
        assert len({one.id for one in found}) == len(found) == len(ids) + 6
        assert {one.id for one in found} >= set(ids)
        assert ids == sorted(ids), "ids are not in the order they were made"
        assert all(check_id(one.id) for one in found)
        for one in found:
            assert one.status is Status.SUCCEEDED
            assert one.ended_at >= one.started_at
            assert 0 <= one.duration <= longest
        for turn in range(6):
            run = ledger.store.get(f"run{turn}")
            assert run.metadata == {"step": "after"}, "what was said last is not what holds"
            assert len(run.items) == 2
            assert len(run.logs) == 1
            assert all(0 <= item.duration <= longest and item.ended_at >= item.started_at for item in run.items)
        sums = ledger.store.stats(Filter())[0].bucket
        assert (sums.succeeded, sums.failed) == (len(found), 0)


@pytest.mark.parametrize("jump", JUMPS)
def test_nobody_who_lives_is_called_crashed_because_the_clock_jumped(tmp_path, clock, jump):
    living = Ledger.open(home=tmp_path, settings=load({}, home=str(tmp_path), drain="server"), clock=clock)
    run = living.run("long", id="long").begin()
    root = living.root
    dead = Journal(root / "dead", Owner("boot:dead", 4_000_000, "here", "boot", 0), Limits(64 * 1024, 2**20, 0))
    at = clock.now()
    started = Event(id="gone", kind="task", at=at, status=Status.RUNNING, started_at=at, origin="boot:dead")
    dead.append(codec.encode(started))
    dead.close(remove=False)
    clock.ahead += jump
    with Ledger.open(home=tmp_path, clock=clock) as other:
        home = Home(other.root, clock.now)
        assert home.serve()
        for _ in range(3):
            home.sweep()
            home.visit(other.store, 1000, own=None, everyone=True)
            clock.ahead += jump
        home.release()
        assert other.store.get("long").status is Status.RUNNING
        gone = other.store.get("gone")
        assert gone.status is Status.CRASHED
        assert gone.duration >= 0
        assert gone.ended_at >= gone.started_at
        run.end()
        living.close()
        while other.drain_dead():
            pass
        assert other.store.get("long").status is Status.SUCCEEDED
        assert 0 <= other.store.get("long").duration < 60


@pytest.mark.parametrize("jump", JUMPS)
def test_a_heartbeat_is_not_missed_because_the_clock_of_the_store_jumped(jump):
    clock, passed = Jumping(), [0.0]
    store = MemoryStore(clock=clock)
    looking, living, dying = (Presence(wanted=True, lease_seconds=30.0, monotonic=lambda: passed[0]) for _ in range(3))
    running = {"kind": "task", "at": 1, "status": Status.RUNNING, "started_at": 1}
    store.apply([Event(id="a", origin="alive", **running), Event(id="g", origin="gone", **running)])
    called: list[str] = []
    store.attend("alive", seconds=30.0)
    for step in range(200):
        passed[0] += 1.0
        clock.ahead += 1.0 + (jump if step == 98 else 0.0)
        called += looking.absent(store)  # each ten seconds, and the others' word comes five seconds later
        if step >= 5:
            living.attend(store, "alive")
        if step < 20:
            dying.attend(store, "gone")
    assert set(called) == {"gone"}


class Turns:
    """Three schedulers that share one store, one turn after the other."""

    def __init__(self, home, clock: Jumping) -> None:
        self.ledger = Ledger.open(home=home, clock=clock)
        self.jobs = self.ledger.store.open_jobs()
        self.schedulers = [
            Scheduler(self.ledger, self.jobs, Runner(self.ledger.recorder), clock=clock, lease=10.0) for _ in range(3)
        ]

    def turn(self, scheduler: Scheduler) -> None:
        scheduler.wake()
        scheduler.turn()
        wait_for(lambda: not scheduler.runner.running and not scheduler._flying_unsettled())
        scheduler.turn()

    def close(self) -> None:
        for scheduler in self.schedulers:
            scheduler.stop()
        self.ledger.close()


@pytest.mark.parametrize("policy", ["all", "once", "skip"])
@pytest.mark.parametrize("jump", JUMPS)
def test_an_instant_is_run_once_however_the_clock_jumps(tmp_path, clock, jump, policy):
    start = clock.now() // (600 * SECOND) * 600 * SECOND
    trigger = Interval(600, datetime.fromtimestamp(start / SECOND, UTC))
    job = Job(id="j", name="J", run=Call("chores:double", {"item": 1}), trigger=trigger, misfire=Misfire(policy, 700.0),
              overlap="allow")  # fmt: skip
    turns = Turns(tmp_path, clock)
    with closing(turns):
        turns.jobs.put(Entry(id="j", definition=encode_job(job), next_at=start, due_at=start), expected=None)
        latest = 0
        for step in range(24):
            clock.ahead += 600 + (jump if step == 8 else -jump if step == 16 else 0)
            latest = max(latest, clock.now())
            turns.turn(turns.schedulers[step % 3])
        assert turns.ledger.flush()
        ran = [one.queued_at for one in everything(turns.ledger.store, Filter(kind="job"))]
        entry = turns.jobs.get("j")
        assert turns.jobs.firings() == []
    due_by_then = range(start, latest + 1, 600 * SECOND)
    assert len(ran) == len(set(ran)), "an instant was run twice"
    assert set(ran) <= set(due_by_then)
    assert len(ran) + entry.skipped == len(due_by_then), "an instant was left out without a count"
    assert policy != "all" or entry.skipped == 0


def start_scheduler(home: Path, store: str) -> subprocess.Popen[bytes]:
    path = os.pathsep.join([str(TESTS), *sys.path])
    command = [sys.executable, str(TESTS / "scheduler_process.py"), str(home), "1.0", "0.05", store]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, env=os.environ | {"PYTHONPATH": path})
    assert process.stdout is not None
    assert process.stdout.readline() == b"ready\n"
    return process


@contextmanager
def dying_schedulers(home: Path, store: str, ticks: Callable[[], int]) -> Iterator[None]:
    """Three processes, each killed in turn and replaced until `TICKS` are done."""
    running = [start_scheduler(home, store) for _ in range(3)]
    try:
        for kill in range(KILLS):
            wait_until(lambda kill=kill: ticks() >= TICKS * (kill + 1) // (KILLS + 1), "ticks", 600)
            victim = running.pop(0)
            victim.kill()
            victim.communicate()
            running.append(start_scheduler(home, store))
        wait_until(lambda: ticks() >= TICKS, "ticks", 600)
        yield
    finally:
        for process in running:
            process.terminate()
        for process in running:
            process.communicate(timeout=30)


def test_three_schedulers_with_kills_run_every_instant_exactly_once(tmp_path, record_property):
    marks, home, jobs = tmp_path / "marks", tmp_path / "home", [f"j{number}" for number in range(8)]
    marks.touch()
    with Ledger.open(home=home, drains_home=True) as ledger, SchedulerServingApp(ledger) as app:
        run, misfire = Call("chores:mark", {"path": str(marks)}), Misfire("all", 3600.0)
        for name in jobs:
            app.desk.create(Job(id=name, name=name, run=run, trigger=Interval(0.1), misfire=misfire, overlap="allow"))
        with dying_schedulers(home, ledger.settings.store_url, lambda: marks.read_bytes().count(b"\n")):
            for name in jobs:
                app.desk.set_enabled(name, enabled=False)
            wait_until(lambda: not app.jobs.firings(), "what was claimed", 60)
        going = Filter(kind="job", statuses=tuple(OPEN))
        wait_until(lambda: not ledger.store.count(going), "the end of what the dead ran", 60)
        found = everything(ledger.store, Filter(kind="job"))
    counted = Counter(marks.read_text().split())
    assert max(counted.values()) == 1, "an execution ran twice"
    for name in jobs:
        mine = [execution for execution in found if execution.subject == name]
        instants = sorted(execution.queued_at for execution in mine)
        assert instants == list(range(instants[0], instants[-1] + 1, 100_000)), "an instant twice, or left out"
        assert all(counted[one.id] == 1 or one.status is Status.CRASHED for one in mine)
    record_property("ticks", f"{len(found)} of 8 jobs, {KILLS} kills, each once; {len(counted)} ran to their mark")
