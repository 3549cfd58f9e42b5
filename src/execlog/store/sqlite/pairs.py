"""Pairs in SQLite: folded in the transaction that takes the events in, and answered from index ranges."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

import msgspec

from execlog.core.clock import Clock
from execlog.core.model import Event
from execlog.store.pairs import (
    AGING,
    FRESH,
    LONGEST,
    MINUTE,
    SECOND,
    Band,
    Fact,
    Failure,
    Pair,
    PairState,
    Summary,
    facts_of,
    failure_order,
    fold_facts,
    tallies_of,
    window_of,
)
from execlog.store.sql import queries
from execlog.store.sqlite.connection import Connections, Session

_SQL = queries("sqlite", "pairs")
_CHUNK = 5_000


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


_decode = msgspec.json.Decoder(list[_Row]).decode


class SQLitePairs:
    """The pairs of one database."""

    def __init__(self, connections: Connections, clock: Clock) -> None:
        self._connections = connections
        self._clock = clock

    def monitor(self, pairs: Iterable[Pair], *, calendar: str | None = None) -> int:
        """How many of the pairs were not monitored before."""
        wanted, new = list(dict.fromkeys(pairs)), 0
        for chunk in _chunks(wanted):
            with self._connections.write() as session:
                known = _states(session, chunk)
                now = self._clock.now()
                after = {pair: _watched(pair, known.get(pair), calendar, now) for pair in chunk}
                new += sum(pair not in known or not known[pair].monitored for pair in chunk)
                _put(session, known, after)
        return new

    def release(self, pairs: Iterable[Pair]) -> int:
        """How many of the pairs were monitored."""
        gone = 0
        for chunk in _chunks(list(dict.fromkeys(pairs))):
            with self._connections.write() as session:
                known = {pair: state for pair, state in _states(session, chunk).items() if state.monitored}
                after = {pair: msgspec.structs.replace(state, monitored=False) for pair, state in known.items()}
                _put(session, known, after)
                gone += len(known)
        return gone

    def states(self, pairs: Iterable[Pair]) -> dict[Pair, PairState]:
        """What is known of these pairs."""
        with self._connections.read() as session:
            return _states(session, list(pairs))

    def summary(self, now: int) -> Summary:
        """How many monitored pairs are in each band."""
        with self._connections.read(snapshot=True) as session:
            total, missing = session.rows(_SQL["total"])[0]
            fresh, young = _younger(session, now - FRESH), _younger(session, now - AGING)
        return Summary(fresh=fresh, aging=young - fresh, stale=total - missing - young, missing=missing)

    def symbols(self) -> int:
        """How many symbols have a monitored pair."""
        with self._connections.read() as session:
            return session.value(_SQL["symbols"])

    def stalest(self, band: Band, now: int, *, limit: int) -> list[PairState]:
        """The monitored pairs of a band, the longest ago computed first."""
        after, until = window_of(band, now)
        with self._connections.read() as session:
            if band == "missing":
                rows = session.rows(_SQL["missing"], {"limit": limit})
            else:
                rows = session.rows(_SQL["stalest"], {"after": after, "until": until, "limit": limit})
        return [_state(_Row(*row)) for row in rows]

    def failures(self, *, since: int, limit: int, resolved: bool | None = None) -> list[Failure]:
        """Failures, the newest first."""
        bindings = {"since": since, "begun": since - LONGEST, "limit": limit, "resolved": resolved}
        with self._connections.read(snapshot=True) as session:
            rows = session.rows(_SQL["failed_computations"], _named(bindings, "since", "limit", "resolved"))
            rows += session.rows(_SQL["failed_items"], bindings)
        found = [_failure(*row) for row in rows]
        found.sort(key=failure_order, reverse=True)
        return found[:limit]


def take(session: Session, events: Iterable[Event]) -> None:
    """Take in what events say about pairs, inside the transaction that is open."""
    facts: list[Fact] = []
    for event in events:
        facts += facts_of(event)
    if facts:
        known = _states(session, list({fact.pair for fact in facts}))
        _put(session, known, fold_facts(known, facts))


def _put(session: Session, known: Mapping[Pair, PairState], after: Mapping[Pair, PairState]) -> None:
    """Write the states that differ, and the counts by minute with them."""
    changed = {pair: state for pair, state in after.items() if state != known.get(pair)}
    if not changed:
        return
    session.run(_SQL["put"], {"rows": [_values(state) for state in changed.values()]})
    before = {pair: known[pair] for pair in changed if pair in known}
    counts = tallies_of(before, changed)
    if counts:
        changes = [(*counted, step) for counted, step in counts.items()]
        session.run(_SQL["count"], {"changes": changes})
        session.run(_SQL["sweep"], {"changes": changes})


def _younger(session: Session, instant: int) -> int:
    """How many monitored pairs were computed after an instant."""
    minute, second = instant // MINUTE, instant // SECOND
    bindings = {
        "instant": instant,
        "second": second,
        "second_end": (second + 1) * SECOND,
        "minute": minute,
        "minute_end": (minute + 1) * (MINUTE // SECOND),
    }
    return session.value(_SQL["younger"], bindings)


def _states(session: Session, pairs: Sequence[Pair]) -> dict[Pair, PairState]:
    found = _decode(session.value(_SQL["states"], {"keys": [pair.key for pair in pairs]}))
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
    )  # fmt: skip


def _watched(pair: Pair, state: PairState | None, calendar: str | None, now: int) -> PairState:
    state = state or PairState(symbol=pair.symbol, timeframe=pair.timeframe, known_at=now)
    return msgspec.structs.replace(state, monitored=True, calendar=calendar or state.calendar)


def _named(bindings: Mapping[str, object], *names: str) -> dict[str, object]:
    return {name: bindings[name] for name in names}


def _chunks(pairs: Sequence[Pair]) -> Iterable[Sequence[Pair]]:
    return (pairs[start : start + _CHUNK] for start in range(0, len(pairs), _CHUNK))
