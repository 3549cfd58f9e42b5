"""The Redis store, on one server or on a cluster.

Executions are read, folded here and saved by a script that refuses when somebody else changed them in between; then
they are read and folded again (`saving`; on a cluster `stepwise`). Questions walk the sorted set of all executions,
newest first: what is kept is bounded by the time to live and the length of an index, so these answers are, too.
"""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Collection, Iterator, Mapping, Sequence
from heapq import nlargest
from itertools import islice
from typing import Any

import msgspec

from execlog.core.clock import Clock
from execlog.core.errors import StoreError
from execlog.core.filter import Filter, Page
from execlog.core.fold import fold_all
from execlog.core.model import Event, Execution, Key
from execlog.core.settings import Settings
from execlog.store.base import SUMMARY, WHOLE, Applied, Capabilities, Change, FailureGroup, Group, GroupBy, Part
from execlog.store.jobs import JobStore
from execlog.store.matching import SEARCHED, check_page, page_of, sort_key, start_after, trim
from execlog.store.pairs import FAILED, FEATURE, LONGEST, PIPELINE, SPEAKING
from execlog.store.preparing import prepare
from execlog.store.redis.checking import check_settings, facts_of
from execlog.store.redis.connecting import connect
from execlog.store.redis.connection import TIMEOUT
from execlog.store.redis.jobs import RedisJobStore
from execlog.store.redis.keys import JOB, Keys, beginning, key_of, member
from execlog.store.redis.pairs import RedisPairs
from execlog.store.redis.reading import CHUNK, SORTS, Reader
from execlog.store.redis.saving import OneStep, Save, Saving
from execlog.store.redis.stepwise import Stepwise
from execlog.store.scanning import failures_of, latest_of, stats_of

log = logging.getLogger("execlog")
TRIES = 50


