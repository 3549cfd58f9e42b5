"""10,000 jobs every minute on one machine: due jobs claimed, run (an empty callable) and recorded a second, and late.

Everything is real: SQLite in a folder of its own, the journal, the drain in this process, one scheduler. Two shapes:

    burst   all jobs are due at the same instant: the worst minute there is
    spread  the jobs are spread evenly over their minute, as they are where people chose their own times
"""

from __future__ import annotations

import argparse
import statistics
import sys
import tempfile
import time
from datetime import UTC, datetime
from pathlib import Path

from history import relax
from msgspec.structs import replace
from report import Report

from execlog.core.filter import Filter
from execlog.core.model import TERMINAL
from execlog.kinds.jobs import Call, Interval, Job, SchedulerServingApp
from execlog.ledger import Ledger
from execlog.runner.firing import encode_job
from execlog.store.jobs import Entry

SECOND = 1_000_000
PERIOD = 60
NOTHING = Call("builtins:dict")


def fill(app: SchedulerServingApp, jobs: int, first: int, spacing: float) -> None:
    """Make the jobs: each every minute, the first at `first`, the others `spacing` µs after one another."""
    template = Job(id="x", name="nothing", run=NOTHING, overlap="skip")
    for number in range(jobs):
        at = first + round(number * spacing)
        trigger = Interval(PERIOD, datetime.fromtimestamp(at / SECOND, UTC))
        job = replace(template, id=f"job-{number}", name=f"job {number}", trigger=trigger)
        entry = Entry(id=job.id, definition=encode_job(job), next_at=at, due_at=at, created_at=at, updated_at=at)
        app.jobs.put(entry, expected=None)


def measure(shape: str, jobs: int, seconds: float, room: int) -> dict[str, float | str]:
    """One run of a shape: figures by name."""
    with (
        tempfile.TemporaryDirectory() as home,
        Ledger.open(home=Path(home)) as ledger,
        SchedulerServingApp(ledger) as app,
    ):
        prepared = time.monotonic()
        first = ledger.clock.now() + 2 * SECOND + jobs * 500
        # Only making the jobs goes without waiting for the disk, so that they are all there in time.
        relax(ledger.store, "off")
        fill(app, jobs, first, 0 if shape == "burst" else PERIOD * SECOND / jobs)
        relax(ledger.store, "full")
        assert ledger.clock.now() < first, "the machine is too busy to make the jobs in time"
        prepared = time.monotonic() - prepared
        time.sleep(max((first - ledger.clock.now()) / SECOND - 0.5, 0))
        scheduler = app.start_scheduler(room=room)
        wanted = jobs if shape == "burst" else int(jobs * seconds / PERIOD)
        cpu, began = time.process_time(), first / SECOND
        watched = 0.5 if shape == "burst" else seconds
        while time.time() < began + watched or scheduler.in_flight or app.jobs.due(first, limit=1).entries:
            time.sleep(0.02)
        ended = time.time()
        cpu = time.process_time() - cpu
        scheduler.stop(patience=10)
        ledger.flush(60)
        recorded = time.time()
        delays = list(start_delays(ledger))
        return {
            "shape": shape,
            "executions": len(delays),
            "wanted": wanted,
            "run_per_s": round(len(delays) / (ended - began)),
            "recorded_per_s": round(len(delays) / (recorded - began)),
            "start_delay_p50_ms": round(percentile(delays, 50), 3),
            "start_delay_p99_ms": round(percentile(delays, 99), 3),
            "cpu_ms_per_execution": round(cpu / max(len(delays), 1) * 1e3, 3),
            "prepare_s": round(prepared, 1),
        }


def start_delays(ledger: Ledger) -> list[float]:
    """Milliseconds from each execution's instant to its start; every one must have ended well."""
    delays, cursor = [], None
    while True:
        page = ledger.store.find(Filter(kind="job"), limit=1000, cursor=cursor)
        for execution in page.entries:
            assert execution.status in TERMINAL, execution
            assert execution.status.value == "succeeded", execution
            delays.append(((execution.started_at or 0) - (execution.queued_at or 0)) / 1e3)
        cursor = page.next_cursor
        if cursor is None:
            return delays


def percentile(values: list[float], share: int) -> float:
    """The value below which that share of the values lies."""
    return statistics.quantiles(values, n=100)[share - 1]


def main() -> int:
    """The exit code: 0 where every due job was run."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--jobs", type=int, default=10_000)
    parser.add_argument("--seconds", type=float, default=10.0, help="how long the spread shape is watched")
    parser.add_argument("--room", type=int, default=200, help="most executions in flight")
    parser.add_argument("--shape", choices=["burst", "spread"], action="append")
    options = parser.parse_args()
    report = Report("bench_scheduler")
    for shape in options.shape or ["burst", "spread"]:
        found = measure(shape, options.jobs, options.seconds, options.room)
        report.add(f"{shape}, run", float(found["run_per_s"]), "jobs/s", size=options.jobs)
        report.add(f"{shape}, recorded", float(found["recorded_per_s"]), "jobs/s", size=options.jobs)
        report.add(f"{shape}, start delay p50", float(found["start_delay_p50_ms"]), "ms", size=options.jobs)
        report.add(f"{shape}, start delay p99", float(found["start_delay_p99_ms"]), "ms", size=options.jobs)
        report.add(f"{shape}, CPU", float(found["cpu_ms_per_execution"]), "ms/job", size=options.jobs)
        share = float(found["executions"]) / float(found["wanted"])
        # The spread's last second may hold a job more or less.
        report.add(f"{shape}, of the due ones were run", share, "times", size=options.jobs, at_least=0.99)
    return report.close()


if __name__ == "__main__":
    sys.exit(main())
