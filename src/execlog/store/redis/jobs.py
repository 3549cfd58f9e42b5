"""Jobs in Redis, shared by the schedulers of several hosts.

A job is one field of a hash: its definition and its firings together, for no rule of `JobStore` looks beyond a job.
It is read, changed as `MemoryJobStore` would, and put back with its places in the sorted sets by a script that refuses
when somebody else was quicker; then it is done again. All keys have one hash tag, so that a cluster can do that too.

    {prefix}{jobs}:states    job id → definition and firings      {prefix}{jobs}:made     ids by created_at
    {prefix}{jobs}:due       ids by due_at                        {prefix}{jobs}:waiting  firings by due_at
    {prefix}{jobs}:claimed, :started  firings by the end of their lease      {prefix}{jobs}:held:{holder}  firings
"""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Iterable, Sequence
from typing import Any, TypeVar, cast

import msgspec
from msgspec import Struct

from execlog.core.errors import StoreError
from execlog.core.filter import Page
from execlog.store.jobs import Advance, Due, Entry, Firing, Settled, decode_job_cursor, encode_job_cursor
from execlog.store.memory_jobs import MemoryJobStore
from execlog.store.redis.connection import Command, Connection
from execlog.store.redis.keys import SEPARATOR, Keys

R = TypeVar("R")
CHUNK = 200
TRIES = 100
_PAUSE = 0.005
Places = dict[tuple[str, str], int | None]
"""Key and member → score; None in a plain set."""


class _Job(Struct, frozen=True):
    entry: Entry | None = None
    firings: tuple[Firing, ...] = ()


_encode = msgspec.json.Encoder().encode
_decode = msgspec.json.Decoder(_Job).decode