class RedisStore:
    """Executions in a Redis or Valkey server or cluster, shared by any number of processes and hosts.

    `searched` are, by kind, the fields whose text is searched besides the error's.
    """

    capabilities = Capabilities(statistics=False, sorts=SORTS)

    def __init__(
        self,
        url: str,
        settings: Settings,
        *,
        clock: Clock | None = None,
        searched: Mapping[str, tuple[str, ...]] = SEARCHED,
        timeout: float = TIMEOUT,
        read_timeout: float = 60.0,
    ) -> None:
        check_settings(settings)
        self.connection = connect(url, timeout=timeout)
        self._client, self._answers = self.connection.client, self.connection.answers
        self.url = self.connection.url
        self.mended: Counter[str] = Counter()
        names = (settings.redis_prefix, settings.redis_job_record, settings.redis_job_index)
        self.keys = Keys(*names, clustered=self.connection.clustered)
        self._ttl_ms = round(settings.redis_ttl * 1000)
        self._clock = clock
        self._reader = Reader(self.connection, self.keys, searched, timeout=read_timeout, patience=timeout)
        bounds = {"ttl_ms": self._ttl_ms, "limit": settings.redis_history_limit}
        self.saving: Saving = (
            Stepwise(self.connection, self.keys, read=self._reader.executions, **bounds)
            if self.connection.clustered
            else OneStep(self.connection, self.keys, **bounds)
        )
        self.pairs = RedisPairs(self.connection, self.keys, now=self._now, executions=self._computations)

    def open_jobs(self) -> JobStore:
        """The jobs, over this store's connection."""
        return RedisJobStore(self.connection, self.keys)

    def apply(self, events: Sequence[Event]) -> Applied:
        """What became of the batch; on a conflict with another writer, its executions are folded again."""
        pending: dict[Key, list[Event]] = {}
        for event in [prepare(event, self.mended) for event in events]:
            pending.setdefault(event.key, []).append(event)
        inserted = updated = ignored = 0
        for _ in range(TRIES):
            if not pending:
                return Applied(inserted, updated, ignored, last_change=self._last_change())
            with self._answers():
                read, marks = self._reader.read_to_write(list(pending))
                ignored += _drop_deleted(pending, marks)
            # Before the executions: should this process die in between, the batch comes again, and says it again.
            self.pairs.take(event for key, said in pending.items() if key.kind in SPEAKING for event in said)
            with self._answers():
                saved, pending = self._save_all(pending, read)
            inserted += sum(read[key][1] is None for key in saved)
            updated += sum(read[key][1] is not None for key in saved)
        raise StoreError("too many writers change the same executions at once", retry=True)

    def get(self, id: str, *, kind: str | None = None, namespace: str | None = None) -> Execution | None:
        """The whole execution, or None; without kind or namespace the newest of that id."""
        found = list(islice(self._matching(Filter(ids=(id,), kind=kind, namespace=namespace)), 1))
        return trim(found[0], WHOLE) if found else None

    def find(
        self,
        filter: Filter,
        *,
        limit: int = 50,
        cursor: str | None = None,
        offset: int = 0,
        parts: Collection[Part] = SUMMARY,
    ) -> Page[Execution]:
        """A page of executions in the filter's order."""
        check_page(limit, offset)
        wanted = offset + limit + 1
        found = self._matching(filter, None if cursor is None else start_after(filter, cursor), first=wanted)
        in_order = filter.sort in self.capabilities.sorts
        page = list(islice(found if in_order else nlargest(wanted, found, key=sort_key(filter)), offset, wanted))
        return page_of(filter, [trim(entry, parts) for entry in page], limit)

    def count(self, filter: Filter) -> int:
        """How many executions the filter asks for."""
        self._heal()
        return self._reader.count(filter)

    def kinds(self) -> list[str]:
        """Every kind that has executions."""
        return self._reader.kinds()

    def stats(self, filter: Filter, *, group_by: GroupBy | None = None) -> list[Group]:
        """Sums over the terminal executions, in one group or several."""
        return stats_of(self._matching(_by_time(filter)), group_by)

    def latest(self, filter: Filter, *, limit: int = 1000) -> list[Execution]:
        """The newest execution of each subject, newest first."""
        return latest_of(self._matching(_by_time(filter)), limit)

    def failures(self, filter: Filter, *, limit: int = 50) -> list[FailureGroup]:
        """Executions that failed, grouped by error fingerprint, the latest group first."""
        return failures_of(self._matching(_by_time(filter)), limit)

    def delete(self, filter: Filter, *, keep_marks: bool = True) -> int:
        """How many executions were removed, each in one atomic step."""
        with self._answers():
            mark = self._now() if keep_marks else None
        removed, matching = 0, self._matching(_by_time(filter), unhurried=True)
        while some := list(islice(matching, CHUNK)):
            with self._answers():
                removed += self.saving.remove(some, mark)
        return removed

    def changes(self, after: int, *, limit: int = 1000) -> list[Change]:
        """What changed after change number `after`; -1 asks for the newest alone."""
        stream = self.keys.own("changes")
        with self._answers():
            if after < 0:
                found = self._client.xrevrange(stream, count=1)
            else:
                found = self._client.xrange(stream, min=f"({after}-1", count=limit)
        return [Change(int(number.split("-")[0]), *key_of(said["m"]), said["d"] == "1") for number, said in found]

    def attend(self, origin: str, *, seconds: float) -> None:
        """Note that the process `origin` is alive for this long; 0 signs it off."""
        key = self.keys.own("process", origin)
        with self._answers():
            if seconds > 0:
                self._client.set(key, self._now() + round(seconds * 1e6), px=self._ttl_ms)
            else:
                self._client.delete(key)

    def absent(self) -> list[str]:
        """The origins that have open executions but are not noted alive."""
        with self._answers():
            origins = sorted(set(self._client.hvals(self.keys.own("open"))))
            if not origins:
                return []
            alive = self.connection.get_many([self.keys.own("process", origin) for origin in origins])
            now = self._now()
        return [origin for origin, until in zip(origins, alive, strict=True) if until is None or int(until) <= now]

    def foreign(self) -> int:
        """How many records of jobs only their job's own history knows: another program wrote them."""
        prefix, order, unknown = self.keys.job_record, self.keys.own("order"), set[str]()
        with self._answers():
            found: Iterator[str] = self._client.scan_iter(match=beginning(prefix), count=CHUNK)
            while some := list(islice(found, CHUNK)):
                members = [member(Key(JOB, "", name.removeprefix(prefix))) for name in some]
                scores = self.connection.read([("ZSCORE", order, one) for one in members])
                unknown |= {name for name, score in zip(some, scores, strict=True) if score is None}
        return len(unknown)

    def check(self) -> dict[str, str]:
        """Facts about the servers, with a warning where one may lose what it holds.

        Raises StoreError where nothing can be written: a replica, a server whose memory is full.
        """
        with self._answers():
            self._client.set(self.keys.own("check"), "", px=1_000)
            self._client.delete(self.keys.own("check"))
            servers = self.connection.servers()
            kept = self._client.zcard(self.keys.own("order"))
        return {"store": "redis", "executions": str(kept), **facts_of(servers, clustered=self.connection.clustered)}

    def close(self) -> None:
        """Release the connections."""
        self.connection.close()

    def _save_all(
        self, pending: dict[Key, list[Event]], read: dict[Key, tuple[str, Execution | None]]
    ) -> tuple[list[Key], dict[Key, list[Event]]]:
        """The executions that were changed, and those that somebody else changed in between."""
        saves: list[Save] = []
        for key, events in pending.items():
            raw, old = read[key]
            new = fold_all(old, events)
            if new != old:
                saves.append(Save(new, raw, old))
        done = self.saving.save(saves) if saves else []
        tried = [save.execution.key for save in saves]
        self.saving.settle(pending.keys() - set(tried))
        saved = [key for key, was in zip(tried, done, strict=True) if was]
        return saved, {key: pending[key] for key, was in zip(tried, done, strict=True) if not was}

    def _matching(self, filter: Filter, after: Any = None, **how: Any) -> Iterator[Execution]:
        """What the reader finds, once all is whole."""
        self._heal()
        return self._reader.matching(filter, after, **how)

    def _heal(self) -> None:
        with self._answers():
            self.saving.heal()

    def _computations(self, since: int) -> Iterator[Execution]:
        """The pipelines, and failed computations of features, that failures since a time may be in.

        A failed computation may be older: that it was told of takes its pipeline's item out of the answer.
        """
        yield from self._matching(Filter(kind=PIPELINE, since=since - LONGEST))
        yield from self._matching(Filter(kind=FEATURE, statuses=FAILED))

    def _now(self) -> int:
        """UTC µs on the store's clock."""
        if self._clock is not None:
            return self._clock.now()
        return self.connection.now(self.keys.own("order"))

    def _last_change(self) -> int:
        with self._answers():
            return int(self._client.get(self.keys.own("change")) or 0)


def _drop_deleted(pending: dict[Key, list[Event]], marks: Mapping[Key, str | None]) -> int:
    """How many events were about deleted executions; they are taken out."""
    ignored = 0
    for key, mark in marks.items():
        if mark is None:
            continue
        at, was_open = msgspec.json.decode(mark, type=tuple[int, bool])
        events = pending.pop(key)
        newer = [] if was_open else [event for event in events if event.at > at]
        ignored += len(events) - len(newer)
        if newer:
            pending[key] = newer
    return ignored


def _by_time(filter: Filter) -> Filter:
    return filter if filter.sort == "newest" else msgspec.structs.replace(filter, sort="newest")
