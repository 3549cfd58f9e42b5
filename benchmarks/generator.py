"""A realistic history of any length, the same every time.

Four kinds, 1,000 subjects of which a few run most, 200 users, failures that come in bursts, items for some.
`batches(n)` yields whole executions, each said by one event, in the order of time, ending at `END`;
`pair_batches(n, now)` the pipelines that computed so many pairs (symbol, timeframe) over the two days before `now`.
"""

from __future__ import annotations

import random
from collections.abc import Iterator

from execlog.core.model import Error, Event, Item, Status, Usage

END = 1_763_800_000_000_000
"""UTC µs of the last execution: 2025-11-22T08:26:40Z."""

DAYS = 90
SUBJECTS, USERS, PROJECTS = 1_000, 200, 50
_DAY = 86_400_000_000
_BURST = 900_000_000
_POOL = 4_096
_TIMEFRAMES = ("1m", "1h", "1d", "1w")
_STOCKS = ("AAPL", "AMZN", "GOOG", "IBM", "MSFT")
_QUERIES = tuple(
    f"select sym, last price from trade where date within ({day}; .z.d), sym in `{stock} by time.minute"
    for day in range(20)
    for stock in _STOCKS
)
_ORIGINS = tuple(
    f"b1946ac9-2492-4b1e-a5b3-0cf9e2a7d11{host}:{host:04d}-{pid}" for host in range(4) for pid in (811, 907)
)
_CONTEXTS = tuple(
    {"host": f"worker-{host}", "pid": str(pid), "python": "3.11.7", "revision": f"{host}f3a9c1d"}
    for host in range(4)
    for pid in (811, 907)
)
_BAD = (Status.FAILED,) * 11 + (Status.TIMED_OUT,) * 3 + (Status.PARTIAL,) * 4 + (Status.CANCELLED, Status.CRASHED)


def batches(count: int, *, size: int = 1_000, seed: int = 1, days: float = DAYS) -> Iterator[list[Event]]:
    """`count` executions over the last `days` before END, oldest first, in batches of `size`."""
    maker = Maker(seed)
    step = round(days * _DAY) / count
    start = END - round(days * _DAY)
    for first in range(0, count, size):
        yield [maker.event(start + round(number * step)) for number in range(first, min(first + size, count))]