class RedisJobStore:
    """A `JobStore` over a Redis store's connection, which stays open when this is closed."""

    def __init__(self, connection: Connection, keys: Keys) -> None:
        self._connection, self._client = connection, connection.client
        self._keys = keys
        self._states = self._key("states")

    def put(self, entry: Entry, *, expected: int | None) -> Entry:
        """The entry as kept; see `JobStore`."""
        return self._change([entry.id], lambda jobs: jobs.put(entry, expected=expected))

    def get(self, job_id: str) -> Entry | None:
        """The job, or None."""
        return self._loaded([job_id]).get(job_id)

    def list(self, *, limit: int = 50, cursor: str | None = None) -> Page[Entry]:
        """A page of jobs, the newest made first."""
        before = decode_job_cursor(cursor) if cursor else None
        found: list[tuple[str, float]] = []
        start, high = 0, "+inf" if before is None else before[0]
        while len(found) <= limit:
            with self._connection.answers():
                some: list[tuple[str, float]] = self._client.zrevrangebyscore(
                    self._key("made"), high, "-inf", start=start, num=limit + 1, withscores=True
                )
            found += [(id_, at) for id_, at in some if before is None or (round(at), id_) < before]
            start += len(some)
            if len(some) <= limit:
                break
        entries = self._entries([id_ for id_, _ in found[:limit]])
        return Page(tuple(entries), encode_job_cursor(entries[-1]) if len(found) > limit and entries else None)

    def remove(self, job_id: str) -> list[Firing] | None:
        """The job's firings as they were; None where there is no such job."""
        return self._change([job_id], lambda jobs: jobs.remove(job_id))

    def due(self, now: int, *, limit: int) -> Due:
        """The due jobs, and when to look again."""
        with self._connection.answers():
            ids: list[str] = self._client.zrangebyscore(self._key("due"), "-inf", now, start=0, num=limit)
            later = [
                self._client.zrangebyscore(self._key(name), f"({now}", "+inf", start=0, num=1, withscores=True)
                for name in ("due", "waiting")
            ]
        entries = [entry for entry in self._entries(ids) if entry.enabled and entry.due_at is not None]
        return Due(entries, min((round(score) for found in later for _, score in found), default=None))

    def advance(self, advances: Sequence[Advance]) -> list[Firing]:
        """The firings made."""
        return self._change([step.job_id for step in advances], lambda jobs: jobs.advance(advances))

    def enqueue(self, firing: Firing) -> Firing:
        """The firing, waiting."""
        return self._change([firing.job_id], lambda jobs: jobs.enqueue(firing))

    def claim(self, holder: str, *, now: int, lease_until: int, limit: int) -> list[Firing]:
        """The firings claimed."""
        claimed: list[Firing] = []
        start = 0
        while len(claimed) < limit:
            with self._connection.answers():
                ready: list[str] = self._client.zrangebyscore(self._key("waiting"), "-inf", now, start=start, num=CHUNK)
                left: list[str] = [] if start else self._client.zrangebyscore(self._key("claimed"), "-inf", f"({now}")
            more = limit - len(claimed)
            mine = self._change(
                _jobs_of([*ready, *left]),
                lambda jobs, more=more: jobs.claim(holder, now=now, lease_until=lease_until, limit=more),
            )
            claimed += mine
            start += len(ready) - len({_member(firing) for firing in mine} & set(ready))
            if len(ready) < CHUNK:
                break
        return sorted(claimed, key=lambda firing: (firing.due_at, firing.key))

    def begin(self, firings: Sequence[Firing]) -> list[Firing]:
        """The firings started."""
        return self._change([firing.job_id for firing in firings], lambda jobs: jobs.begin(firings))

    def renew(self, holder: str, *, lease_until: int) -> list[Firing]:
        """The holder's firings to cancel."""
        with self._connection.answers():
            held = self._client.smembers(self._key("held", holder))
        return self._change(_jobs_of(held), lambda jobs: jobs.renew(holder, lease_until=lease_until))

    def settle(self, firings: Sequence[Firing], *, follow: Sequence[Firing] = ()) -> Settled:
        """How many firings ended, and the retries made."""
        ids = [firing.job_id for firing in (*firings, *follow)]
        return self._change(ids, lambda jobs: jobs.settle(firings, follow=follow))

    def cancel(self, job_id: str) -> list[Firing]:
        """The job's firings as they were."""
        return self._change([job_id], lambda jobs: jobs.cancel(job_id))

    def firings(self, *, job_id: str | None = None, expired_at: int | None = None, limit: int = 1000) -> list[Firing]:
        """Firings by due time."""
        with self._connection.answers():
            if job_id is not None:
                ids = [job_id]
            elif expired_at is not None:
                ids = _jobs_of(self._client.zrangebyscore(self._key("started"), "-inf", f"({expired_at}"))
            else:
                names = ("waiting", "claimed", "started")
                ids = _jobs_of([text for name in names for text in self._client.zrange(self._key(name), 0, -1)])
        return self._loaded(ids).firings(job_id=job_id, expired_at=expired_at, limit=limit)

    def close(self) -> None:
        """Nothing to release."""

    def _key(self, *parts: str) -> str:
        return self._keys.jobs(*parts)

    def _entries(self, ids: Sequence[str]) -> list[Entry]:
        jobs = self._loaded(ids)
        return [entry for id_ in ids if (entry := jobs.get(id_)) is not None]

    def _loaded(self, ids: Sequence[str]) -> MemoryJobStore:
        return _memory(self._read(ids).values())

    def _read(self, ids: Iterable[str]) -> dict[str, str | None]:
        unique = list(dict.fromkeys(ids))
        with self._connection.answers():
            return dict(zip(unique, self._client.hmget(self._states, unique), strict=True)) if unique else {}

    def _change(self, ids: Sequence[str], act: Callable[[MemoryJobStore], R]) -> R:
        """What `act` answers about these jobs, once what it changed in them is kept."""
        for tried in range(TRIES):
            read = self._read(ids)
            before = {id_: _job(raw) for id_, raw in read.items()}
            jobs = _memory(read.values())
            answer = act(jobs)
            after = {id_: _Job(jobs.get(id_), tuple(jobs.firings(job_id=id_))) for id_ in read}
            changed = [id_ for id_ in read if after[id_] != before[id_]]
            if not changed:
                return answer
            new = {id_: _raw(after[id_]) for id_ in changed}
            commands = [it for id_ in changed for it in _moves(self._places(before[id_]), self._places(after[id_]))]
            if self._connection.swap(self._states, read, new, commands):
                return answer
            time.sleep(random.uniform(0, _PAUSE * min(tried, 10)))  # noqa: S311 - only to get out of step
        raise StoreError("too many schedulers change the same jobs at once", retry=True)

    def _places(self, job: _Job) -> Places:
        """Where a job is found."""
        places: Places = {}
        entry = job.entry
        if entry is not None:
            places[self._key("made"), entry.id] = entry.created_at
            if entry.enabled and entry.due_at is not None:
                places[self._key("due"), entry.id] = entry.due_at
        for firing in job.firings:
            waits = firing.state == "waiting"
            places[self._key(firing.state), _member(firing)] = firing.due_at if waits else firing.lease_until
            if not waits:
                places[self._key("held", firing.holder), _member(firing)] = None
        return places


def _moves(before: Places, after: Places) -> list[Command]:
    """The commands that lead from places to others."""
    commands: list[Command] = [
        ("SREM" if before[place] is None else "ZREM", *place) for place in before if place not in after
    ]
    for place, score in after.items():
        if place in before and before[place] == score:
            continue
        key, member = place
        commands.append(("SADD", key, member) if score is None else ("ZADD", key, str(score), member))
    return commands


def _memory(raws: Iterable[str | None]) -> MemoryJobStore:
    jobs = [_job(raw) for raw in raws]
    entries = [job.entry for job in jobs if job.entry is not None]
    return MemoryJobStore(entries, [firing for job in jobs for firing in job.firings])


def _job(raw: str | None) -> _Job:
    return _decode(raw) if raw else _Job()


def _raw(job: _Job) -> str | None:
    return None if job == _Job() else _encode(job).decode()


def _member(firing: Firing) -> str:
    return SEPARATOR.join((firing.job_id, str(firing.instant), str(firing.attempt)))


def _jobs_of(members: Iterable[Any]) -> list[str]:
    return list(dict.fromkeys(cast("str", text).rsplit(SEPARATOR, 2)[0] for text in members))
