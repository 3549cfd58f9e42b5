"""The scheduler, turn by turn, on a clock of the test's own."""

import logging
import threading
import time
from datetime import UTC, datetime

import pytest

from chores import gate, wait_for
from execlog.core.errors import StoreError
from execlog.core.model import Status
from execlog.runner.firing import backoff
from execlog.runner.job import Call, Command, Misfire, Once, Retries
from execlog.store.jobs import Entry
from scheduler_house import SECOND, START


def test_a_due_job_runs_once_and_its_schedule_moves_on(house):
    house.put()
    scheduler = house.scheduler()
    house.run(scheduler)
    house.run(scheduler)
    (execution,) = house.history()
    assert (execution.status, execution.actor, execution.queued_at) == (Status.SUCCEEDED, "schedule", START)
    assert execution.metadata == {"scheduled_for": "2025-01-01T00:00:00Z"}
    entry = house.jobs.get("j")
    assert (entry.next_at, entry.last_at) == (START + 10 * SECOND, START)
    assert house.jobs.firings() == []


def test_a_turn_says_when_the_next_is_due(house):
    house.put(next_at=START + 200_000)
    scheduler = house.scheduler(poll=5.0)
    assert scheduler.turn() == pytest.approx(0.2)
    house.clock.move(0.15)
    assert scheduler.turn() == pytest.approx(0.05)
    house.put("other", next_at=None)
    house.clock.move(-3600)
    assert scheduler.turn() == 5.0


def test_two_schedulers_share_the_work_and_run_nothing_twice(house):
    for number in range(40):
        house.put(f"j{number}", retries=Retries(0))
    one, two = house.scheduler(room=7), house.scheduler(room=7)
    for _ in range(30):
        house.run(one)
        house.run(two)
    for number in range(40):
        assert [execution.queued_at for execution in house.history(f"j{number}")] == [START]


def test_many_turns_in_threads_run_every_instant_exactly_once(house):
    for number in range(12):
        house.put(f"j{number}", misfire=Misfire("all"), overlap="queue")
    schedulers = [house.scheduler(room=5) for _ in range(3)]
    stop = threading.Event()

    def work(scheduler):
        while not stop.is_set():
            scheduler.turn()

    threads = [threading.Thread(target=work, args=(scheduler,)) for scheduler in schedulers]
    for thread in threads:
        thread.start()
    for _ in range(10):
        house.clock.move(10)
        stop.wait(0.02)
    house.clock.at = START + 100 * SECOND
    expected = [START + step * 10 * SECOND for step in range(11)]
    wait_for(lambda: all(house.jobs.get(f"j{number}").last_at == expected[-1] for number in range(12)), 30)
    wait_for(lambda: not house.jobs.firings(), 30)
    stop.set()
    for thread in threads:
        thread.join(10)
    for number in range(12):
        assert [execution.queued_at for execution in house.history(f"j{number}")] == expected


def test_failures_are_retried_with_growing_pauses_as_linked_executions(house):
    house.put(
        run=Call("chores:fail_on_b"), stocks=("A", "B", "C"), trigger=None, retries=Retries(2, backoff=4, factor=3)
    )
    house.ask(triggered_by="ada")
    scheduler = house.scheduler()
    house.run(scheduler)
    (retry,) = house.jobs.firings()
    assert (retry.due_at - house.clock.now(), retry.items) == (4 * SECOND, ("B",))
    assert [execution.status for execution in house.history("j", Status.QUEUED)] == [Status.QUEUED]
    house.clock.move(3.9)
    house.run(scheduler)
    assert len(house.history("j", Status.PARTIAL, Status.FAILED)) == 1
    house.clock.move(0.1)
    scheduler.wake()
    house.run(scheduler)
    (retry,) = house.jobs.firings()
    assert retry.due_at - house.clock.now() == 12 * SECOND
    house.clock.move(12)
    scheduler.wake()
    house.run(scheduler)
    assert house.jobs.firings() == []
    first, second, third = house.history()
    assert [it.status for it in (first, second, third)] == [Status.PARTIAL, Status.FAILED, Status.FAILED]
    assert [[item.key for item in it.items] for it in (second, third)] == [["B"], ["B"]]
    assert (second.retry_of, third.retry_of) == (first.id, second.id)
    assert (second.root_id, third.root_id) == (first.id, first.id)
    assert [it.actor for it in (first, second, third)] == ["ada", "retry", "retry"]


