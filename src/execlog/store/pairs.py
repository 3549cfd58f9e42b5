"""The port of a store that watches over pairs (symbol, timeframe): which are monitored, when each was last computed.

What a computation says about its pair is a register, decided by the latest that said it, so events may come twice and
in any order (`core.fold`). It is folded in `Store.apply`, in the transaction that takes the event in, and it outlives
the execution: removing an old history does not make features disappear. How fresh a pair is depends on the time, so
that is worked out when it is asked (`band_of`), from an index over the times and counts by minute and second.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Mapping
from typing import Any, Literal, NamedTuple, Protocol

import msgspec
from msgspec import Struct

from execlog.core.clock import parse_when
from execlog.core.errors import InvalidError, UnsupportedError
from execlog.core.model import Event, Status
from execlog.store.base import Store

PIPELINE, FEATURE = "pipeline", "feature"
LAST_BAR = "last_bar_at"
SPEAKING = frozenset({PIPELINE, FEATURE})
"""The kinds whose events speak about pairs: a pipeline's items, and computations of one pair's features."""

SECOND, MINUTE = 1_000_000, 60_000_000
FRESH, AGING = 3_600 * SECOND, 86_400 * SECOND
"""Ages in µs, below which a pair is fresh, and below which it is aging."""

SPANS = (MINUTE, SECOND)
EVERY = 0
TOTAL, MISSING = 0, 1
"""Pairs are counted by the spans of time their `ranked_at` lies in; under `EVERY`, all, and those without data."""

EVERY_PAIR = 1_000_000
"""A limit for whoever wants all that are monitored."""

LONGEST = 7 * 86_400 * SECOND
"""How long before the failures asked for their pipeline may have begun, in µs."""

Band = Literal["fresh", "aging", "stale", "missing"]
BANDS: tuple[Band, ...] = ("fresh", "aging", "stale", "missing")
FAILED = (Status.FAILED, Status.TIMED_OUT)
"""What makes a computation a failure; one that was cancelled, or whose process died, says nothing about the pair."""

_TIMEFRAME = re.compile(r"\d{1,4}[A-Za-z]{1,6}")


class Pair(NamedTuple):
    """A symbol on a timeframe, e.g. AAPL on 1d. A symbol may contain "/", a timeframe not."""

    symbol: str
    timeframe: str

    @property
    def key(self) -> str:
        """The pair as one text, "AAPL/1d": the key of its item."""
        return f"{self.symbol}/{self.timeframe}"


class Fact(NamedTuple):
    """What an event says about a pair; `points` None says only that there is such a pair.

    at            when it was said
    computed_at   when the features were computed; None: never
    points        how many data points they were computed from; 0: there is no data
    done_at       when it succeeded, with features or without; None: it did not
    bar_at        when the last bar it was computed from began; None: not said
    """

    pair: Pair
    at: int
    computed_at: int | None = None
    points: int | None = None
    done_at: int | None = None
    bar_at: int | None = None


class PairState(Struct, frozen=True, kw_only=True):
    """What is known about a pair. Times are UTC µs.

    monitored          whether it is watched
    calendar           the exchange calendar its market keeps, e.g. XNYS
    last_computed_at   of the latest computation that said so
    data_point_count   what that computation had to compute from
    said_at            when it was said
    succeeded_at       the latest computation that succeeded: failures before it are resolved
    known_at           when it was first heard of
    last_bar_at        when the last bar began that the computation had; None where it did not say so
    """

    symbol: str
    timeframe: str
    monitored: bool = True
    calendar: str | None = None
    last_computed_at: int | None = None
    data_point_count: int = 0
    said_at: int = 0
    succeeded_at: int | None = None
    known_at: int
    last_bar_at: int | None = None

    @property
    def pair(self) -> Pair:
        """Which pair this is."""
        return Pair(self.symbol, self.timeframe)

    @property
    def ranked_at(self) -> int | None:
        """What its age counts from; None where there is no data, so that age means nothing."""
        return self.last_computed_at if self.data_point_count > 0 else None

    def age(self, now: int) -> int | None:
        """µs since it was computed, 0 for a time in the future; None if it never was."""
        return None if self.last_computed_at is None else max(now - self.last_computed_at, 0)


class Summary(Struct, frozen=True, kw_only=True):
    """How many monitored pairs are in each band, and over how many symbols."""

    fresh: int = 0
    aging: int = 0
    stale: int = 0
    missing: int = 0

    @property
    def total(self) -> int:
        """How many pairs are monitored."""
        return self.fresh + self.aging + self.stale + self.missing


class Standing(NamedTuple):
    """How fresh the monitored pairs are.

    stalest   of each band the pairs computed the longest ago, those first, then by key (missing ones: by key)
    """

    summary: Summary
    stalest: dict[Band, list[PairState]]


class Failure(Struct, frozen=True, kw_only=True):
    """One failed computation of a pair.

    retry_count   how many failures of the pair came before it without a success in between
    resolved      a later computation succeeded
    """

    symbol: str
    timeframe: str
    error_message: str | None
    execution_id: str | None
    retry_count: int
    resolved: bool
    failed_at: int


class Pairs(Protocol):
    """Where pairs are kept. Every method raises StoreError where the store cannot answer."""

    def monitor(self, pairs: Iterable[Pair], *, calendar: str | None = None) -> int:
        """How many of the pairs were not monitored before; all are now. `calendar` None leaves a pair's as it is."""
        ...

    def release(self, pairs: Iterable[Pair]) -> int:
        """How many of the pairs were monitored; none is any more, until `monitor` names it again."""
        ...

    def learn(self, facts: Iterable[Fact]) -> None:
        """Take in what is known of pairs without an event that says it; again changes nothing."""
        ...

    def states(self, pairs: Iterable[Pair]) -> dict[Pair, PairState]:
        """What is known of these pairs, monitored or not; unknown ones are left out."""
        ...

    def summary(self, now: int) -> Summary:
        """How many monitored pairs are in each band at `now`."""
        ...

    def symbols(self) -> int:
        """How many symbols have a monitored pair."""
        ...

    def standing(self, now: int, *, limit: int) -> Standing:
        """How fresh the monitored pairs are at `now`, with at most `limit` of each band: all of it as of one moment."""
        ...

    def failures(self, *, since: int, limit: int, resolved: bool | None = None) -> list[Failure]:
        """What failed at or after `since`, the newest first; with `resolved`, only such.

        Computations that began before `since`, and pipelines that began more than a week before, are not looked at.
        """
        ...


