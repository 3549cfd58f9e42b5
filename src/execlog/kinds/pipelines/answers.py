"""What is asked about pipelines: health, how stale features are, and the history of executions.

Worked out from the store when asked, for the time `now` (UTC µs). The shapes are the contract's; what is beyond it
(`reasons`, the calendar's verdict) is added, never in place of anything.
"""

from __future__ import annotations

from datetime import datetime
from itertools import islice
from typing import Annotated

from msgspec import Meta, Struct

from execlog.core.clock import MAX_AT, MIN_AT, moment
from execlog.core.filter import Filter
from execlog.core.model import Execution, Status
from execlog.kinds.pipelines.sessions import missing_since
from execlog.kinds.pipelines.words import PIPELINE, WORDS, Word
from execlog.store.base import DETAIL, SUMMARY, Store
from execlog.store.pairs import EVERY_PAIR, SECOND, Band, PairState, Summary, band_of_age, pairs_of

DAY = 86_400 * SECOND
RECENT_FAILURES = 10
Seconds = Annotated[int, Meta(description="Whole seconds; 0 for a time in the future")]


class LastExecution(Struct, frozen=True, kw_only=True):
    """The pipeline execution that began last."""

    execution_id: str
    started_at: datetime | None
    completed_at: datetime | None
    status: Word
    successful_symbols: int
    failed_symbols: int


class RecentFailure(Struct, frozen=True, kw_only=True):
    """A computation that failed and has not succeeded since."""

    symbol: str
    timeframe: str
    error: str
    failed_at: datetime


class SchedulerHealth(Struct, frozen=True, kw_only=True):
    """Whether pipelines do their work.

    Degraded: the last execution failed or crashed, a monitored feature is stale or missing, or a computation failed
    within 24 hours and has not succeeded since; `reasons` says which. `recent_failures` are the newest ten of those.
    """

    status: str
    timestamp: datetime
    last_execution: LastExecution | None
    stale_features_count: int
    recent_failures: tuple[RecentFailure, ...]
    total_symbols_monitored: int
    reasons: tuple[str, ...]


class FeatureFreshness(Struct, frozen=True, kw_only=True):
    """How fresh the features of a pair are, by age alone and by what its market has produced since.

    status             by age: below an hour fresh, below a day aging, else stale; without data points missing
    calendar_status    the same limits, applied to how long data has been there that the features lack: those that
                       have Friday's bar are fresh until Monday's close. Null for a pair without a calendar, on a
                       timeframe that is not understood, and beyond the days that the installed calendar knows
    last_bar_at        when the last bar began that they have; null where the computation did not say, and what it
                       lacks then counts from when it was computed
    """

    symbol: str
    timeframe: str
    last_computed_at: datetime | None
    staleness_seconds: Seconds | None
    status: Band
    data_point_count: int
    calendar: str | None = None
    calendar_status: Band | None = None
    calendar_staleness_seconds: Seconds | None = None
    last_bar_at: datetime | None = None


class StalenessSummary(Struct, frozen=True, kw_only=True):
    """How many of all monitored pairs are in each band."""

    fresh_count: int
    aging_count: int
    stale_count: int
    missing_count: int
    total_monitored: int


class StalenessByStatus(Struct, frozen=True, kw_only=True):
    """The pairs of each band, the stalest first."""

    fresh: tuple[FeatureFreshness, ...]
    aging: tuple[FeatureFreshness, ...]
    stale: tuple[FeatureFreshness, ...]
    missing: tuple[FeatureFreshness, ...]


class StalenessReport(Struct, frozen=True, kw_only=True):
    """How fresh the features of all monitored pairs are."""

    timestamp: datetime
    summary: StalenessSummary
    by_status: StalenessByStatus


class PipelineEntry(Struct, frozen=True, kw_only=True):
    """One pipeline execution; `success_rate` in percent, 0.0 over no symbols."""

    execution_id: str
    started_at: datetime | None
    completed_at: datetime | None
    duration_seconds: float | None
    total_symbols: int
    successful_symbols: int
    failed_symbols: int
    total_records_processed: int
    status: Word
    error_message: str | None
    success_rate: float


class PipelineEntries(Struct, frozen=True, kw_only=True):
    """Pipeline executions, the newest first."""

    timestamp: datetime
    executions: tuple[PipelineEntry, ...]


def health_of(store: Store, now: int) -> SchedulerHealth:
    """Whether pipelines do their work. Raises StoreError, or UnsupportedError where the store keeps no pairs."""
    pairs = pairs_of(store)
    found = store.find(Filter(kind=PIPELINE), limit=1, parts=SUMMARY).entries
    last = found[0] if found else None
    summary = pairs.summary(now)
    failures = pairs.failures(since=now - DAY, limit=RECENT_FAILURES, resolved=False)
    reasons = _reasons(last, summary, len(failures))
    return SchedulerHealth(
        status="degraded" if reasons else "healthy",
        timestamp=instant(now),
        last_execution=_last(last) if last else None,
        stale_features_count=summary.stale,
        recent_failures=tuple(
            RecentFailure(
                symbol=one.symbol,
                timeframe=one.timeframe,
                error=one.error_message or "",
                failed_at=instant(one.failed_at),
            )
            for one in failures
        ),
        total_symbols_monitored=pairs.symbols(),
        reasons=reasons,
    )