def test_pauses_grow_to_their_limit():
    retries = Retries(9, backoff=1, factor=10, max_backoff=50)
    assert [backoff(retries, attempt) for attempt in (1, 2, 3)] == [1, 10, 50]


def test_a_cancelled_execution_is_not_retried(house):
    house.put(run=Call("chores:stick_on_b"), stocks=("B",), trigger=None, retries=Retries(3))
    house.ask()
    scheduler = house.scheduler()
    scheduler.turn()
    house.jobs.cancel("j")
    scheduler._renew_at = 0.0
    scheduler.turn()
    house.finish(scheduler)
    (execution,) = house.history()
    assert (execution.status, execution.error.message) == (Status.CANCELLED, "cancelled on request")
    assert house.jobs.firings() == []


@pytest.mark.parametrize("end", ["cancel", "remove"])
def test_what_fails_before_it_hears_that_it_was_cancelled_is_not_retried(house, end):
    house.put(run=Call("chores:fail_on_b"), stocks=("B",), trigger=None, retries=Retries(3, backoff=0))
    house.ask()
    scheduler = house.scheduler()
    scheduler.turn()
    getattr(house.jobs, end)("j")
    house.finish(scheduler)
    assert [execution.status for execution in house.history()] == [Status.FAILED]
    assert house.jobs.firings() == []


@pytest.mark.parametrize(("overlap", "ran", "skipped"), [("skip", 1, 2), ("queue", 3, 0), ("allow", 3, 0)])
def test_overlapping_instants_follow_their_policy(house, overlap, ran, skipped):
    house.put(run=Call("chores:stick_on_b"), stocks=("B",), overlap=overlap)
    scheduler = house.scheduler()
    for _ in range(3):
        scheduler.turn()
        house.clock.move(10)
    assert scheduler.in_flight == (3 if overlap == "allow" else 1)
    house.clock.move(-5)
    gate.set()
    for _ in range(4):
        scheduler.wake()
        house.run(scheduler)
    assert len(house.history("j", Status.SUCCEEDED)) == ran
    assert house.jobs.get("j").skipped == skipped


def test_a_backlog_that_is_to_run_whole_runs_one_after_another(house):
    house.put(misfire=Misfire("all", 1.0), overlap="skip")
    scheduler = house.scheduler()
    house.clock.move(35)
    for _ in range(6):
        scheduler.wake()
        house.run(scheduler)
    assert [execution.queued_at for execution in house.history()] == [START + step * 10 * SECOND for step in range(4)]
    assert house.jobs.get("j").skipped == 0


@pytest.mark.parametrize("jump", [3600, 86_400])
def test_a_clock_that_jumps_runs_no_instant_twice(house, jump):
    house.put(misfire=Misfire("once", 1.0))
    scheduler = house.scheduler()
    house.run(scheduler)
    house.clock.move(jump)
    house.run(scheduler)
    house.clock.move(-jump)
    for _ in range(5):
        house.clock.move(10)
        house.run(scheduler)
    instants = [execution.queued_at for execution in house.history()]
    assert instants == [START, START + jump * SECOND]
    house.clock.at = START + jump * SECOND + 10 * SECOND
    house.run(scheduler)
    assert len(house.history()) == 3


def test_a_paused_job_does_nothing_but_what_it_is_asked(house):
    house.put(enabled=False)
    scheduler = house.scheduler()
    house.run(scheduler)
    assert house.history() == []
    house.ask(manual=True)
    scheduler.wake()
    house.run(scheduler)
    assert len(house.history()) == 1


def test_a_job_nobody_can_read_is_taken_off_the_schedule_and_harms_no_other(house, caplog):
    house.jobs.put(Entry(id="bad", definition={"nonsense": 1}, next_at=START, due_at=START), expected=None)
    house.put()
    scheduler = house.scheduler()
    with caplog.at_level(logging.WARNING):
        house.run(scheduler)
    assert "job bad cannot be read" in caplog.text
    assert len(house.history()) == 1
    assert house.jobs.get("bad").next_at is None


def test_a_run_whose_job_was_deleted_before_it_began_is_cancelled(house):
    house.put(trigger=None)
    house.ask()
    house.jobs.claim("dead", now=START, lease_until=START, limit=1)
    house.jobs.remove("j")
    scheduler = house.scheduler()
    house.clock.move(1)
    house.run(scheduler)
    (execution,) = house.history()
    assert (execution.status, "deleted" in execution.error.message) == (Status.CANCELLED, True)


