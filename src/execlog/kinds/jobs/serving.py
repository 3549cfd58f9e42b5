"""`SchedulerServingApp`: what the API, the command line and other programs ask about jobs, in one place."""

from __future__ import annotations

from typing import Any, Self

from execlog.core.errors import NotFoundError
from execlog.kinds.jobs.desk import Desk
from execlog.kinds.jobs.fetcher import Fetcher, configured_sources
from execlog.kinds.jobs.registry import ExecutionHistoryRegistry
from execlog.kinds.jobs.sources import SourceConfig
from execlog.ledger import Ledger
from execlog.runner.job import Fetch
from execlog.runner.runner import Runner
from execlog.runner.scheduler import Scheduler
from execlog.store.job_opening import open_jobs
from execlog.store.jobs import JobStore


class SchedulerServingApp:
    """The jobs of a ledger: their history (`registry`), their management (`desk`), and, once started, their scheduler.

    Thread-safe. `close` it, or use it as a context manager; the ledger stays the caller's.
    """

    def __init__(
        self,
        ledger: Ledger,
        *,
        sources: dict[str, SourceConfig] | None = None,
        jobs: JobStore | None = None,
    ) -> None:
        self.ledger = ledger
        home = ledger.settings.home
        self.sources = configured_sources(home) if sources is None else sources
        self.jobs = jobs or open_jobs(ledger.store, home)
        self.registry = ExecutionHistoryRegistry(ledger)
        self.scheduler: Scheduler | None = None
        self.desk = Desk(ledger, self.registry, self.jobs, sources=self.sources, wake=self._wake)

    def start_scheduler(self, **options: Any) -> Scheduler:
        """The scheduler, running in this process from now on; `options` are those of `Scheduler`."""
        if self.scheduler is None:
            fetcher = Fetcher(self.sources, self.ledger.settings.home / "prices.db")
            runner = Runner(self.ledger.recorder, performs={Fetch: fetcher})
            self.scheduler = Scheduler(self.ledger, self.jobs, runner, **options)
            self.scheduler.start()
        return self.scheduler

    def get_job_execution_history(
        self, job_id: str, limit: int = 50, status: str | None = None
    ) -> list[dict[str, Any]]:
        """The newest records of a job as dicts, [] for one that has not run. Raises NotFoundError for no such job."""
        records = self.registry.get_job_history(job_id, limit, status)
        if not records:
            self.check_known(job_id)
        return [record.to_dict() for record in records]

    def get_latest_execution(self, job_id: str) -> dict[str, Any] | None:
        """The newest record of a job that has ended, None when there is none."""
        record = self.registry.get_latest_execution(job_id)
        return None if record is None else record.to_dict()

    def get_execution(self, execution_id: str) -> dict[str, Any] | None:
        """The record of this id, None when there is none."""
        record = self.registry.get_execution(execution_id)
        return None if record is None else record.to_dict()

    def check_known(self, job_id: str) -> None:
        """Nothing, if there is such a job, or there was one that has executions; raises NotFoundError otherwise."""
        if not self.desk.knows(job_id) and not self.registry.knows(job_id):
            raise NotFoundError(f"there is no job {job_id!r}")

    def close(self, *, timeout: float = 2.5) -> None:
        """Stop the scheduler, cancelling what runs, within about `timeout` seconds; release the job store."""
        scheduler, self.scheduler = self.scheduler, None
        if scheduler is not None:
            scheduler.stop(timeout=timeout)
        self.jobs.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _wake(self) -> None:
        if self.scheduler is not None:
            self.scheduler.wake()
