"""Schedulers on one job store, one ledger and a clock that a test moves."""

import time
from datetime import UTC, datetime

from chores import gate, wait_for
from execlog.core.clock import micros
from execlog.core.filter import Filter
from execlog.ledger import Ledger
from execlog.runner.firing import encode_job
from execlog.runner.job import Call, Interval, Job
from execlog.runner.runner import Runner
from execlog.runner.scheduler import Scheduler
from execlog.runner.triggers import due_at
from execlog.store.jobs import Entry, Firing
from execlog.store.memory_jobs import MemoryJobStore

START = micros(datetime(2025, 1, 1, tzinfo=UTC))
SECOND = 1_000_000


class FakeClock:
    """A clock that stands still until it is moved."""

    def __init__(self, at=START):
        self.at = at

    def now(self):
        return self.at

    def monotonic(self):
        return time.monotonic()

    def move(self, seconds):
        self.at += round(seconds * SECOND)


class House:
    """Schedulers on one job store and one ledger."""

    def __init__(self, home):
        self.ledger = Ledger.open("memory://", home=home)
        self.jobs = MemoryJobStore()
        self.clock = FakeClock()
        self.schedulers = []

    def scheduler(self, **options):
        runner = Runner(self.ledger.recorder)
        made = Scheduler(self.ledger, self.jobs, runner, clock=self.clock, **({"lease": 10.0} | options))
        self.schedulers.append(made)
        return made

    def put(self, job_id="j", next_at=START, **fields):
        trigger = Interval(10, datetime(2025, 1, 1, tzinfo=UTC))
        defaults = {"run": Call("chores:double"), "stocks": ("A", "B"), "trigger": trigger}
        job = Job(id=job_id, name=job_id.upper(), **(defaults | fields))
        due = None if next_at is None else due_at(job, next_at)
        entry = Entry(id=job_id, definition=encode_job(job), enabled=job.enabled, next_at=next_at, due_at=due)
        self.jobs.put(entry, expected=None)
        return job

    def ask(self, job_id="j", **fields):
        at = self.clock.now()
        return self.jobs.enqueue(
            Firing(job_id=job_id, instant=at, execution_id=self.ledger.new_id(), due_at=at, **fields)
        )

    def run(self, scheduler):
        """One turn, and the end of everything it began."""
        scheduler.turn()
        self.finish(scheduler)

    def finish(self, scheduler):
        wait_for(lambda: not scheduler.runner.running and len(scheduler._results) == scheduler.in_flight)
        scheduler.turn()

    def history(self, job_id="j", *statuses):
        assert self.ledger.flush()
        found = self.ledger.store.find(
            Filter(kind="job", subject=job_id, statuses=statuses, sort="oldest"), limit=1000, parts={"items", "detail"}
        )
        return list(found.entries)

    def close(self):
        gate.set()
        for scheduler in self.schedulers:
            scheduler.stop(timeout=5)
        self.ledger.close()