def staleness_of(store: Store, now: int, *, limit: int, calendar_status: Band | None = None) -> StalenessReport:
    """How fresh the features of all monitored pairs are, at most `limit` of each band in the lists.

    With `calendar_status` the lists have only pairs with that verdict: every pair is judged to find them.
    """
    summary, stalest = pairs_of(store).standing(now, limit=limit if calendar_status is None else EVERY_PAIR)
    lists: dict[Band, tuple[FeatureFreshness, ...]] = {}
    for band, states in stalest.items():
        told = (freshness_of(state, band, now) for state in states)
        wanted = (one for one in told if calendar_status in {None, one.calendar_status})
        lists[band] = tuple(islice(wanted, limit))
    return StalenessReport(
        timestamp=instant(now),
        summary=StalenessSummary(
            fresh_count=summary.fresh,
            aging_count=summary.aging,
            stale_count=summary.stale,
            missing_count=summary.missing,
            total_monitored=summary.total,
        ),
        by_status=StalenessByStatus(**lists),
    )


def entries_of(store: Store, now: int, *, limit: int) -> PipelineEntries:
    """Pipeline executions, the newest first."""
    found = store.find(Filter(kind=PIPELINE), limit=limit, parts=DETAIL).entries
    return PipelineEntries(timestamp=instant(now), executions=tuple(map(entry_of, found)))


def entry_of(execution: Execution) -> PipelineEntry:
    """The execution as the history shows it, as the view scheduler_execution_log does too."""
    total, succeeded, failed = symbols_of(execution)
    return PipelineEntry(
        execution_id=execution.id,
        started_at=_optional(execution.started_at),
        completed_at=_optional(execution.ended_at),
        duration_seconds=execution.seconds,
        total_symbols=total,
        successful_symbols=succeeded,
        failed_symbols=failed,
        total_records_processed=execution.rows or 0,
        status=WORDS[execution.status],
        error_message=execution.error.message if execution.error else None,
        success_rate=round(100 * succeeded / total, 2) if total > 0 else 0.0,
    )


def symbols_of(execution: Execution) -> tuple[int, int, int]:
    """Its symbols: total, successful, failed. As declared; what was not declared is counted from its items.

    A backfill over several timeframes has more items than symbols; it says the number of symbols in its metadata.
    """
    counts, said = execution.counts, (execution.metadata or {}).get("total_symbols")
    total = said if isinstance(said, int) else execution.total
    succeeded, failed = execution.declared_succeeded, execution.declared_failed
    return (
        counts.total if total is None else total,
        counts.succeeded if succeeded is None else succeeded,
        counts.failed if failed is None else failed,
    )


def freshness_of(state: PairState, band: Band, now: int) -> FeatureFreshness:
    """A pair as the report shows it."""
    age, ranked_at = state.age(now), state.ranked_at
    verdict: Band | None = None
    lacking: int | None = None
    if state.calendar is not None and ranked_at is not None:
        since = missing_since(ranked_at, state.last_bar_at, state.timeframe, state.calendar)
        if since is not None:
            lacking = max(now - since, 0)
            verdict = band_of_age(lacking)
    return FeatureFreshness(
        symbol=state.symbol,
        timeframe=state.timeframe,
        last_computed_at=_optional(state.last_computed_at),
        staleness_seconds=None if age is None else age // SECOND,
        status=band,
        data_point_count=state.data_point_count,
        calendar=state.calendar,
        calendar_status="missing" if state.calendar is not None and band == "missing" else verdict,
        calendar_staleness_seconds=None if lacking is None else lacking // SECOND,
        last_bar_at=_optional(state.last_bar_at),
    )


def instant(at: int) -> datetime:
    """The datetime of `at` µs, at most as far from now as a datetime goes."""
    return moment(min(max(at, MIN_AT), MAX_AT))


def _optional(at: int | None) -> datetime | None:
    return None if at is None else instant(at)


def _last(execution: Execution) -> LastExecution:
    _, succeeded, failed = symbols_of(execution)
    return LastExecution(
        execution_id=execution.id,
        started_at=_optional(execution.started_at),
        completed_at=_optional(execution.ended_at),
        status=WORDS[execution.status],
        successful_symbols=succeeded,
        failed_symbols=failed,
    )


def _reasons(last: Execution | None, summary: Summary, failures: int) -> tuple[str, ...]:
    reasons: list[str] = []
    if last is not None and WORDS[last.status] == "failed":
        verb = "crashed" if last.status is Status.CRASHED else "failed"
        because = f": {last.error.message.splitlines()[0][:200]}" if last.error and last.error.message.strip() else ""
        reasons.append(f"the last execution {verb}{because}")
    if summary.stale:
        reasons.append(f"{_number(summary.stale, 'feature')} not been computed for a day or longer")
    if summary.missing:
        reasons.append(f"{_number(summary.missing, 'monitored pair')} no data")
    if failures:
        shown = f"{failures} or more" if failures == RECENT_FAILURES else str(failures)
        reasons.append(f"{shown} failed within 24 hours and not succeeded since")
    return tuple(reasons)


def _number(count: int, noun: str) -> str:
    return f"1 {noun} has" if count == 1 else f"{count} {noun}s have"
