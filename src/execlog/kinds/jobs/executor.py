"""`JobExecutor`: runs a job here and now, and keeps its history."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Self, cast

from msgspec import Struct, structs

from execlog.core.ids import IdMaker
from execlog.core.model import Execution
from execlog.kinds.jobs.fetcher import Fetcher, configured_sources
from execlog.kinds.jobs.history_sink import HistorySink
from execlog.kinds.jobs.record import KIND, JobExecutionRecord, record_of
from execlog.kinds.jobs.registry import ExecutionHistoryRegistry
from execlog.kinds.jobs.sources import SourceConfig
from execlog.ledger import Ledger
from execlog.runner.actions import ItemResult, Perform, Task, run_to_end
from execlog.runner.job import Fetch, Job
from execlog.runner.order import Order, Result
from execlog.runner.runner import Runner
from execlog.runner.validation import check_job, check_narrowed
from execlog.store.base import Store


class JobResult(Struct, frozen=True, kw_only=True):
    """What became of a job: its record, and whether the history took it."""

    record: JobExecutionRecord
    saved: bool

    @property
    def execution_id(self) -> str:
        """The id its history is kept under."""
        return self.record.execution_id

    @property
    def status(self) -> str:
        """success, partial_success or failed."""
        return self.record.status

    @property
    def fetched_stocks(self) -> list[str]:
        """The stocks that succeeded."""
        return self.record.fetched_stocks

    @property
    def failed_stocks(self) -> list[str]:
        """The stocks that failed."""
        return self.record.failed_stocks

    @property
    def errors(self) -> list[str]:
        """Why they failed: "Failed to fetch GOOGL: Connection timeout after 30s"."""
        return self.record.errors

    @property
    def duration_seconds(self) -> float | None:
        """How long it took."""
        return self.record.duration_seconds

    def to_dict(self) -> dict[str, Any]:
        """The thirteen fields of the record."""
        return self.record.to_dict()


class JobExecutor:
    """Runs jobs and records what becomes of every stock. Thread-safe; `close` it, or use it as a context manager.

    history   a ledger, a registry or a store
    sources   where prices come from, by name; default: those of the configuration file, the shipped prices, and
              yfinance
    fetch     called with each stock instead of a source: how many rows it returns or yields are the stock's, what it
              raises is its error; a coroutine function too
    """

    def __init__(
        self,
        history: Ledger | ExecutionHistoryRegistry | Store,
        *,
        sources: Mapping[str, SourceConfig] | None = None,
        fetch: Callable[[str], Any] | None = None,
    ) -> None:
        self.registry = history if isinstance(history, ExecutionHistoryRegistry) else ExecutionHistoryRegistry(history)
        self._sink = HistorySink(self.registry)
        performs: dict[type[Any], Perform] = {Fetch: _calling(fetch) if fetch else self._fetcher(sources)}
        self._runner = Runner(self._sink, performs=performs)
        self._new_id = self.registry.ledger.new_id if self.registry.ledger is not None else IdMaker()

    def execute_job(self, job: Job, *, triggered_by: str = "manual", stocks: Sequence[str] | None = None) -> JobResult:
        """What became of the job, once it has ended.

        A stock that fails fails alone, and the job goes on though its history cannot be saved (`saved` tells). It is
        run once: retries, as triggers, are a scheduler's. `stocks` narrows it. Raises InvalidError for a job that
        cannot be run, and for stocks that it has not.
        """
        check_job(job)
        if stocks is not None:
            check_narrowed(job, tuple(stocks))
        if not job.id:
            job = structs.replace(job, id=self._new_id())
        order = Order(
            execution_id=self._new_id(),
            job=job,
            kind=KIND,
            items=None if stocks is None else tuple(stocks),
            triggered_by=triggered_by,
        )
        result = self._runner.run(order)
        saved = self._sink.knows(order.execution_id)
        return JobResult(record=record_of(execution_of(order, result)), saved=saved)

    def close(self) -> None:
        """Cancel what runs and release the threads."""
        self._runner.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _fetcher(self, sources: Mapping[str, SourceConfig] | None) -> Fetcher:
        from execlog.core.settings import load

        ledger = self.registry.ledger
        home = (ledger.settings if ledger is not None else load()).home
        return Fetcher(dict(configured_sources(home) if sources is None else sources), home / "prices.db")


def execution_of(order: Order, result: Result) -> Execution:
    """The execution as its history will have it."""
    job = order.job
    return Execution(
        id=order.execution_id,
        kind=order.kind,
        at=result.ended_at,
        created_at=result.started_at,
        status=result.status,
        name=job.name,
        subject=job.id,
        actor=order.triggered_by,
        started_at=result.started_at,
        ended_at=result.ended_at,
        duration=result.duration,
        error=result.error,
        total=len(order.stocks),
        items=result.items,
        output=result.output,
        params={"type": type(job.run).__struct_config__.tag},
        metadata=order.metadata or None,
    )


def _calling(fetch: Callable[[str], Any]) -> Perform:
    def perform(task: Task) -> ItemResult:
        value, rows = run_to_end(fetch(task.item or ""))
        if isinstance(value, list | tuple):
            rows = len(cast("list[Any]", value))
        return ItemResult(rows=rows)

    return perform
