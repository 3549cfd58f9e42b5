"""Schedulers in processes of their own, killed while they work: no instant is run twice, and others take over."""

import os
import signal
import subprocess
import sys
import time
from collections import Counter
from contextlib import contextmanager
from itertools import pairwise
from pathlib import Path

import pytest

from chores import wait_for
from execlog.core.filter import Filter
from execlog.core.model import TERMINAL, Status
from execlog.kinds.jobs import Call, Command, Interval, Job, Misfire, Retries, SchedulerServingApp
from execlog.kinds.jobs.desk import RunRequest
from execlog.ledger import Ledger

TESTS = Path(__file__).parents[2]
pytestmark = pytest.mark.crash


@pytest.fixture
def home(tmp_path):
    return tmp_path / "home"


@pytest.fixture(
    params=[
        "sqlite",
        pytest.param("redis", marks=pytest.mark.valkey),
        pytest.param("postgres", marks=pytest.mark.postgres),
    ]
)
def app(request, home, new_store_url):
    url = new_store_url(request.param)
    with Ledger.open(url, home=home, drains_home=True) as ledger, SchedulerServingApp(ledger) as opened:
        yield opened


@contextmanager
def schedulers(app, count, lease=1.0, poll=0.1):
    """So many scheduler processes on the app's home and store, each alive until it is killed or the test ends."""
    started = [start(app.ledger.settings, lease, poll) for _ in range(count)]
    try:
        for process in started:
            assert process.stdout.readline() == b"ready\n"
        yield started
    finally:
        for process in started:
            process.kill()
            process.wait()
            process.stdout.close()


def start(settings, lease, poll):
    path = os.pathsep.join([str(TESTS), str(TESTS.parent / "src"), os.environ.get("PYTHONPATH", "")])
    return subprocess.Popen(
        [sys.executable, str(TESTS / "scheduler_process.py"), settings.home, str(lease), str(poll), settings.store],
        stdout=subprocess.PIPE,
        env=os.environ | {"PYTHONPATH": path},
    )


def executions(app, job_id, *statuses):
    found, cursor = [], None
    while True:
        page = app.ledger.store.find(
            Filter(kind="job", subject=job_id, statuses=statuses, sort="oldest"), limit=1000, cursor=cursor
        )
        found += page.entries
        cursor = page.next_cursor
        if cursor is None:
            return found


def marks(path):
    """What the job's function wrote outside of execlog, each time it ran: the execution's id."""
    return path.read_text().split() if path.exists() else []


def test_three_schedulers_with_kills_run_each_instant_exactly_once(app, tmp_path):
    path = tmp_path / "marks"
    jobs = 6
    for number in range(jobs):
        job = Job(
            id=f"j{number}",
            name="J",
            run=Call("chores:mark", {"path": str(path)}),
            trigger=Interval(0.2),
            misfire=Misfire("all", 30.0),
            overlap="allow",
        )
        app.desk.create(job)
    with schedulers(app, 3) as running:
        for process in running[:2]:
            before = len(marks(path))
            wait_for(lambda before=before: len(marks(path)) > before + 40, 30)
            process.send_signal(signal.SIGKILL)
        before = len(marks(path))
        wait_for(lambda: len(marks(path)) > before + 80, 30)
        for number in range(jobs):
            app.desk.set_enabled(f"j{number}", enabled=False)
        wait_for(lambda: not app.jobs.firings(), 30)
        running[2].terminate()
        running[2].wait(10)
    wait_for(lambda: not [it for n in range(jobs) for it in executions(app, f"j{n}") if it.status not in TERMINAL], 20)
    counted = Counter(marks(path))
    assert max(counted.values()) == 1, "an execution ran twice"
    for number in range(jobs):
        found = executions(app, f"j{number}")
        instants = sorted(execution.queued_at for execution in found)
        assert len(instants) == len(set(instants)), "an instant was run twice"
        gaps = {later - sooner for sooner, later in pairwise(instants)}
        assert gaps == {200_000}, "an instant was left out"
        for execution in found:
            assert execution.status in {Status.SUCCEEDED, Status.CRASHED}
            assert counted[execution.id] == 1 or execution.status is Status.CRASHED


def test_what_a_killed_scheduler_ran_is_crashed_and_retried_elsewhere_within_seconds(app, tmp_path):
    path = tmp_path / "marks"
    run = Call("chores:mark_and_wait", {"path": str(path)})
    app.desk.create(Job(id="j", name="J", run=run, retries=Retries(1, backoff=0.1)))
    with schedulers(app, 2, lease=60.0) as running:  # the death is seen long before the lease ends
        first = app.desk.run("j", RunRequest()).execution_id
        wait_for(lambda: marks(path), 20)
        pid = int(marks(path)[0].partition(":")[2])
        (victim,) = [process for process in running if process.pid == pid]
        victim.kill()
        killed = time.monotonic()
        wait_for(lambda: len(marks(path)) == 2, 20)
        assert time.monotonic() - killed < 10
        assert int(marks(path)[1].partition(":")[2]) != pid
        assert app.ledger.store.get(first, kind="job").status is Status.CRASHED
        wait_for(lambda: executions(app, "j", Status.RUNNING))
        (retry,) = executions(app, "j", Status.RUNNING)
        assert (retry.retry_of, retry.root_id, retry.actor) == (first, first, "retry")


def test_a_cancellation_reaches_the_process_that_runs_it(app, tmp_path):
    pid = tmp_path / "pid"
    app.desk.create(Job(id="j", name="J", run=Command(f"echo $$ > {pid}.new; mv {pid}.new {pid}; sleep 60")))
    with schedulers(app, 1):
        execution_id = app.desk.run("j", RunRequest()).execution_id
        wait_for(pid.exists, 20)
        app.desk.cancel("j")
        wait_for(lambda: executions(app, "j", Status.CANCELLED), 10)
        assert executions(app, "j")[0].id == execution_id
        assert not Path(f"/proc/{pid.read_text().strip()}").exists()


def test_a_scheduler_ends_within_three_seconds_and_leaves_no_claim(app, tmp_path):
    path = tmp_path / "marks"
    app.desk.create(Job(id="j", name="J", run=Call("chores:mark_and_wait", {"path": str(path)})))
    with schedulers(app, 1) as running:
        app.desk.run("j", RunRequest())
        wait_for(lambda: marks(path), 20)
        began = time.monotonic()
        running[0].terminate()
        assert running[0].wait(10) == 0
        assert time.monotonic() - began < 3
    wait_for(lambda: executions(app, "j", Status.CANCELLED), 10)
    assert app.jobs.firings() == []
