"""`Backfill`: for each symbol and timeframe fetch, insert, compute features; resumable, side by side, and seen.

    source, warehouse = RowSource.of_csv("stocks.csv"), SqliteWarehouse("market.db")
    report = Backfill(ledger, source, warehouse, limit=4).run(["AAPL", "GOOG"], ["1mo"], resume="last")

A pair that fails is tried again after a pause, logged with its error and how often it failed, and left; the others go
on. What is not done is done by `resume`. Nothing here fails because it could not be recorded.
"""

from __future__ import annotations

import logging
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import FIRST_EXCEPTION, Future, ThreadPoolExecutor, wait
from contextvars import copy_context
from datetime import date
from typing import Any

from msgspec import Struct
from msgspec.structs import replace

from execlog.core.clock import iso
from execlog.core.errors import ExeclogError, InvalidError
from execlog.core.model import Error, Event, Item, Status
from execlog.kinds.pipelines import features as frames
from execlog.kinds.pipelines.bars import Source, SourceError, bars_of, nothing_between
from execlog.kinds.pipelines.history import PipelineHistory
from execlog.kinds.pipelines.plan import Before, Plan, look_back, make_plan
from execlog.kinds.pipelines.progress import Progress, progress
from execlog.kinds.pipelines.warehouse import Warehouse
from execlog.kinds.pipelines.words import PIPELINE
from execlog.ledger import Ledger
from execlog.recorder.fault import error_of, status_of
from execlog.recorder.run import Run
from execlog.store.pairs import LAST_BAR, Pair, pairs_of

log = logging.getLogger("execlog")
FLUSH_SECONDS = 10.0
_SHOWN_ERROR, _LONGEST_PAUSE = 300, 60.0
_LOOK_UP_SECONDS = 0.2


class Report(Struct, frozen=True, kw_only=True):
    """How a backfill went. `failures` says why, by pair ("GOOG/1mo"); `before` counts pairs done by earlier ones.

    rows      fetched; `inserted` of them were new or other than what was kept
    values    of features kept
    """

    execution_id: str
    status: Status
    succeeded: int
    failures: dict[str, str]
    before: int
    rows: int
    inserted: int
    values: int
    seconds: float


class Backfill:
    """Runs plans over one source into one warehouse. An object may run one plan after another, not two at once.

    features      the names to compute (`features.FORMULAS`); () only fetches and inserts
    limit         most pairs at once, each in a thread
    attempts      most tries of a pair; an exception with an attribute `retry` that is False is not tried again
    delay         seconds before the second try, doubled for each further one, at most a minute
    calendar      the exchange calendar of the pairs, e.g. "XNYS", for the verdict that knows sessions
    on_progress   called after each pair, from the thread that did it; what it raises is logged and changes nothing
    """

    def __init__(  # noqa: PLR0913 - each is one setting with a default
        self,
        ledger: Ledger,
        source: Source,
        warehouse: Warehouse,
        *,
        features: Sequence[str] = frames.DEFAULT,
        limit: int = 4,
        attempts: int = 3,
        delay: float = 1.0,
        asset_class: str | None = None,
        calendar: str | None = None,
        on_progress: Callable[[Progress], object] | None = None,
    ) -> None:
        if limit < 1 or attempts < 1:
            raise InvalidError("limit and attempts must be 1 or more", field="limit" if limit < 1 else "attempts")
        for name in features:
            frames.feature(name)
        if features:
            frames.library()
        self.ledger, self.source, self.warehouse = ledger, source, warehouse
        self.features = tuple(dict.fromkeys(features))
        self.limit, self.attempts, self.delay = limit, attempts, delay
        self.asset_class, self.calendar, self.on_progress = asset_class, calendar, on_progress
        self.history = PipelineHistory(ledger)

    def run(
        self,
        symbols: Sequence[str],
        timeframes: Sequence[str],
        *,
        start: date | str | None = None,
        end: date | str | None = None,
        name: str = "backfill",
        resume: str | None = None,
        stop: threading.Event | None = None,
    ) -> Report:
        """How it went, once every pair was tried. `resume`: an execution's id, or "last" for the newest of this name.

        Resuming skips the pairs that are done. `stop`, once set, lets the pairs under way end and cancels the rest.
        Raises only what makes it impossible to begin: InvalidError, ConflictError, NotFoundError, and StoreError where
        `resume` cannot be looked up.
        """
        plan = make_plan(name, symbols, timeframes, start, end, self.features)
        if resume is not None:
            self.ledger.flush(FLUSH_SECONDS)
            self.ledger.drain_dead()
        before = look_back(self.ledger.store, plan, resume) if resume is not None else Before()
        pairs = [pair for pair in plan.pairs if pair.key not in before.done]
        self._register(plan.pairs)
        return _Execution(self, plan, before, pairs, stop or threading.Event()).run()

    def _register(self, pairs: Sequence[Pair]) -> None:
        """Register the pairs, so that one that is never computed is missing; those only fetched are not watched."""
        try:
            if self.features:
                self.history.monitor(pairs, calendar=self.calendar)
                return
            known = pairs_of(self.ledger.store).states(pairs)
            new = [pair for pair in pairs if pair not in known]
            self.history.monitor(new, calendar=self.calendar)
            self.history.release(new)
        except InvalidError:
            raise
        except (ExeclogError, OSError) as error:
            log.warning("execlog: the backfill's pairs could not be registered, it goes on: %s", error)