def pairs_of(store: Store) -> Pairs:
    """The store's pairs. Raises UnsupportedError where it keeps none."""
    pairs: Pairs | None = getattr(store, "pairs", None)
    if pairs is None:
        raise UnsupportedError(f"{store.url} cannot watch over pairs", capability="pairs")
    return pairs


def pair_of(key: str, data: Mapping[str, Any] | None = None) -> Pair | None:
    """The pair an item is about: as its data says, or as its key reads ("AAPL/1d"); None if it is about none."""
    symbol, slash, timeframe = key.rpartition("/")
    said = (data or {}).get("timeframe")
    if isinstance(said, str) and said == timeframe and symbol:
        return Pair(symbol, timeframe)
    return Pair(symbol, timeframe) if slash and symbol and _TIMEFRAME.fullmatch(timeframe) else None


def facts_of(event: Event) -> list[Fact]:
    """What an event says about pairs."""
    if event.kind == FEATURE:
        return _fact_of_feature(event)
    if event.kind != PIPELINE or not event.items:
        return []
    facts: list[Fact] = []
    for item in event.items:
        pair = pair_of(item.key, item.data)
        if pair is None:
            continue
        at = item.at or event.at
        data, done_at = item.data or {}, (item.ended_at or at) if item.status is Status.SUCCEEDED else None
        points = None if done_at is None else _points(data, item.rows)
        computed_at = None if points is None else done_at
        done_at = None if points == 0 else done_at  # there was no data to compute from
        facts.append(Fact(pair, at, computed_at, points, done_at, None if points is None else _bar_at(data)))
    return facts


def facts_of_state(state: PairState) -> list[Fact]:
    """The facts that make this state again, but for who watches it: its executions may be gone."""
    facts = [Fact(state.pair, state.known_at)]
    said = (state.said_at, state.last_computed_at, state.data_point_count)
    if said != (0, None, 0) or state.last_bar_at is not None:
        facts.append(Fact(state.pair, *said, bar_at=state.last_bar_at))
    if state.succeeded_at is not None:
        said_at = max(state.succeeded_at, state.known_at)
        facts.append(Fact(state.pair, said_at, done_at=state.succeeded_at))
    return facts


