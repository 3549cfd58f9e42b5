"""`ExecutionHistoryService`: the history of workflow executions by project, over any ledger or store."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any

from msgspec.structs import replace

from execlog.core.clock import micros, parse_when
from execlog.core.errors import InvalidError
from execlog.core.filter import Filter, Sort
from execlog.core.model import OPEN, Event, Execution, Status, Usage
from execlog.core.rollup import Bucket
from execlog.history.view import dollars, nano
from execlog.kinds.workflows.mapping import event_of, model_of, record_of, summary_of
from execlog.kinds.workflows.record import (
    ExecutionPage,
    ProjectModels,
    ProjectStatistics,
    WorkflowExecution,
)
from execlog.kinds.workflows.recording import StoreRecorder, recorder_for
from execlog.kinds.workflows.words import KIND, check_project, statuses_for
from execlog.ledger import Ledger
from execlog.store.base import SUMMARY, Part, Store

Moment = datetime | date | str | int | None
PAGE = 1_000
_FLUSH_SECONDS = 10.0
_LOOKS = 3


class ExecutionHistoryService:
    """Saves, finds, deletes and sums up workflow executions; a project is the store's namespace.

    Over a ledger a save is in the journal when it returns (it survives a kill of the process, and the store may be
    down), and a read of this service waits until the store has its own saves. Over a store a save is a transaction.
    Thread-safe.
    """

    def __init__(self, history: Ledger | Store) -> None:
        self._history = history
        self.recorder = recorder_for(history)
        self._wrote = False

    @property
    def store(self) -> Store:
        """The store behind it, opened at first use."""
        return self._history.store if isinstance(self._history, Ledger) else self._history

    def save_execution(self, project_id: str, execution: WorkflowExecution | Mapping[str, Any]) -> bool:
        """Whether the execution was taken in. Saving one again updates it; one that ended is not running again.

        Raises InvalidError for what cannot be saved and, over a bare store, StoreError.
        """
        record = execution if isinstance(execution, WorkflowExecution) else WorkflowExecution.from_dict(execution)
        event = event_of(record, project_id, self.recorder.stamp(), self.recorder.mended)
        return self.append(event)

    def append(self, event: Event) -> bool:
        """Whether this event about a workflow's execution was taken in. Raises StoreError over a bare store."""
        if isinstance(self.recorder, StoreRecorder):
            self.recorder.apply(event)
            return True
        taken = self.recorder.append(event)
        self.mark_written()
        return taken

    def mark_written(self) -> None:
        """From now on reads of this service wait for what this process recorded before them."""
        self._wrote = True

    def get_execution(self, project_id: str, execution_id: str) -> WorkflowExecution | None:
        """The whole execution, None where there is none."""
        found = self.find(project_id, execution_id)
        return None if found is None else record_of(found)

    def find(self, project_id: str, execution_id: str) -> Execution | None:
        """The execution of the spine behind a record, whole; None where there is none."""
        return self.reader().get(execution_id, kind=KIND, namespace=project_id)

    def list_executions(
        self, project_id: str, limit: int = 50, offset: int = 0, status: str | None = None, **narrow: Any
    ) -> ExecutionPage:
        """A page of a project's executions, newest first, and how many match in all.

        `narrow` is what `filter_of` takes. Raises InvalidError for a limit outside 1 to 1000, an unknown status …
        """
        return self.page(filter_of(project_id, status=status, **narrow), limit, offset)

    def page(self, wanted: Filter, limit: int = 50, offset: int = 0) -> ExecutionPage:
        """A page of the executions a filter asks for, and how many there are."""
        store = self.reader()
        found = store.find(wanted, limit=limit, offset=offset)
        return ExecutionPage(tuple(map(summary_of, found.entries)), store.count(wanted))

    def delete_execution(self, project_id: str, execution_id: str) -> bool:
        """Whether there was such an execution. One deleted while it runs stays deleted."""
        return self.delete(Filter(kind=KIND, namespace=check_project(project_id), ids=(execution_id,))) > 0

    def delete_all_executions(self, project_id: str) -> int:
        """How many executions of the project were removed, those that run too."""
        return self.delete(Filter(kind=KIND, namespace=check_project(project_id)))

    def delete(self, wanted: Filter) -> int:
        """How many of the executions a filter asks for were removed."""
        return self.reader(everything=True).delete(wanted)

    def get_statistics(self, project_id: str, **narrow: Any) -> ProjectStatistics:
        """The project's executions summed up, from the store's buckets and the executions that are still open.

        `narrow` is what `filter_of` takes.
        """
        return self.statistics(filter_of(project_id, **narrow))

    def statistics(self, wanted: Filter) -> ProjectStatistics:
        """The executions a filter asks for, whatever their status, summed up."""
        ended, still_open = self._sums(self.reader(), wanted)
        completed = ended.succeeded + ended.partial
        failed = ended.failed + ended.timed_out + ended.crashed
        return ProjectStatistics(
            total_executions=completed + failed + ended.cancelled + len(still_open),
            completed=completed,
            failed=failed,
            running=sum(execution.status is Status.RUNNING for execution in still_open),
            total_cost_usd=_exactly(ended.cost_nano + sum(entry.cost_nano or 0 for entry in still_open)),
            total_tokens=ended.tokens_input + ended.tokens_output + sum(sum(entry.tokens) for entry in still_open),
        )

    def models(self, wanted: Filter) -> ProjectModels:
        """Tokens and cost by model over the executions a filter asks for; reads each that called a model."""
        sums: dict[str, Usage] = {}
        executions = 0
        for execution in self.scan(wanted):
            executions += bool(execution.usage)
            for model, usage in (execution.usage or {}).items():
                sums[model] = add(sums.get(model), usage)
        return ProjectModels(models={model: model_of(sums[model]) for model in sorted(sums)}, executions=executions)

    def scan(self, wanted: Filter, parts: frozenset[Part] = SUMMARY, page: int = PAGE) -> Iterator[Execution]:
        """Every execution a filter asks for, in its order, read page by page."""
        store, cursor = self.reader(), None
        while True:
            found = store.find(wanted, limit=page, cursor=cursor, parts=parts)
            yield from found.entries
            cursor = found.next_cursor
            if cursor is None:
                return

    def end_dead(self) -> None:
        """Have what processes of this home left open that are gone end as crashed, now. Raises StoreError."""
        if isinstance(self._history, Ledger):
            self._history.drain_dead()

    def _sums(self, store: Store, wanted: Filter) -> tuple[Bucket, list[Execution]]:
        """The sums of what ended, and what is still open.

        Two answers of the store: where it changed in between, one execution could be in both, or in none.
        """
        for look in range(1, _LOOKS + 1):
            before = _newest_change(store)
            still_open = list(self.scan(replace(wanted, statuses=tuple(OPEN))))
            (group,) = store.stats(wanted)
            if look == _LOOKS or before == _newest_change(store):
                return group.bucket, still_open
        raise AssertionError  # pragma: no cover - the last look returns

    def reader(self, *, everything: bool = False) -> Store:
        """The store, once it has what this service (or with `everything` this process) saved before."""
        if isinstance(self._history, Ledger) and (self._wrote or everything):
            self._history.flush(timeout=_FLUSH_SECONDS)
        return self.store


