"""The history and the statistics of queries, as their clients are answered."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from typing import Annotated, Literal, Protocol, runtime_checkable

import msgspec
from msgspec import Meta, Struct

from execlog.core.filter import Filter
from execlog.core.model import TERMINAL, Execution, Key, Status
from execlog.core.rollup import Bucket
from execlog.kinds.queries.record import KIND, WORDS, QueryRow, Unseal, row_of
from execlog.ledger import Ledger
from execlog.store.base import DETAIL, Store
from execlog.store.matching import MAX_OFFSET

DAY_MICROS = 86_400_000_000
Word = Literal["success", "failed", "error", "timeout", "running", "queued"]
UserId = Annotated[str, Meta(min_length=1, max_length=100)]
Days = Annotated[int, Meta(ge=1, le=36_500, description="How many days back from now")]


class HistoryQuestion(Struct, frozen=True, kw_only=True):
    """Which page of a user's executions. Running and queued ones are shown only where their status is asked for."""

    user_id: UserId
    limit: Annotated[int, Meta(ge=1, le=1000)] = 100
    offset: Annotated[int, Meta(ge=0, le=2**53)] = 0
    status: Word | None = None
    database_type: Annotated[str, Meta(max_length=1000)] | None = None


class UserQuestion(Struct, frozen=True, kw_only=True):
    """Which user."""

    user_id: UserId


class PeriodQuestion(Struct, frozen=True, kw_only=True):
    """Which period, up to now."""

    days: Days = 7


class UserPeriodQuestion(UserQuestion, frozen=True, kw_only=True):
    """Which user, and which period up to now."""

    days: Days = 7


class History(Struct, frozen=True, kw_only=True):
    """A page of a user's executions, newest first; `count` is of this page."""

    user_id: str
    executions: tuple[QueryRow, ...]
    count: int
    limit: int
    offset: int


class GlobalStats(Struct, frozen=True, kw_only=True):
    """What the queries that ended within a period come to; times in seconds.

    success_rate is in percent with two decimals, 0.0 over nothing, as are the times.
    """

    period_days: int
    total_executions: int
    success_count: int
    failed_count: int
    error_count: int
    timeout_count: int
    success_rate: float
    avg_execution_time: float
    max_execution_time: float
    total_rows_processed: int


class UserStats(Struct, frozen=True, kw_only=True):
    """As GlobalStats, of one user."""

    user_id: str
    period_days: int
    total_executions: int
    success_count: int
    failed_count: int
    error_count: int
    timeout_count: int
    success_rate: float
    avg_execution_time: float
    max_execution_time: float
    total_rows_processed: int


class DatabaseFigures(Struct, frozen=True, kw_only=True):
    """What the queries on one type of database come to; failed_count is every one that did not succeed."""

    database_type: str
    execution_count: int
    success_count: int
    failed_count: int
    avg_execution_time: float


class GlobalDatabaseStats(Struct, frozen=True):
    """The figures of every type of database, the most used first."""

    database_stats: tuple[DatabaseFigures, ...]


class UserDatabaseStats(Struct, frozen=True):
    """The figures of every type of database a user queried, the most used first."""

    user_id: str
    database_stats: tuple[DatabaseFigures, ...]


@runtime_checkable
class Numbering(Protocol):
    """A store whose rows have numbers of their own."""

    def numbers(self, keys: Sequence[Key]) -> list[int]:
        """The numbers of these executions' rows, in their order; 0 for one that is gone."""
        ...


def history(ledger: Ledger, asked: HistoryQuestion, unseal: Unseal | None = None) -> History:
    """The page asked for."""
    statuses = tuple(TERMINAL) if asked.status is None else _statuses(asked.status)
    filter_ = Filter(
        kind=KIND, actor=asked.user_id, engine=asked.database_type, statuses=tuple(s for s in Status if s in statuses)
    )
    found = _page(ledger.store, filter_, limit=asked.limit, offset=asked.offset)
    numbers = numbers_of(ledger.store, found)
    rows = tuple(row_of(execution, number, unseal) for execution, number in zip(found, numbers, strict=True))
    return History(user_id=asked.user_id, executions=rows, count=len(rows), limit=asked.limit, offset=asked.offset)