def fold_fact(state: PairState | None, fact: Fact) -> PairState:
    """The pair's state with the fact taken in: the latest said holds, and the greater one of two said at once."""
    if state is None:
        state = PairState(symbol=fact.pair.symbol, timeframe=fact.pair.timeframe, known_at=fact.at)
    changes: dict[str, Any] = {}
    if fact.at < state.known_at:
        changes["known_at"] = fact.at
    if fact.done_at is not None:
        succeeded = min(fact.done_at, fact.at)  # a clock that is ahead must not resolve failures to come
        changes["succeeded_at"] = max(succeeded, state.succeeded_at if state.succeeded_at is not None else succeeded)
    if fact.points is None:
        return msgspec.structs.replace(state, **changes) if changes else state
    new = (fact.at, _known(fact.computed_at), fact.points, _known(fact.bar_at))
    if new > (state.said_at, _known(state.last_computed_at), state.data_point_count, _known(state.last_bar_at)):
        changes |= {"said_at": fact.at, "last_computed_at": fact.computed_at, "data_point_count": fact.points}
        changes["last_bar_at"] = fact.bar_at
    return msgspec.structs.replace(state, **changes) if changes else state


def fold_facts(states: dict[Pair, PairState], facts: Iterable[Fact]) -> dict[Pair, PairState]:
    """The states that differ from those given once all facts are taken in."""
    now: dict[Pair, PairState] = {}
    for fact in facts:
        now[fact.pair] = fold_fact(now.get(fact.pair, states.get(fact.pair)), fact)
    return {pair: state for pair, state in now.items() if state != states.get(pair)}


def band_of(state: PairState, now: int) -> Band:
    """The band a pair is in at `now`."""
    ranked_at = state.ranked_at
    if ranked_at is None:
        return "missing"
    return band_of_age(now - ranked_at)


def band_of_age(age: int) -> Band:
    """The band of something so many µs old."""
    return "fresh" if age < FRESH else "aging" if age < AGING else "stale"


def window_of(band: Band, now: int) -> tuple[int, int]:
    """The half-open range of `ranked_at` that makes up a band of age at `now`: after the first, up to the second."""
    match band:
        case "fresh":
            return now - FRESH, 2**63 - 1
        case "aging":
            return now - AGING, now - FRESH
        case _:
            return -(2**63), now - AGING


def tallies_of(before: Mapping[Pair, PairState], after: Mapping[Pair, PairState]) -> dict[tuple[int, int], int]:
    """How the counts by (span, number of it since 1970) change when these pairs do; counts that stay are left out."""
    change: Counter[tuple[int, int]] = Counter()
    for states, step in ((before, -1), (after, 1)):
        for state in states.values():
            if not state.monitored:
                continue
            ranked_at = state.ranked_at
            change[EVERY, TOTAL] += step
            if ranked_at is None:
                change[EVERY, MISSING] += step
                continue
            for span in SPANS:
                change[span, ranked_at // span] += step
    return {counted: step for counted, step in change.items() if step}


def _fact_of_feature(event: Event) -> list[Fact]:
    pair = pair_of(event.subject or "", event.metadata)
    if pair is None:
        return []
    if event.status is not Status.SUCCEEDED:
        return [Fact(pair, event.at)]
    metadata = event.metadata or {}
    never = not event.rows and metadata.get("never_computed") is True
    computed_at = None if never else event.ended_at or event.at
    done_at = computed_at if event.rows else None
    return [Fact(pair, event.at, computed_at, event.rows or 0, done_at, _bar_at(metadata))]


def _points(data: Mapping[str, Any], rows: int | None) -> int | None:
    """From how many data points a successful item's features were computed; None if it computed none."""
    features, points = data.get("features_computed"), data.get("data_point_count")
    if isinstance(points, int):
        return points
    if isinstance(features, int):
        return (rows or features) if features > 0 else None
    return rows


def _bar_at(said: Mapping[str, Any]) -> int | None:
    """When the last bar began, UTC µs, as a computation said in `last_bar_at` (ISO 8601); None where it said none."""
    text = said.get(LAST_BAR)
    try:
        return parse_when(text, now=None) if isinstance(text, str) else None
    except InvalidError:
        return None


def _known(at: int | None) -> int:
    return -(2**63) if at is None else at


def failure_order(failure: Failure) -> tuple[int, str, str, str, str]:
    """What failures are ordered by, the greatest first."""
    one = failure
    return one.failed_at, one.symbol, one.timeframe, one.execution_id or "", one.error_message or ""
