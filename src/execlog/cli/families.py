"""The families of executions, opened over a ledger."""

from __future__ import annotations

from collections.abc import Generator
from contextlib import contextmanager

from msgspec.structs import replace

from execlog.kind import Kind
from execlog.kinds.jobs import SchedulerServingApp, jobs_kind
from execlog.kinds.pipelines import feature_kind, pipeline_kind
from execlog.kinds.queries.gateway import Gateway
from execlog.kinds.queries.routes import closing, query_kind
from execlog.kinds.workflows.routes import workflow_kind
from execlog.ledger import Ledger


@contextmanager
def open_families(ledger: Ledger, *, schedule: bool) -> Generator[tuple[list[Kind], SchedulerServingApp]]:
    """Every family's kind, and the jobs behind one of them; with `schedule` due jobs run in this process meanwhile.

    Raises SettingsError for sources and connections that cannot be used.
    """
    with Gateway.open(ledger) as gateway, SchedulerServingApp(ledger) as jobs:
        if schedule:
            jobs.start_scheduler()
        kinds = [jobs_kind(jobs), workflow_kind(ledger), pipeline_kind(ledger), feature_kind()]
        yield [*kinds, replace(query_kind(ledger, gateway), stop=closing(gateway))], jobs