def test_room_limits_what_is_claimed(house):
    for number in range(5):
        house.put(f"j{number}", run=Call("chores:stick_on_b"), stocks=("B",))
    scheduler = house.scheduler(room=2)
    scheduler.turn()
    scheduler.turn()
    assert scheduler.in_flight == 2
    assert len(house.jobs.due(START, limit=10).entries) == 3


def test_results_survive_a_store_that_is_down(house):
    house.put(trigger=None)
    house.ask()
    scheduler = house.scheduler()
    scheduler.turn()
    wait_for(lambda: scheduler._results)
    scheduler.jobs = _Down(house.jobs)
    with pytest.raises(StoreError):
        scheduler.turn()
    assert scheduler.in_flight == 1
    scheduler.jobs = house.jobs
    scheduler.turn()
    assert (scheduler.in_flight, house.jobs.firings()) == (0, [])


class _Down:
    """A job store that cannot be reached."""

    def __init__(self, jobs):
        self._jobs = jobs

    def __getattr__(self, name):
        def fail(*_, **__):
            raise StoreError("down", retry=True)

        return fail


def test_a_running_scheduler_starts_on_time_and_wakes_at_once(house):
    house.clock = house.ledger.clock
    scheduler = house.scheduler(poll=5.0)
    scheduler.start()
    now = house.clock.now()
    house.put("soon", next_at=now + 300_000, trigger=Once(datetime.fromtimestamp(now / SECOND, UTC)))
    scheduler.wake()
    wait_for(lambda: house.history("soon", Status.SUCCEEDED))
    delay = house.history("soon")[0].started_at - (now + 300_000)
    assert 0 <= delay < 0.25 * SECOND
    began = time.monotonic()
    house.put("now", next_at=None, trigger=None)
    house.ask("now", manual=True)
    scheduler.wake()
    wait_for(lambda: house.history("now", Status.SUCCEEDED))
    assert time.monotonic() - began < 2


def test_a_scheduler_goes_on_after_errors(house, monkeypatch, caplog):
    monkeypatch.setattr("execlog.runner.scheduler._PAUSE_AFTER_ERROR", 0.01)
    house.clock = house.ledger.clock
    scheduler = house.scheduler(poll=0.05)
    scheduler.jobs = _Down(house.jobs)
    with caplog.at_level(logging.WARNING):
        scheduler.start()
        wait_for(lambda: "goes on after an error" in caplog.text)
        time.sleep(0.1)  # ten turns
        assert caplog.text.count("goes on after an error") == 1
        scheduler.jobs = house.jobs
        wait_for(lambda: "works again" in caplog.text)
        house.put(trigger=None, next_at=None)
        house.ask()
        wait_for(lambda: house.history("j", Status.SUCCEEDED))


def test_stopping_cancels_what_runs_and_frees_its_claims(house):
    house.put(run=Command("sleep 60"), stocks=(), trigger=None)
    house.ask()
    house.clock = house.ledger.clock
    scheduler = house.scheduler()
    scheduler.start()
    wait_for(lambda: scheduler.in_flight)
    began = time.monotonic()
    scheduler.stop(timeout=2.5)
    scheduler.stop()
    assert time.monotonic() - began < 3
    (execution,) = house.history()
    assert (execution.status, execution.error.message) == (Status.CANCELLED, "the scheduler was stopped")
    assert house.jobs.firings() == []


@pytest.mark.parametrize("run", [Command("sleep 60"), Call("chores:stick_on_b")])
def test_what_a_stop_cuts_short_is_tried_again_by_the_next_scheduler(house, run):
    house.put(run=run, stocks=("A", "B"), trigger=None, retries=Retries(1, backoff=0))
    house.ask()
    house.clock = house.ledger.clock
    scheduler = house.scheduler()
    scheduler.start()
    wait_for(lambda: scheduler.in_flight)
    scheduler.stop(timeout=2.5)
    first, again = house.history()
    assert (first.status, again.status, again.retry_of) == (Status.CANCELLED, Status.QUEUED, first.id)
    assert [(firing.state, firing.attempt) for firing in house.jobs.firings()] == [("waiting", 2)]


def test_stopping_with_patience_lets_work_end(house):
    house.put(run=Command("sleep 0.3"), stocks=(), trigger=None)
    house.ask()
    house.clock = house.ledger.clock
    scheduler = house.scheduler()
    scheduler.start()
    wait_for(lambda: scheduler.in_flight)
    scheduler.stop(patience=10)
    assert [execution.status for execution in house.history()] == [Status.SUCCEEDED]