def filter_of(  # noqa: PLR0913 - what a question may narrow, each by its name
    project_id: str,
    *,
    status: str | None = None,
    since: Moment = None,
    until: Moment = None,
    min_cost: Decimal | float | str | None = None,
    max_cost: Decimal | float | str | None = None,
    min_tokens: int | None = None,
    max_tokens: int | None = None,
    text: str | None = None,
    workflow_id: str | None = None,
    actor: str | None = None,
    sort: Sort = "newest",
) -> Filter:
    """The filter for a project's executions: started in [since, until), cost in US dollars, tokens in plus out.

    A time is a datetime, a date, which is its beginning in UTC, a text of ISO 8601, or UTC µs.
    `text` is contained in its input, output or error, in any script and case. Raises InvalidError.
    """
    return Filter(
        kind=KIND,
        namespace=check_project(project_id),
        statuses=statuses_for(status),
        since=_micros(since),
        until=_micros(until),
        min_cost_nano=_nano(min_cost, "min_cost"),
        max_cost_nano=_nano(max_cost, "max_cost"),
        min_tokens=min_tokens,
        max_tokens=max_tokens,
        text=text or None,
        subject=workflow_id,
        actor=actor,
        sort=sort,
    )


def add(sums: Usage | None, usage: Usage) -> Usage:
    """The sum of two usages of one model; its cost is that of the calls whose price is known."""
    if sums is None:
        return usage
    known = [cost for cost in (sums.cost_nano, usage.cost_nano) if cost is not None]
    return Usage(
        sums.input + usage.input,
        sums.output + usage.output,
        sums.cached + usage.cached,
        sums.reasoning + usage.reasoning,
        sums.calls + usage.calls,
        sum(known) if known else None,
        usage.prices or sums.prices,
    )


def _exactly(cost_nano: int) -> Decimal:
    return dollars(cost_nano) or Decimal("0.0")


def _newest_change(store: Store) -> int:
    if not store.capabilities.changes:
        return 0
    newest = store.changes(-1, limit=1)
    return newest[-1].number if newest else 0


def _micros(when: Moment) -> int | None:
    if isinstance(when, str):
        return parse_when(when, now=None)
    if isinstance(when, date) and not isinstance(when, datetime):
        return micros(datetime(when.year, when.month, when.day, tzinfo=UTC))
    return micros(when) if isinstance(when, datetime) else when


def _nano(amount: Decimal | float | str | None, field: str) -> int | None:
    try:
        return None if amount is None else nano(str(amount))
    except (ArithmeticError, ValueError) as error:
        raise InvalidError(f"{field} is an amount of US dollars, not {amount!r:.60}", field=field) from error
