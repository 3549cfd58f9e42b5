"""Pairs in memory: a dict of states and `fold_facts`; the other stores' are judged by it."""

from __future__ import annotations

import threading
from collections.abc import Callable, Collection, Iterable, Mapping
from itertools import chain

import msgspec

from execlog.core.clock import Clock
from execlog.core.model import Error, Event, Execution, Item
from execlog.store.pairs import (
    BANDS,
    FAILED,
    FEATURE,
    LONGEST,
    PIPELINE,
    Band,
    Fact,
    Failure,
    Pair,
    PairState,
    Standing,
    Summary,
    band_of,
    facts_of,
    failure_order,
    fold_facts,
    pair_of,
)


class MemoryPairs:
    """Keeps pairs for as long as the process lives; `executions` gives what failures are read from."""

    def __init__(self, executions: Callable[[], Iterable[Execution]], clock: Clock) -> None:
        self._executions = executions
        self._clock = clock
        self._lock = threading.RLock()
        self._states: dict[Pair, PairState] = {}

    def take(self, events: Iterable[Event]) -> None:
        """Take in what these events say about pairs."""
        self.learn(chain.from_iterable(map(facts_of, events)))

    def learn(self, facts: Iterable[Fact]) -> None:
        """Take in what is known of pairs."""
        with self._lock:
            self._states |= fold_facts(self._states, facts)

    def monitor(self, pairs: Iterable[Pair], *, calendar: str | None = None) -> int:
        """How many of the pairs were not monitored before."""
        with self._lock:
            new = 0
            for pair in dict.fromkeys(pairs):
                state = self._states.get(pair)
                new += state is None or not state.monitored
                state = state or PairState(symbol=pair.symbol, timeframe=pair.timeframe, known_at=self._clock.now())
                self._states[pair] = msgspec.structs.replace(state, monitored=True, calendar=calendar or state.calendar)
            return new

    def release(self, pairs: Iterable[Pair]) -> int:
        """How many of the pairs were monitored."""
        with self._lock:
            known = [self._states[pair] for pair in dict.fromkeys(pairs) if pair in self._states]
            gone = [state for state in known if state.monitored]
            self._states |= {state.pair: msgspec.structs.replace(state, monitored=False) for state in gone}
            return len(gone)

    def states(self, pairs: Iterable[Pair]) -> dict[Pair, PairState]:
        """What is known of these pairs."""
        with self._lock:
            return {pair: self._states[pair] for pair in pairs if pair in self._states}

    def summary(self, now: int) -> Summary:
        """How many monitored pairs are in each band."""
        return self.standing(now, limit=0).summary

    def symbols(self) -> int:
        """How many symbols have a monitored pair."""
        return len({state.symbol for state in self._monitored()})

    def standing(self, now: int, *, limit: int) -> Standing:
        """How fresh the monitored pairs are, with the stalest of each band."""
        found: dict[Band, list[PairState]] = {band: [] for band in BANDS}
        for state in self._monitored():
            found[band_of(state, now)].append(state)
        summary = Summary(**{band: len(states) for band, states in found.items()})
        for states in found.values():
            states.sort(key=lambda state: (state.ranked_at or 0, state.pair.key))
        return Standing(summary, {band: states[:limit] for band, states in found.items()})

    def failures(self, *, since: int, limit: int, resolved: bool | None = None) -> list[Failure]:
        """Failures, the newest first."""
        return failures_among(list(self._executions()), self.states, since=since, limit=limit, resolved=resolved)

    def _monitored(self) -> list[PairState]:
        with self._lock:
            return [state for state in self._states.values() if state.monitored]


def failures_among(
    executions: Collection[Execution],
    states: Callable[[Iterable[Pair]], Mapping[Pair, PairState]],
    *,
    since: int,
    limit: int,
    resolved: bool | None,
) -> list[Failure]:
    """The failures these executions (with their items) tell of, the newest first; `states` knows the pairs."""
    computations = [one for one in executions if one.kind == FEATURE and one.status in FAILED]
    said = {(one.parent_id, one.subject) for one in computations}
    found = [_of_feature(one) for one in computations if one.created_at >= since]
    for execution in executions:
        if execution.kind == PIPELINE and execution.created_at >= since - LONGEST:
            failed = [item for item in execution.items if item.status in FAILED]
            found += [_of_item(execution, it) for it in failed if (execution.id, it.key) not in said]
    known = states([Pair(one.symbol, one.timeframe) for one in found])
    told = [_told(one, known.get(Pair(one.symbol, one.timeframe))) for one in found]
    wanted = [one for one in told if one.failed_at >= since and resolved in {None, one.resolved}]
    wanted.sort(key=failure_order, reverse=True)
    return wanted[:limit]


def _of_feature(execution: Execution) -> Failure:
    key, metadata = execution.subject or "", execution.metadata or {}
    return _failure(
        pair_of(key, metadata) or Pair(key, ""),
        execution.error,
        execution.parent_id,
        metadata.get("retry_count", 0),
        execution.created_at if execution.ended_at is None else execution.ended_at,
    )


def _of_item(execution: Execution, item: Item) -> Failure:
    return _failure(
        pair_of(item.key, item.data) or Pair(item.key, ""),
        item.error,
        execution.id,
        (item.data or {}).get("retry_count", item.attempt - 1),
        item.at if item.ended_at is None else item.ended_at,
    )


def _failure(pair: Pair, error: Error | None, execution_id: str | None, retries: int, at: int) -> Failure:
    return Failure(
        symbol=pair.symbol,
        timeframe=pair.timeframe,
        error_message=error.message if error else None,
        execution_id=execution_id,
        retry_count=retries,
        resolved=False,
        failed_at=at,
    )


def _told(failure: Failure, state: PairState | None) -> Failure:
    """The failure, resolved where the pair was computed later."""
    succeeded = None if state is None else state.succeeded_at
    return msgspec.structs.replace(failure, resolved=succeeded is not None and succeeded > failure.failed_at)
