"""What becomes of the runs of a scheduler that dies, or is too slow."""

import pytest
from msgspec.structs import replace

from chores import gate, wait_for
from execlog.core.model import Event, Item, Status
from execlog.runner.job import Call, Retries
from scheduler_house import SECOND, START


def test_what_a_dead_scheduler_claimed_is_run_by_another_once_its_lease_is_over(house):
    house.put()
    dead, heir = house.scheduler(), house.scheduler()
    dead.jobs = _Dying(house.jobs)
    with pytest.raises(ConnectionAbortedError):
        dead.turn()
    house.run(heir)
    assert house.history() == []
    house.clock.move(10.1)
    heir.wake()
    house.run(heir)
    first = house.history()[0]
    assert (first.status, first.queued_at) == (Status.SUCCEEDED, START)


class _Dying:
    """A job store whose user dies just before it begins what it claimed."""

    def __init__(self, jobs):
        self._jobs = jobs

    def __getattr__(self, name):
        return getattr(self._jobs, name)

    def begin(self, firings):
        raise ConnectionAbortedError


def test_what_had_started_is_not_run_again_and_its_crash_is_retried(house):
    house.put(retries=Retries(1, backoff=5), trigger=None)
    firing = house.ask()
    (claimed,) = house.jobs.claim("dead", now=START, lease_until=START + SECOND, limit=1)
    house.jobs.begin([claimed])
    running = Event(id=firing.execution_id, kind="job", at=START, status=Status.RUNNING, subject="j", origin="x:gone")
    house.ledger.append(running)
    house.ledger.flush()
    scheduler = house.scheduler()
    house.clock.move(60)
    house.run(scheduler)
    assert [it.execution_id for it in house.jobs.firings()] == [firing.execution_id]
    house.ledger.append(replace(running, at=START + 2, status=Status.CRASHED, ended_at=START + 2))
    house.ledger.flush()
    scheduler._salvage._look_at = 0.0
    house.run(scheduler)
    (retry,) = house.jobs.firings()
    assert (retry.attempt, retry.retry_of, retry.root_id, retry.items) == (
        2,
        firing.execution_id,
        firing.execution_id,
        ("A", "B"),
    )
    house.clock.move(5)
    scheduler.wake()
    house.run(scheduler)
    crashed, again = house.history()
    assert (crashed.status, again.status, again.retry_of) == (Status.CRASHED, Status.SUCCEEDED, crashed.id)
    assert house.jobs.firings() == []


def test_a_crash_is_retried_over_all_that_did_not_succeed_begun_or_not(house):
    house.put(retries=Retries(1, backoff=5), trigger=None, stocks=tuple("ABCDEF"))
    house.ask(items=tuple("ABCDE"))
    (begun,) = house.jobs.begin(house.jobs.claim("dead", now=START, lease_until=START + SECOND, limit=1))
    ended = (Item(key="A", at=START, status=Status.FAILED), Item(key="B", at=START, status=Status.SUCCEEDED))
    crash = Event(id=begun.execution_id, kind="job", at=START, status=Status.CRASHED, subject="j", total=5, items=ended)
    house.ledger.append(crash)
    house.ledger.flush()
    house.run(house.scheduler())
    assert [firing.items for firing in house.jobs.firings()] == [tuple("ACDE")]


def test_a_crash_that_is_known_does_not_wait_for_its_lease(house):
    house.put(retries=Retries(1, backoff=0), trigger=None)
    house.put("fine", trigger=None)
    for job_id in ("j", "fine"):
        house.ask(job_id)
    begun = house.jobs.begin(house.jobs.claim("dead", now=START, lease_until=START + 3600 * SECOND, limit=2))
    for firing in begun:
        status = Status.CRASHED if firing.job_id == "j" else Status.RUNNING
        house.ledger.append(Event(id=firing.execution_id, kind="job", at=START, status=status, subject=firing.job_id))
    house.ledger.flush()
    scheduler = house.scheduler()
    house.run(scheduler)
    house.run(scheduler)
    assert [it.status for it in house.history()] == [Status.CRASHED, Status.SUCCEEDED]
    assert [it.job_id for it in house.jobs.firings()] == ["fine"]


def test_a_start_that_nobody_ever_heard_of_is_recorded_as_crashed(house):
    house.put(trigger=None)
    house.ask()
    house.jobs.begin(house.jobs.claim("dead", now=START, lease_until=START + SECOND, limit=1))
    scheduler = house.scheduler(lease=0.1)
    house.clock.move(86_400)
    house.run(scheduler)
    assert house.history() == []
    wait_for(lambda: house.run(scheduler) or house.history())
    (lost,) = house.history()
    assert lost.status is Status.CRASHED
    assert "gone" in lost.error.message


def test_a_slow_scheduler_that_lost_its_lease_keeps_what_it_runs(house):
    house.put(run=Call("chores:stick_on_b"), stocks=("B",), trigger=None)
    house.ask()
    slow, other = house.scheduler(), house.scheduler()
    slow.turn()
    house.ledger.flush()
    house.clock.move(3600)
    other.turn()
    other._salvage._look_at = 0.0
    other.turn()
    gate.set()
    house.finish(slow)
    (execution,) = house.history()
    assert execution.status is Status.SUCCEEDED
    assert house.jobs.firings() == []
