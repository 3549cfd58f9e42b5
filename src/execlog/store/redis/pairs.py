"""Pairs in Redis: a hash of states, and sorted sets that answer how many are how old without reading them.

    {prefix}pairs            key ("AAPL/1d") → state as JSON
    {prefix}pairs:age        monitored pairs with data, by `ranked_at`
    {prefix}pairs:missing    monitored pairs without
    {prefix}pairs:symbols    symbol → how many of its pairs are monitored

None of them has a time to live: what is monitored stays so.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from itertools import chain, islice
from typing import Any

import msgspec

from execlog.core.codec import to_json
from execlog.core.errors import StoreError
from execlog.core.model import Event, Execution
from execlog.store.memory_pairs import failures_among
from execlog.store.pairs import (
    BANDS,
    Band,
    Fact,
    Failure,
    Pair,
    PairState,
    Standing,
    Summary,
    facts_of,
    fold_facts,
    window_of,
)
from execlog.store.redis.connection import Command, Connection
from execlog.store.redis.keys import Keys

TRIES = 20
CHUNK = 5_000
_MOST = 2**53
_decode = msgspec.json.Decoder(PairState).decode
Change = Callable[[dict[Pair, PairState]], dict[Pair, PairState]]


class RedisPairs:
    """Pairs of one store; `executions` gives, from a time on, what failures are read from."""

    def __init__(
        self,
        connection: Connection,
        keys: Keys,
        *,
        now: Callable[[], int],
        executions: Callable[[int], Iterable[Execution]],
    ) -> None:
        self._connection, self._now, self._executions = connection, now, executions
        self._client, self._answers = connection.client, connection.answers
        self._put = connection.script("pairs")
        self._states, self._age, self._missing, self._symbols = (
            keys.own(name) for name in ("pairs", "pairs:age", "pairs:missing", "pairs:symbols")
        )

    def take(self, events: Iterable[Event]) -> None:
        """Take in what these events say about pairs."""
        self.learn(chain.from_iterable(map(facts_of, events)))

    def learn(self, facts: Iterable[Fact]) -> None:
        """Take in what is known of pairs, a few thousand facts in an atomic step."""
        remaining = iter(facts)
        while some := list(islice(remaining, CHUNK)):
            self._change({fact.pair for fact in some}, lambda states, some=some: fold_facts(states, some))

    def monitor(self, pairs: Iterable[Pair], *, calendar: str | None = None) -> int:
        """How many of the pairs were not monitored before."""
        wanted, new = list(dict.fromkeys(pairs)), 0
        with self._answers():
            known_at = self._now()

        def change(states: dict[Pair, PairState]) -> dict[Pair, PairState]:
            nonlocal new
            new = sum(pair not in states or not states[pair].monitored for pair in wanted)
            fresh = {
                pair: PairState(symbol=pair.symbol, timeframe=pair.timeframe, known_at=known_at) for pair in wanted
            }
            return {
                pair: msgspec.structs.replace(state, monitored=True, calendar=calendar or state.calendar)
                for pair, state in (fresh | states).items()
            }

        self._change(wanted, change)
        return new

    def release(self, pairs: Iterable[Pair]) -> int:
        """How many of the pairs were monitored."""
        gone = 0

        def change(states: dict[Pair, PairState]) -> dict[Pair, PairState]:
            nonlocal gone
            found = {pair: state for pair, state in states.items() if state.monitored}
            gone = len(found)
            return {pair: msgspec.structs.replace(state, monitored=False) for pair, state in found.items()}

        self._change(list(dict.fromkeys(pairs)), change)
        return gone

    def states(self, pairs: Iterable[Pair]) -> dict[Pair, PairState]:
        """What is known of these pairs."""
        return {pair: _decode(text) for pair, text in self._read(list(dict.fromkeys(pairs))).items() if text}

    def summary(self, now: int) -> Summary:
        """How many monitored pairs are in each band."""
        with self._answers():
            counts = self._connection.read(self._counting(now), together=True)
        return Summary(**dict(zip(BANDS, counts, strict=True)))

    def symbols(self) -> int:
        """How many symbols have a monitored pair."""
        with self._answers():
            return self._client.hlen(self._symbols)

    def standing(self, now: int, *, limit: int) -> Standing:
        """How fresh the monitored pairs are, with the stalest of each band; a state may be newer than what it is in."""
        lists: list[Command] = [
            ("ZRANGEBYSCORE", self._age, *_bounds(band, now), "LIMIT", 0, limit) for band in BANDS[:3]
        ]
        lists.append(("ZRANGE", self._missing, 0, limit - 1))
        with self._answers():
            found = self._connection.read([*self._counting(now), *lists], together=True)
            counts, keys = found[: len(BANDS)], found[len(BANDS) :]
            together = list(chain.from_iterable(keys))
            texts = iter(self._client.hmget(self._states, together) if together else ())
        stalest: dict[Band, list[PairState]] = {
            band: [_decode(text) for text in islice(texts, len(some)) if text]
            for band, some in zip(BANDS, keys, strict=True)
        }
        return Standing(Summary(**dict(zip(BANDS, counts, strict=True))), stalest)

    def failures(self, *, since: int, limit: int, resolved: bool | None = None) -> list[Failure]:
        """Failures, the newest first."""
        return failures_among(list(self._executions(since)), self.states, since=since, limit=limit, resolved=resolved)

    def _counting(self, now: int) -> list[Command]:
        """The commands that count the pairs in each band."""
        return [*(("ZCOUNT", self._age, *_bounds(band, now)) for band in BANDS[:3]), ("ZCARD", self._missing)]

    def _read(self, pairs: Sequence[Pair]) -> dict[Pair, str | None]:
        if not pairs:
            return {}
        with self._answers():
            return dict(zip(pairs, self._client.hmget(self._states, [pair.key for pair in pairs]), strict=True))

    def _change(self, pairs: Iterable[Pair], change: Change) -> None:
        """Change the states of these pairs in one atomic step, again where another writer was quicker."""
        wanted = sorted(pairs)
        for _ in range(TRIES):
            texts = self._read(wanted)
            before = {pair: _decode(text) for pair, text in texts.items() if text}
            after = change(before)
            if not after:
                return
            words = list(chain.from_iterable(_words(pair, texts[pair], before, state) for pair, state in after.items()))
            with self._answers():
                if self._connection.call(self._put, [self._states, self._age, self._missing, self._symbols], words):
                    return
        raise StoreError("too many writers change the same pairs at once", retry=True)


def _words(pair: Pair, text: str | None, before: Mapping[Pair, PairState], state: PairState) -> list[Any]:
    was = pair in before and before[pair].monitored
    rank = "" if not state.monitored else "missing" if state.ranked_at is None else state.ranked_at
    return [pair.key, text or "", to_json(state).decode(), rank, pair.symbol, int(state.monitored) - int(was)]


def _bounds(band: Band, now: int) -> tuple[str, str]:
    """The scores of a band: after the first, up to the second."""
    after, until = window_of(band, now)
    return ("-inf" if after < -_MOST else f"({after}", "+inf" if until > _MOST else str(until))
