"""The scheduler beside APScheduler, procrastinate and rq: empty jobs that are all due at once.

    peers_scheduler.py [--jobs 1000] [--rounds 3]

Each keeps its jobs where it keeps them in life: execlog and APScheduler in SQLite, procrastinate in PostgreSQL, rq in
Valkey. Only execlog also records each execution. rq is its SimpleWorker, which does not fork for each job as its
default one does, over jobs that are queued already. No peer has a target: they are here to compare with.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import tempfile
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path

import environments
from bench_scheduler import measure
from environments import PeerError
from report import Report

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))
from servers import MissingServerError, Postgres, Server, Valkey

Figures = dict[str, float]


def execlog(jobs: int) -> Figures:
    """Figures of our own scheduler."""
    found = measure("burst", jobs, seconds=0, room=200)
    delays = {"p50": "start_delay_p50_ms", "p99": "start_delay_p99_ms"}
    return {"run_per_s": float(found["run_per_s"])} | {name: float(found[key]) for name, key in delays.items()}


def apscheduler(jobs: int) -> Figures:
    """Figures of APScheduler over an SQLite file."""
    with tempfile.TemporaryDirectory() as folder:
        return environments.ask("APScheduler", "schedule", "apscheduler", jobs, f"sqlite:///{folder}/jobs.db")


def candidates(report: Report, stack: ExitStack) -> dict[str, Callable[[int], Figures]]:
    """Who takes part, by name."""
    found: dict[str, Callable[[int], Figures]] = {"execlog": execlog, "APScheduler": apscheduler}
    backed: dict[str, Callable[[], Server]] = {
        "procrastinate": lambda: Postgres({"fsync": "on"}),
        "rq": lambda: Valkey({"appendonly": "yes"}),
    }
    for name, start in backed.items():
        try:
            server = stack.enter_context(start())
        except MissingServerError as error:
            report.leave_out(name, str(error))
            continue
        found[name] = over(name, server)
    return found


def over(name: str, server: Server) -> Callable[[int], Figures]:
    """What measures a peer over a back end that is empty each time."""

    def ask(jobs: int) -> Figures:
        if isinstance(server, Postgres):
            server.execute("drop schema public cascade; create schema public")
        elif isinstance(server, Valkey):
            server.ask("FLUSHALL")
        return environments.ask(name, "schedule", name, jobs, server.url)

    return ask


def main() -> int:
    """The exit code: 0, whoever is quicker."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--jobs", type=int, default=1_000)
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args()
    report = Report("peers_scheduler")
    found: dict[str, list[Figures]] = {}
    with ExitStack() as stack:
        taking_part = candidates(report, stack)
        for _ in range(options.rounds):
            for name, run in list(taking_part.items()):
                try:
                    found.setdefault(name, []).append(run(options.jobs))
                except PeerError as error:
                    report.leave_out(name, str(error))
                    del taking_part[name], found[name]
    for name, runs in found.items():
        version = None if name == "execlog" else environments.version(name)
        for key, label, unit in (("run_per_s", "run", "jobs/s"), ("p50", "start delay p50", "ms"),
                                 ("p99", "start delay p99", "ms")):  # fmt: skip
            median = statistics.median(run[key] for run in runs)
            report.add(f"{name}, {label}", median, unit, size=options.jobs, version=version)
    return report.close()


if __name__ == "__main__":
    sys.exit(main())