class _Execution:
    """One run of a plan."""

    def __init__(
        self, backfill: Backfill, plan: Plan, before: Before, pairs: Sequence[Pair], stop: threading.Event
    ) -> None:
        self._backfill, self._plan, self._before, self._stop = backfill, plan, before, stop
        self._pairs, self._skipped = pairs, len(plan.pairs) - len(pairs)
        self._lock = threading.Lock()
        self._failures: dict[str, str] = {}
        self._succeeded = self._rows = self._inserted = self._values = 0
        self._left = Counter(pair.symbol for pair in pairs)
        self._whole: set[str] = set()
        self._failed: set[str] = set()
        self._began = 0.0

    def run(self) -> Report:
        self._began = time.monotonic()
        with self._backfill.ledger.run(
            self._plan.name,
            kind=PIPELINE,
            total=len(self._pairs),
            params=self._plan.params,
            metadata={"total_symbols": len(self._left), "done_before": self._skipped},
            retry_of=self._before.retry_of,
            root_id=self._before.root_id,
        ) as run:
            with self._lock:
                self._declare(run)
            self._work(run)
            self._decide(run)
        return Report(
            execution_id=run.id,
            status=run.status,
            succeeded=self._succeeded,
            failures=dict(sorted(self._failures.items())),
            before=self._skipped,
            rows=self._rows,
            inserted=self._inserted,
            values=self._values,
            seconds=time.monotonic() - self._began,
        )

    def _work(self, run: Run) -> None:
        """Do the pairs, at most `limit` at once: that many threads take them one by one from one line."""
        line = iter(self._pairs)
        workers = min(self._backfill.limit, len(self._pairs))
        if not workers:
            return
        with ThreadPoolExecutor(workers, "execlog-backfill") as pool:
            try:
                _wait_for([pool.submit(copy_context().run, self._take, line, run) for _ in range(workers)])
            except BaseException:
                self._stop.set()  # the threads end after the pair they are at
                raise

    def _take(self, line: Iterator[Pair], run: Run) -> None:
        while not self._stop.is_set():
            with self._lock:
                pair = next(line, None)
            if pair is None:
                return
            self._do(pair, run)
            self._tell()

    def _do(self, pair: Pair, run: Run) -> None:
        """Try a pair until it succeeds or another try makes no sense; its item and its failures are recorded."""
        began, started_at = time.monotonic(), self._backfill.ledger.clock.now()
        data: dict[str, Any] = {"timeframe": pair.timeframe, "asset_class": self._backfill.asset_class}
        item = Item(key=pair.key, started_at=started_at, data={name: said for name, said in data.items() if said})
        for attempt in range(1, self._backfill.attempts + 1):
            item = replace(item, attempt=attempt, data=(item.data or {}) | {"retry_count": attempt - 1})
            run.say_item(item)
            try:
                figures = self._compute(pair)
            except Exception as fault:  # noqa: BLE001 - whatever a pair fails of, the others go on
                if self._plan.features:
                    self._backfill.history.log_feature_computation_failure(*pair, fault, run.id)
                if self._may_try_again(attempt, fault):
                    continue
                error = error_of(fault)
                run.say_item(_ended(item, status_of(fault), began, error=error))
                self._fail(pair, error.message[:_SHOWN_ERROR], run)
                return
            except BaseException as fault:  # polars interrupts the thread it computes in
                run.say_item(_ended(item, status_of(fault), began, error=error_of(fault)))
                raise
            said = {name: figure for name, figure in figures.items() if name != "rows"}
            run.say_item(_ended(item, Status.SUCCEEDED, began, rows=figures["rows"], data=(item.data or {}) | said))
            self._succeed(pair, figures, run)
            self._backfill.history.note_success(pair)
            return

    def _may_try_again(self, attempt: int, fault: Exception) -> bool:
        """Whether another try makes sense, after the pause before it."""
        if attempt == self._backfill.attempts or getattr(fault, "retry", True) is False:
            return False
        pause = min(self._backfill.delay * 2 ** (attempt - 1), _LONGEST_PAUSE)
        return not self._stop.wait(pause)

    def _compute(self, pair: Pair) -> dict[str, Any]:
        """Fetch, insert, compute, keep: the figures of it."""
        plan, warehouse = self._plan, self._backfill.warehouse
        bars = bars_of(self._backfill.source(pair.symbol, pair.timeframe, plan.start, plan.end))
        if not bars:
            raise SourceError(nothing_between(pair.symbol, plan.start, plan.end))
        figures: dict[str, Any] = {"rows": len(bars), "records_inserted": warehouse.insert(pair, bars)}
        if not plan.features:
            return figures | {"features_computed": 0}
        series = warehouse.bars(pair)
        while True:
            computed = frames.compute(series, plan.features)
            kept = warehouse.keep(pair, plan.features, computed.values)
            before, series = series, warehouse.bars(pair)
            if series == before:
                break  # otherwise another backfill of the pair changed its bars, and may have kept newer values before
        missing = {"missing": computed.missing} if computed.missing else {}
        seen = {"data_point_count": len(series), LAST_BAR: iso(series[-1].at)}
        return figures | {"features_computed": kept} | seen | missing

    def _succeed(self, pair: Pair, figures: dict[str, Any], run: Run) -> None:
        with self._lock:
            self._succeeded += 1
            self._rows += figures["rows"]
            self._inserted += figures["records_inserted"]
            self._values += figures["features_computed"]
            self._left[pair.symbol] -= 1
            if not self._left[pair.symbol] and pair.symbol not in self._failed:
                self._whole.add(pair.symbol)
            self._declare(run)

    def _fail(self, pair: Pair, why: str, run: Run) -> None:
        with self._lock:
            self._failures[pair.key] = why
            self._left[pair.symbol] -= 1
            self._failed.add(pair.symbol)
            self._declare(run)

    def _tell(self) -> None:
        """Call back with the progress."""
        callback = self._backfill.on_progress
        if callback is None:
            return
        with self._lock:
            now = progress(
                total=len(self._pairs) + self._skipped,
                succeeded=self._succeeded,
                failed=len(self._failures),
                before=self._skipped,
                elapsed=time.monotonic() - self._began,
            )
        try:
            callback(now)
        except Exception:
            log.exception("execlog: a backfill's on_progress failed; the backfill goes on")

    def _declare(self, run: Run) -> None:
        """Record how the symbols fare: one is successful once all its pairs are, failed when one of them is.

        Said after each pair, under the lock since the latest stamp decides: whoever looks while it runs, or after it
        was killed, would else find pairs counted as symbols.
        """
        ledger = self._backfill.ledger
        event = Event(
            id=run.id,
            kind=PIPELINE,
            at=ledger.recorder.stamp(),
            rows=self._rows,
            declared_succeeded=len(self._whole),
            declared_failed=len(self._failed),
        )
        ledger.append(event)

    def _decide(self, run: Run) -> None:
        """Say why it failed or was cancelled; otherwise its items decide."""
        tried = self._succeeded + len(self._failures)
        if tried < len(self._pairs):
            run.cancel(f"stopped after {tried} of {len(self._pairs)} pairs")
        elif self._failures and not self._succeeded:
            first, why = min(self._failures.items())
            run.fail(Error("BackfillError", f"all {len(self._failures)} pairs failed; {first}: {why}"))


def _wait_for(futures: Iterable[Future[None]]) -> None:
    """Wait until all have ended; raises what one raises, and KeyboardInterrupt.

    Polars takes signals in a way that they no longer wake a thread that waits: so it looks up by itself.
    """
    waiting = set(futures)
    while waiting:
        done, waiting = wait(waiting, timeout=_LOOK_UP_SECONDS, return_when=FIRST_EXCEPTION)
        for future in done:
            future.result()


def _ended(item: Item, status: Status, began: float, **changes: Any) -> Item:
    duration = time.monotonic() - began
    ended_at = (item.started_at or 0) + round(duration * 1e6)
    return replace(item, status=status, ended_at=ended_at, duration=duration, **changes)