class Maker:
    """Makes events one after the other; a maker of the same seed makes the same."""

    def __init__(self, seed: int) -> None:
        dice = random.Random(seed)
        self._bits = dice.getrandbits
        self._random = dice.random
        subjects = range(SUBJECTS)
        self._subjects = dice.choices(subjects, [1 / (place + 3) for place in subjects], k=_POOL)
        users = range(USERS)
        self._users = [f"user-{user:03d}" for user in dice.choices(users, [1 / (user + 5) for user in users], k=_POOL)]
        self._durations = [dice.lognormvariate(-0.7, 1.4) for _ in range(_POOL)]
        self._kinds = dice.choices((self._job, self._query, self._workflow, self._pipeline), (45, 35, 10, 10), k=_POOL)

    def event(self, at: int) -> Event:
        """One whole execution that began at `at` (UTC µs)."""
        bits = self._bits(64)
        ms = (at // 1000) & 0xFFFFFFFFFFFF
        head = f"{ms:012x}"
        tail = bits & 0xFFFFFFFFFFFF
        id_ = f"{head[:8]}-{head[8:]}-7{bits >> 52:03x}-{0x8000 | bits >> 48 & 0xFFF:04x}-{tail:012x}"
        return self._kinds[bits & 4095](id_, at, bits >> 12)

    def _outcome(self, subject: int, at: int, bits: int) -> Status:
        """Mostly well; now and then a subject has a quarter of an hour in which half of its executions fail."""
        burst = hash((subject, at // _BURST)) % 48 == 0
        if bits % 1000 < (500 if burst else 25):
            return _BAD[bits % 20]
        return Status.SUCCEEDED

    def _job(self, id_: str, at: int, bits: int) -> Event:
        subject = self._subjects[bits & 4095]
        status = self._outcome(subject, at, bits >> 12)
        duration = self._durations[bits >> 24 & 4095]
        end = at + round(duration * 1e6)
        error, items = None, ()
        if status is not Status.SUCCEEDED:
            stock = _STOCKS[bits % 5]
            error = Error(
                "FetchError", f"Failed to fetch {stock}: Connection timeout after {bits % 60}s", ("jobs.py:88 fetch",)
            )
        if bits & 3 == 0:
            items = _items(at, end, error)
        return Event(
            id=id_, kind="job", at=end, status=status, name=f"Job {subject}", subject=f"job-{subject:04d}",
            actor="schedule" if bits & 15 else self._users[bits >> 4 & 4095], started_at=at, ended_at=end,
            duration=duration, rows=bits & 1023, error=error, total=len(items) or None, items=items,
            metadata={"trigger": "cron", "attempt": 1}, origin=_ORIGINS[bits & 7], context=_CONTEXTS[bits & 7],
        )  # fmt: skip

    def _query(self, id_: str, at: int, bits: int) -> Event:
        status = self._outcome(5_000 + (bits & 3), at, bits >> 12)
        duration = self._durations[bits >> 24 & 4095] / 10
        end = at + round(duration * 1e6)
        error = None
        if status is not Status.SUCCEEDED:
            error = Error("QueryError", f'relation "prices_{bits % 500}" does not exist at line {bits % 90}')
        return Event(
            id=id_, kind="query", at=end, status=status, subject=f"warehouse-{bits & 3}",
            actor=self._users[bits >> 4 & 4095], engine="kdb" if bits & 4 else "starburst", started_at=at, ended_at=end,
            duration=duration, rows=bits & 0xFFFF, error=error, input=_QUERIES[bits % 100],
            metadata={"page": 1, "page_size": 100, "query_complexity": "simple"}, origin=_ORIGINS[bits & 7],
        )  # fmt: skip

    def _workflow(self, id_: str, at: int, bits: int) -> Event:
        subject = self._subjects[bits & 4095]
        status = self._outcome(subject, at, bits >> 12)
        duration = self._durations[bits >> 24 & 4095] * 5
        end = at + round(duration * 1e6)
        error = None
        if status is not Status.SUCCEEDED:
            error = Error(
                "StepError", f"step {bits % 9} exceeded its budget of 0.{bits % 99:02d} USD", ("flow.py:31 step",)
            )
        usage = {"small": Usage(bits & 4095, bits >> 12 & 1023, cost_nano=(bits & 0xFFFFF) * 100)}
        return Event(
            id=id_, kind="workflow", namespace=f"project-{subject % PROJECTS:02d}", at=end, status=status,
            subject=f"flow-{subject:04d}", actor=self._users[bits >> 4 & 4095], started_at=at, ended_at=end,
            duration=duration, error=error, usage=usage, params={"temperature": 0.2},
            metadata={"version": bits & 7}, origin=_ORIGINS[bits & 7], context=_CONTEXTS[bits & 7],
        )  # fmt: skip

    def _pipeline(self, id_: str, at: int, bits: int) -> Event:
        subject = self._subjects[bits & 4095] % 40
        status = self._outcome(6_000 + subject, at, bits >> 12)
        duration = self._durations[bits >> 24 & 4095] * 20
        end = at + round(duration * 1e6)
        error = None
        if status is not Status.SUCCEEDED:
            error = Error("HTTPError", f"HTTP 503 from https://feed.example/prices/{bits % 97}: service unavailable")
        return Event(
            id=id_, kind="pipeline", at=end, status=status, subject=f"pipeline-{subject:02d}", actor="schedule",
            started_at=at, ended_at=end, duration=duration, rows=bits & 0xFFFF, error=error, total=200,
            declared_succeeded=200 - bits % 7, declared_failed=bits % 7, origin=_ORIGINS[bits & 7],
        )  # fmt: skip


def _items(at: int, end: int, error: Error | None) -> tuple[Item, ...]:
    """Five stocks; with an error the last one failed."""
    share = (end - at) // 5
    return tuple(
        Item(
            key=stock,
            at=at + (place + 1) * share,
            status=Status.FAILED if error is not None and place == 4 else Status.SUCCEEDED,
            position=place,
            started_at=at + place * share,
            ended_at=at + (place + 1) * share,
            duration=share / 1e6,
            rows=250,
            error=error if place == 4 else None,
        )
        for place, stock in enumerate(_STOCKS)
    )


def pair_batches(count: int, *, now: int, size: int = 1_000) -> Iterator[list[Event]]:
    """Pipelines of `size` pairs each, together `count`; saying them again with a later `now` (UTC µs) updates them."""
    spacing = 2 * _DAY // max(count, 1)
    for first in range(0, count, size):
        pairs = range(first, min(first + size, count))
        start, end = now - 2 * _DAY + first * spacing, now - 2 * _DAY + (pairs[-1] + 1) * spacing
        items = tuple(
            Item(
                key=f"S{pair // 4:05d}/{_TIMEFRAMES[pair % 4]}",
                at=start + (pair - first + 1) * spacing,
                status=Status.SUCCEEDED if pair % 50 else Status.FAILED,
                position=pair - first,
                started_at=start + (pair - first) * spacing,
                ended_at=start + (pair - first + 1) * spacing,
                duration=spacing / 1e6,
                rows=0 if pair % 100 == 1 else 250,
                error=None if pair % 50 else Error("FeedError", f"no bars for S{pair // 4:05d}"),
            )
            for pair in pairs
        )
        yield [
            Event(
                id=f"pairs-{first:07d}", kind="pipeline", at=end, status=Status.PARTIAL, subject="features",
                actor="schedule", started_at=start, ended_at=end, duration=(end - start) / 1e6, rows=250 * len(pairs),
                total=len(pairs), items=items, origin=_ORIGINS[0],
            )
        ]  # fmt: skip