def global_stats(ledger: Ledger, days: int) -> GlobalStats:
    """Everybody's statistics of the last days."""
    return _stats(ledger, days, None)


def user_stats(ledger: Ledger, user_id: str, days: int) -> UserStats:
    """A user's statistics of the last days."""
    return UserStats(user_id=user_id, **msgspec.structs.asdict(_stats(ledger, days, user_id)))


def database_stats(ledger: Ledger, user_id: str | None = None) -> tuple[DatabaseFigures, ...]:
    """The figures of every type of database, over all time, the most used first; of one user or of everybody."""
    groups = ledger.store.stats(Filter(kind=KIND, actor=user_id), group_by="engine")
    groups.sort(key=lambda group: (-group.bucket.total, str(group.key)))
    return tuple(_figures(str(group.key), group.bucket) for group in groups)


def numbers_of(store: Store, executions: Sequence[Execution]) -> list[int]:
    """A whole number for each execution that stays the same in this store.

    The number of its row where the store has such, as the view `query_executions` shows it; elsewhere 53 bits of a
    digest of its identity, which any JSON reader holds exactly.
    """
    keys = [execution.key for execution in executions]
    if isinstance(store, Numbering):
        return store.numbers(keys)
    return [_digest(key) for key in keys]


def _digest(key: Key) -> int:
    digest = hashlib.blake2b("\0".join(key).encode("utf-8", "surrogatepass"), digest_size=8).digest()
    return int.from_bytes(digest, "big") >> 11


def _page(store: Store, filter_: Filter, *, limit: int, offset: int) -> Sequence[Execution]:
    """The entries after `offset`, however far: beyond what a store skips at once, it goes on with cursors."""
    cursor: str | None = None
    while offset > MAX_OFFSET:
        page = store.find(filter_, limit=1, offset=MAX_OFFSET - 1, cursor=cursor)
        cursor, offset = page.next_cursor, offset - MAX_OFFSET
        if cursor is None:
            return ()
    return store.find(filter_, limit=limit, offset=offset, cursor=cursor, parts=DETAIL).entries


def _statuses(word: str) -> tuple[Status, ...]:
    return tuple(status for status, shown in WORDS.items() if shown == word)


def _stats(ledger: Ledger, days: int, user_id: str | None) -> GlobalStats:
    since = ledger.clock.now() - days * DAY_MICROS
    groups = ledger.store.stats(Filter(kind=KIND, actor=user_id, since=since))
    bucket = groups[0].bucket if groups else Bucket()
    success = bucket.succeeded + bucket.partial
    return GlobalStats(
        period_days=days,
        total_executions=bucket.total,
        success_count=success,
        failed_count=bucket.failed + bucket.cancelled,
        error_count=bucket.crashed,
        timeout_count=bucket.timed_out,
        success_rate=round(100 * success / bucket.total, 2) if bucket.total else 0.0,
        avg_execution_time=_seconds(bucket.mean_seconds),
        max_execution_time=_seconds(bucket.max_micros / 1e6),
        total_rows_processed=bucket.rows,
    )


def _figures(database_type: str, bucket: Bucket) -> DatabaseFigures:
    success = bucket.succeeded + bucket.partial
    return DatabaseFigures(
        database_type=database_type,
        execution_count=bucket.total,
        success_count=success,
        failed_count=bucket.total - success,
        avg_execution_time=_seconds(bucket.mean_seconds),
    )


def _seconds(seconds: float | None) -> float:
    """Seconds to the microsecond, which is what is measured; 0.0 where nothing was."""
    return round(seconds or 0.0, 6)
