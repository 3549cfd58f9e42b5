"""`PipelineHistory`: the methods a backfill calls to be seen, and those that answer how it went.

The first five record. They never raise: what cannot be recorded as it is, is mended or refused, counted
(`Ledger.stats`) and logged once; and with the store down the journal takes what is said. The others ask the store, and
raise StoreError where it cannot answer.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from datetime import date, datetime
from functools import wraps
from typing import Any, Concatenate, ParamSpec, TypeVar

import msgspec

from execlog.core.errors import ExeclogError, InvalidError
from execlog.core.filter import MAX_LIMIT, Filter
from execlog.core.model import OPEN, Event, Item, Status
from execlog.kinds.pipelines import answers
from execlog.kinds.pipelines.opened import Opened
from execlog.kinds.pipelines.reading import Reader
from execlog.kinds.pipelines.retries import Retries
from execlog.kinds.pipelines.words import FEATURE, PIPELINE
from execlog.ledger import Ledger
from execlog.store.pairs import BANDS, LAST_BAR, Band, pairs_of

P = ParamSpec("P")
R = TypeVar("R")
FLUSH_SECONDS = 2.0
Method = Callable[Concatenate["PipelineHistory", P], R]


def _unharmed(*, answer: R) -> Callable[[Method[P, R]], Method[P, R]]:
    """What decorates a method that records: whatever happens in it, the caller gets an answer."""

    def decorate(method: Method[P, R]) -> Method[P, R]:
        @wraps(method)
        def recorded(self: PipelineHistory, /, *args: P.args, **kwargs: P.kwargs) -> R:
            try:
                return method(self, *args, **kwargs)
            except Exception as error:  # noqa: BLE001 - a backfill must not fail because it could not be recorded
                self.ledger.recorder.refuse("pipeline", error)
                return answer

        return recorded

    return decorate


class PipelineHistory:
    """Records executions of pipelines into a ledger and answers about them. Thread-safe. Naive datetimes are UTC."""

    def __init__(self, ledger: Ledger) -> None:
        self.ledger = ledger
        self._read = Reader(ledger.recorder)
        self._opened = Opened()
        self._retries = Retries(ledger)

    def create_scheduler_execution_log(
        self,
        started_at: datetime | None = None,
        total_symbols: int = 0,
        status: str = "running",
        *,
        name: str = "backfill",
        execution_id: str | None = None,
        **fields: Any,
    ) -> str:
        """The id of a new execution, begun now or at `started_at`; an `execution_id` of one's own is kept if it may be.

        `fields` are further ones of `core.model.Event`: params, metadata, tags, retry_of, root_id …; what is none, or
        cannot be read, is kept as metadata.
        """
        id_ = self._read.id(execution_id) or self.ledger.new_id()
        self._begin(id_, started_at, total_symbols, status, {"name": name, "subject": name} | fields)
        return id_

    @_unharmed(answer=False)
    def update_scheduler_execution_log(
        self,
        execution_id: str,
        completed_at: datetime | None = None,
        successful_symbols: int | None = None,
        failed_symbols: int | None = None,
        total_records_processed: int | None = None,
        status: str = "completed",
        error_message: str | BaseException | None = None,
    ) -> bool:
        """Whether there is such an execution; what is given is said about it, None leaves what was said before.

        With "running" it goes on, e.g. to show how far it is; otherwise it has ended, by default now.
        """
        id_ = self._known(execution_id)
        if id_ is None:
            return False
        at, failed = self._stamp(), self._read.count(failed_symbols)
        canonical = self._read.status(status, failed=failed, faulty=error_message is not None)
        outcome: dict[str, Any] = {}
        if canonical not in OPEN:
            ended_at, started_at = self._read.time(completed_at, at), self._opened.started_at(id_)
            outcome = {
                "ended_at": ended_at,
                "duration": None if started_at is None else max(ended_at - started_at, 0) / 1e6,
                "error": self._read.error(error_message, "PipelineError"),
            }
        return self.ledger.append(
            Event(
                id=id_,
                kind=PIPELINE,
                at=at,
                status=canonical,
                declared_succeeded=self._read.count(successful_symbols),
                declared_failed=failed,
                rows=self._read.count(total_records_processed),
                **outcome,
            )
        )

    @_unharmed(answer="")
    def log_feature_computation_failure(
        self,
        symbol: str,
        timeframe: str,
        error_message: str | BaseException,
        execution_id: str | None = None,
        *,
        retry_count: int | None = None,
        failed_at: datetime | None = None,
    ) -> str:
        """The id of the failure. It counts as resolved as soon as a later computation of the pair succeeds.

        `retry_count` is by default how many failures of the pair came before it since it last succeeded; it is linked
        to the one before.
        """
        pair, at, id_ = self._read.pair(symbol, timeframe), self._stamp(), self.ledger.new_id()
        ended_at = self._read.time(failed_at, at)
        link = self._retries.fail(pair, id_, ended_at, self._read.count(retry_count))
        event = Event(
            id=id_,
            kind=FEATURE,
            at=at,
            status=Status.FAILED,
            name=pair.key,
            subject=pair.key,
            started_at=ended_at,
            ended_at=ended_at,
            error=self._read.error(error_message, "FeatureComputationError"),
            metadata={"timeframe": pair.timeframe, "retry_count": link.retries},
            parent_id=self._read.id(execution_id),
            retry_of=link.retry_of,
            root_id=link.root_id,
        )
        return id_ if self.ledger.append(event) else ""

    @_unharmed(answer=False)
    def log_symbol_computation_status(  # noqa: PLR0913, PLR0917 - the contract's columns
        self,
        execution_id: str,
        symbol: str,
        asset_class: str | None = None,
        timeframe: str = "1d",
        status: str = "completed",
        records_processed: int | None = None,
        records_inserted: int | None = None,
        features_computed: int | None = None,
        started_at: datetime | None = None,
        completed_at: datetime | None = None,
        duration_seconds: float | None = None,
        error_message: str | BaseException | None = None,
        *,
        last_bar_at: datetime | date | None = None,
        **data: Any,
    ) -> bool:
        """Whether there is such an execution: how a pair stands in it. None leaves what was said of the pair before.

        A completed one with features computed makes the pair fresh, from `data_point_count` data points where that is
        given, else from the records processed. `last_bar_at` is when the last of them began: the calendar's verdict
        sees by it that a feed has stopped. `data` is kept with it, e.g. retry_count.
        """
        id_ = self._known(execution_id)
        if id_ is None:
            return False
        pair, at = self._read.pair(symbol, timeframe), self._stamp()
        canonical = self._read.status(status, faulty=error_message is not None)
        said = data | {
            "timeframe": pair.timeframe,
            "asset_class": None if asset_class is None else str(asset_class),
            "records_inserted": self._read.count(records_inserted),
            "features_computed": self._read.count(features_computed),
            LAST_BAR: self._read.instant(last_bar_at),
        }
        item = Item(
            key=pair.key,
            at=at,
            status=canonical,
            started_at=None if started_at is None else self._read.time(started_at, at),
            ended_at=None if canonical in OPEN else self._read.time(completed_at, at),
            duration=self._read.seconds(duration_seconds),
            rows=self._read.count(records_processed),
            error=self._read.error(error_message, "ComputationError"),
            data={name: value for name, value in said.items() if value is not None},
        )
        item = self._opened.take(id_, item)
        if canonical is Status.SUCCEEDED and (item.data or {}).get("features_computed"):
            self._retries.succeed(pair)
        return self.ledger.append(Event(id=id_, kind=PIPELINE, at=at, items=(item,)))

    @_unharmed(answer=False)
    def update_feature_freshness(
        self,
        symbol: str,
        timeframe: str,
        last_computed_at: datetime | None = None,
        data_point_count: int = 0,
        status: str | None = None,
        staleness_seconds: float | None = None,
        *,
        last_bar_at: datetime | date | None = None,
        execution_id: str | None = None,
    ) -> bool:
        """Whether it was taken in: the pair's features were computed then, from so many data points.

        Without a time: now, or never where there are no data points. `last_bar_at` is when the last bar began that
        they have: the calendar's verdict sees by it that a feed has stopped. `status` and `staleness_seconds` may be
        given by callers that have them, and are left aside: both are worked out when they are read.
        """
        del status, staleness_seconds
        pair, at = self._read.pair(symbol, timeframe), self._stamp()
        points = self._read.count(data_point_count) or 0
        never = last_computed_at is None and not points
        if points:
            self._retries.succeed(pair)
        computed_at, bar_at = self._read.time(last_computed_at, at), self._read.instant(last_bar_at)
        said = {"never_computed": True if never else None, LAST_BAR: bar_at}
        return self.ledger.append(
            Event(
                id=self.ledger.new_id(),
                kind=FEATURE,
                at=at,
                status=Status.SUCCEEDED,
                name=pair.key,
                subject=pair.key,
                started_at=computed_at,
                ended_at=computed_at,
                rows=points,
                metadata={"timeframe": pair.timeframe}
                | {name: value for name, value in said.items() if value is not None},
                parent_id=self._read.id(execution_id),
            )
        )

    def note_success(self, pair: tuple[str, str]) -> None:
        """A pair's computation succeeded and was recorded in other words: its next failure is a first one."""
        self._retries.succeed(self._read.pair(*pair))

    def monitor(self, pairs: Iterable[tuple[str, str]], *, calendar: str | None = None) -> int:
        """How many of these (symbol, timeframe) pairs were not monitored before; all are now.

        One that is never computed is missing. `calendar` (e.g. "XNYS") gives them the verdict that knows sessions.
        Raises StoreError, InvalidError for a calendar there is not, MissingExtraError.
        """
        if calendar is not None:
            from execlog.runner.calendars import check_calendar

            check_calendar(calendar)
        return pairs_of(self.ledger.store).monitor([self._read.pair(*pair) for pair in pairs], calendar=calendar)

    def release(self, pairs: Iterable[tuple[str, str]]) -> int:
        """How many of these pairs were monitored; none is any more until `monitor` names it. Raises StoreError."""
        return pairs_of(self.ledger.store).release([self._read.pair(*pair) for pair in pairs])

    def get_scheduler_health(self) -> dict[str, Any]:
        """Whether pipelines do their work: what `GET /api/v1/admin/scheduler-health` answers."""
        self._settle()
        return _plain(answers.health_of(self.ledger.store, self.ledger.clock.now()))

    def get_feature_staleness_report(self, limit: int = 50, *, calendar_status: Band | None = None) -> dict[str, Any]:
        """How fresh features are: what `GET /api/v1/admin/features/staleness` answers. Raises InvalidError."""
        _check(limit)
        if calendar_status not in {None, *BANDS}:
            raise InvalidError(f"calendar_status must be one of {', '.join(BANDS)}", field="calendar_status")
        self._settle()
        store, now = self.ledger.store, self.ledger.clock.now()
        return _plain(answers.staleness_of(store, now, limit=limit, calendar_status=calendar_status))

    def get_execution_history(self, limit: int = 20) -> list[dict[str, Any]]:
        """The newest executions, as `GET /api/v1/admin/scheduler/execution-history` lists them. Raises InvalidError."""
        _check(limit)
        self._settle()
        found = answers.entries_of(self.ledger.store, self.ledger.clock.now(), limit=limit)
        return _plain(found.executions)

    @_unharmed(answer=False)
    def _begin(self, id_: str, started_at: Any, total: Any, status: Any, fields: dict[str, Any]) -> bool:
        at = self._stamp()
        begun_at = self._read.time(started_at, at)
        self._opened.begin(id_, begun_at)
        own: dict[str, Any] = {
            "id": id_, "kind": PIPELINE, "at": at, "status": self._read.status(status), "started_at": begun_at,
            "total": self._read.count(total) or 0, "origin": self.ledger.recorder.origin,
        }  # fmt: skip
        return self.ledger.append(self.ledger.recorder.compose(fields | own))

    def _known(self, execution_id: Any) -> str | None:
        """The id, a UUID's text too, of an execution begun here or in the store; one that is down gets the benefit."""
        id_ = self._read.id(execution_id)
        if id_ is None or id_ in self._opened:
            return id_
        self._settle()
        try:
            found = self.ledger.store.find(Filter(kind=PIPELINE, ids=(id_,)), limit=1).entries
        except (ExeclogError, OSError):
            return id_
        if not found:
            self.ledger.recorder.refuse("unknown", LookupError(f"there is no pipeline execution {id_!r}"))
            return None
        self._opened.begin(id_, found[0].started_at)
        return id_

    def _stamp(self) -> int:
        return self.ledger.recorder.stamp()

    def _settle(self) -> None:
        """Let what was said before be read: at once when nothing is under way, never for long."""
        self.ledger.flush(FLUSH_SECONDS)


def _check(limit: int) -> None:
    if not 1 <= limit <= MAX_LIMIT:
        raise InvalidError(f"limit must be 1 to {MAX_LIMIT}, not {limit}", field="limit")


def _plain(answer: Any) -> Any:
    """The answer as dicts, lists, texts and numbers: what a client of the route reads from its JSON."""
    return msgspec.json.decode(msgspec.json.encode(answer))
