"""Pairs in an SQL database: folded in the transaction that takes the events in, and answered from index ranges.

The statements of a database have the same names, bindings and columns; batches are bound as one JSON text.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import AbstractContextManager
from itertools import islice
from typing import Any, Protocol

import msgspec

from execlog.core.codec import to_json
from execlog.core.model import Event
from execlog.store.pairs import (
    AGING,
    BANDS,
    FRESH,
    LONGEST,
    MINUTE,
    SECOND,
    Band,
    Fact,
    Failure,
    Pair,
    PairState,
    Standing,
    Summary,
    facts_of,
    failure_order,
    fold_facts,
    tallies_of,
    window_of,
)

_CHUNK = 5_000
Statements = Mapping[str, str]


class Session(Protocol):
    """What is asked of a transaction of any SQL database."""

    def rows(self, sql: str, bindings: Mapping[str, Any] | None = None) -> list[tuple[Any, ...]]:
        """The rows a statement answers with."""
        ...

    def value(self, sql: str, bindings: Mapping[str, Any] | None = None) -> Any:
        """The first value of the first row; None where there is no row."""
        ...

    def run(self, sql: str, bindings: Mapping[str, Any] | None = None) -> object:
        """Run a statement for its effect."""
        ...


Transaction = Callable[[], AbstractContextManager[Session]]


class _Row(msgspec.Struct, array_like=True, frozen=True):
    """A pair's row as it is read."""

    symbol: str
    timeframe: str
    monitored: int
    calendar: str | None
    last_computed_at: int | None
    data_point_count: int
    said_at: int
    succeeded_at: int | None
    known_at: int
    last_bar_at: int | None


_decode = msgspec.json.Decoder(list[_Row]).decode


class SqlPairs:
    """The pairs of one database.

    sql     its statements
    read    a transaction whose statements all see the same state
    write   a transaction while which nobody else writes
    now     the time it is, UTC µs, as the store that is written to has it
    """

    def __init__(self, sql: Statements, *, read: Transaction, write: Transaction, now: Callable[[Any], int]) -> None:
        self._sql = sql
        self._read, self._write = read, write
        self._now = now

    def monitor(self, pairs: Iterable[Pair], *, calendar: str | None = None) -> int:
        """How many of the pairs were not monitored before."""
        wanted, new = list(dict.fromkeys(pairs)), 0
        for chunk in _chunks(wanted):
            with self._write() as session:
                known = _states(session, self._sql, chunk)
                now = self._now(session)
                after = {pair: _watched(pair, known.get(pair), calendar, now) for pair in chunk}
                new += sum(pair not in known or not known[pair].monitored for pair in chunk)
                _put(session, self._sql, known, after)
        return new

    def release(self, pairs: Iterable[Pair]) -> int:
        """How many of the pairs were monitored."""
        gone = 0
        for chunk in _chunks(list(dict.fromkeys(pairs))):
            with self._write() as session:
                known = {pair: state for pair, state in _states(session, self._sql, chunk).items() if state.monitored}
                after = {pair: msgspec.structs.replace(state, monitored=False) for pair, state in known.items()}
                _put(session, self._sql, known, after)
                gone += len(known)
        return gone

    def learn(self, facts: Iterable[Fact]) -> None:
        """Take in what is known of pairs, a few thousand facts in a transaction."""
        remaining = iter(facts)
        while some := list(islice(remaining, _CHUNK)):
            with self._write() as session:
                _learn(session, self._sql, some)

    def states(self, pairs: Iterable[Pair]) -> dict[Pair, PairState]:
        """What is known of these pairs."""
        with self._read() as session:
            return _states(session, self._sql, list(pairs))

    def summary(self, now: int) -> Summary:
        """How many monitored pairs are in each band."""
        with self._read() as session:
            return _summary(session, self._sql, now)

    def symbols(self) -> int:
        """How many symbols have a monitored pair."""
        with self._read() as session:
            return session.value(self._sql["symbols"])

    def standing(self, now: int, *, limit: int) -> Standing:
        """How fresh the monitored pairs are, with the stalest of each band."""
        with self._read() as session:
            summary = _summary(session, self._sql, now)
            found: dict[Band, list[PairState]] = {
                band: _stalest(session, self._sql, band, now, limit) if getattr(summary, band) else [] for band in BANDS
            }
        return Standing(summary, found)

    def failures(self, *, since: int, limit: int, resolved: bool | None = None) -> list[Failure]:
        """Failures, the newest first."""
        bindings = {"since": since, "begun": since - LONGEST, "limit": limit, "resolved": resolved}
        with self._read() as session:
            rows = session.rows(self._sql["failed_computations"], _named(bindings, "since", "limit", "resolved"))
            rows += session.rows(self._sql["failed_items"], bindings)
        found = [_failure(*row) for row in rows]
        found.sort(key=failure_order, reverse=True)
        return found[:limit]


