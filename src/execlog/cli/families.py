"""The families of executions that are installed, opened over a ledger."""

from __future__ import annotations

from collections.abc import Generator
from contextlib import contextmanager

from execlog.kind import Kind
from execlog.kinds.jobs import SchedulerServingApp, jobs_kind
from execlog.kinds.queries.routes import query_kind
from execlog.ledger import Ledger


@contextmanager
def open_families(ledger: Ledger, *, schedule: bool) -> Generator[tuple[list[Kind], SchedulerServingApp]]:
    """Every family's kind, and the jobs behind one of them; with `schedule` due jobs run in this process meanwhile."""
    with SchedulerServingApp(ledger) as jobs:
        if schedule:
            jobs.start_scheduler()
        yield [jobs_kind(jobs), query_kind(ledger)], jobs