def take(session: Session, sql: Statements, events: Iterable[Event]) -> None:
    """Take in what events say about pairs, inside the transaction that is open."""
    facts: list[Fact] = []
    for event in events:
        facts += facts_of(event)
    if facts:
        _learn(session, sql, facts)


def _learn(session: Session, sql: Statements, facts: Sequence[Fact]) -> None:
    known = _states(session, sql, list({fact.pair for fact in facts}))
    _put(session, sql, known, fold_facts(known, facts))


def _put(session: Session, sql: Statements, known: Mapping[Pair, PairState], after: Mapping[Pair, PairState]) -> None:
    """Write the states that differ, and the counts by minute with them."""
    changed = {pair: state for pair, state in after.items() if state != known.get(pair)}
    if not changed:
        return
    session.run(sql["put"], {"rows": _json([_values(state) for state in changed.values()])})
    before = {pair: known[pair] for pair in changed if pair in known}
    counts = tallies_of(before, changed)
    if counts:
        changes = _json([(*counted, step) for counted, step in sorted(counts.items())])
        session.run(sql["count"], {"changes": changes})
        session.run(sql["sweep"], {"changes": changes})


def _summary(session: Session, sql: Statements, now: int) -> Summary:
    total, missing = session.rows(sql["total"])[0]
    fresh, young = _younger(session, sql, now - FRESH), _younger(session, sql, now - AGING)
    return Summary(fresh=fresh, aging=young - fresh, stale=total - missing - young, missing=missing)


def _stalest(session: Session, sql: Statements, band: Band, now: int, limit: int) -> list[PairState]:
    if band == "missing":
        rows = session.rows(sql["missing"], {"limit": limit})
    else:
        after, until = window_of(band, now)
        rows = session.rows(sql["stalest"], {"after": after, "until": until, "limit": limit})
    return [_state(_Row(*row)) for row in rows]


def _younger(session: Session, sql: Statements, instant: int) -> int:
    """How many monitored pairs were computed after an instant."""
    minute, second = instant // MINUTE, instant // SECOND
    bindings = {
        "instant": instant,
        "second": second,
        "second_end": (second + 1) * SECOND,
        "minute": minute,
        "minute_end": (minute + 1) * (MINUTE // SECOND),
    }
    return session.value(sql["younger"], bindings)


def _states(session: Session, sql: Statements, pairs: Sequence[Pair]) -> dict[Pair, PairState]:
    found = _decode(session.value(sql["states"], {"keys": _json([pair.key for pair in pairs])}))
    return {Pair(row.symbol, row.timeframe): _state(row) for row in found}


def _state(row: _Row) -> PairState:
    return PairState(
        symbol=row.symbol,
        timeframe=row.timeframe,
        monitored=bool(row.monitored),
        calendar=row.calendar,
        last_computed_at=row.last_computed_at,
        data_point_count=row.data_point_count,
        said_at=row.said_at,
        succeeded_at=row.succeeded_at,
        known_at=row.known_at,
        last_bar_at=row.last_bar_at,
    )


def _failure(
    symbol: str, timeframe: str, message: str | None, id_: str | None, retries: int, resolved: int, failed_at: int
) -> Failure:
    return Failure(
        symbol=symbol,
        timeframe=timeframe,
        error_message=message,
        execution_id=id_,
        retry_count=retries,
        resolved=bool(resolved),
        failed_at=failed_at,
    )


def _values(state: PairState) -> tuple[object, ...]:
    return (
        state.pair.key, state.symbol, state.timeframe, int(state.monitored), state.calendar, state.last_computed_at,
        state.data_point_count, state.said_at, state.succeeded_at, state.known_at, state.ranked_at,
        state.last_bar_at,
    )  # fmt: skip


def _watched(pair: Pair, state: PairState | None, calendar: str | None, now: int) -> PairState:
    state = state or PairState(symbol=pair.symbol, timeframe=pair.timeframe, known_at=now)
    return msgspec.structs.replace(state, monitored=True, calendar=calendar or state.calendar)


def _json(value: Any) -> str:
    return to_json(value).decode()


def _named(bindings: Mapping[str, object], *names: str) -> dict[str, object]:
    return {name: bindings[name] for name in names}


def _chunks(pairs: Sequence[Pair]) -> Iterable[Sequence[Pair]]:
    return (pairs[start : start + _CHUNK] for start in range(0, len(pairs), _CHUNK))
