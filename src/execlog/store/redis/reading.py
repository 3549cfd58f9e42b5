"""How executions are found in Redis: by their ids, by their subject's index, or on a walk through all that are kept.

The walk goes by the time executions began, newest first. Names of many are read at once; records, which are most of the
work, only of those whose name may be meant, and of no more than are asked for.
"""

from __future__ import annotations

import logging
import math
import threading
import time
from collections.abc import Generator, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from heapq import merge
from typing import Any

import msgspec

from execlog.core.errors import InvalidError, StoreError
from execlog.core.filter import Filter
from execlog.core.model import Execution, Key
from execlog.store.layout import execution_in
from execlog.store.matching import matches, only, sort_key
from execlog.store.redis.connection import Connection
from execlog.store.redis.keys import JOB, Keys, key_of, member
from execlog.store.redis.packing import shown

log = logging.getLogger("execlog")
CHUNK = 200
"""Records that are read at once."""
NAMES = 5_000
"""Names that are read at once, at most."""
_TOLD = frozenset({"kind", "namespace", "id_prefix", "since", "until"})
LONG, WALKS = 5_000, 4
"""Records after which a walk is a long one, and how many of these go on at once in a process."""
SORTS = ("newest", "oldest")


class Reader:
    """Reads the executions of one store; `searched` are, by kind, the fields whose text is searched.

    A walk that takes longer than `timeout` seconds is a StoreError, unless it is `unhurried`. So is a long one that
    does not get its turn within `patience` seconds: many at once would keep all threads of a server, and end no sooner.
    """

    def __init__(
        self,
        connection: Connection,
        keys: Keys,
        searched: Mapping[str, tuple[str, ...]],
        *,
        timeout: float,
        patience: float,
    ) -> None:
        self._connection, self._keys, self._searched = connection, keys, searched
        self._timeout, self._patience, self._turns = timeout, patience, threading.BoundedSemaphore(WALKS)
        self._client, self._answers = connection.client, connection.answers
        self._unreadable: set[Key] = set()

    def read(self, keys: Sequence[Key]) -> dict[Key, tuple[str, Execution | None]]:
        """The records of executions, as they are kept and as they are meant."""
        found = self._connection.get_many([self._keys.record(key) for key in keys])
        return {key: (raw or "", self._execution(raw, key)) for key, raw in zip(keys, found, strict=True)}

    def read_to_write(
        self, keys: Sequence[Key]
    ) -> tuple[dict[Key, tuple[str, Execution | None]], dict[Key, str | None]]:
        """The records of executions and the marks of deleted ones, in one round trip."""
        names = [self._keys.record(key) for key in keys] + [self._keys.deleted(key) for key in keys]
        found = self._connection.get_many(names)
        records, marks = found[: len(keys)], found[len(keys) :]
        read = {key: (raw or "", self._execution(raw, key)) for key, raw in zip(keys, records, strict=True)}
        return read, dict(zip(keys, marks, strict=True))

    def executions(self, keys: Sequence[Key]) -> dict[Key, Execution | None]:
        """The executions of keys, None where there is none."""
        return {key: entry for key, (_, entry) in self.read(keys).items()}

    def matching(
        self, filter: Filter, after: Any = None, *, first: int = CHUNK, unhurried: bool = False
    ) -> Iterator[Execution]:
        """The executions the filter asks for, those after a position; about the `first` ones are read at first.

        They come in the filter's order where that is by time, else in any.
        """
        key, upwards = sort_key(filter), filter.sort == "oldest"
        until = math.inf if unhurried else time.monotonic() + self._timeout
        for execution in self._candidates(filter, after, first, until):
            if after is not None and (key(execution) <= after if upwards else key(execution) >= after):
                continue
            if matches(filter, execution, self._searched):
                yield execution

    def count(self, filter: Filter) -> int:
        """How many executions the filter asks for; they are not read where their names and times tell."""
        if not only(filter, _TOLD):
            return sum(1 for _ in self.matching(filter))
        number = 0
        for keys in self._walk(filter, None, CHUNK, time.monotonic() + self._timeout):
            with self._answers():
                number += self._connection.number_of([self._keys.record(key) for key in keys])
        return number

    def kinds(self) -> list[str]:
        """The kinds of all executions, which their names tell."""
        return sorted({kind for kind, _ in self._spaces(Filter())})

    def _spaces(self, filter: Filter) -> list[tuple[str, str]]:
        """Every kind and namespace that has executions that may be meant."""
        found, start = set[tuple[str, str]](), 0
        while True:
            with self._answers():
                names: list[str] = self._client.zrange(self._keys.own("order"), start, start + NAMES - 1)
            found |= {(key.kind, key.namespace) for name in names if _may_be_meant(filter, key := key_of(name))}
            if len(names) < NAMES:
                return sorted(found)
            start += NAMES

    def _candidates(self, filter: Filter, after: Any, first: int, until: float) -> Iterator[Execution]:
        if filter.sort not in SORTS:
            filter, after = msgspec.structs.replace(filter, sort="newest"), None
        if filter.ids:
            yield from self._in_order(filter, self._named(filter.ids), asked=True)
        elif filter.parent_id or filter.root_id:
            yield from self._of_kin(filter, after, first, until)
        elif filter.subject:
            yield from self._of_subject(filter, after, first)
        else:
            yield from self._on_a_walk(filter, after, first, until)

    def _on_a_walk(self, filter: Filter, after: Any, first: int, until: float) -> Iterator[Execution]:
        read, hurried = 0, until < math.inf
        with ExitStack() as turn:
            for keys in self._walk(filter, after, first, until):
                if hurried and read < LONG <= read + len(keys):
                    turn.enter_context(self._turn())
                read += len(keys)
                yield from self._there(keys)

    @contextmanager
    def _turn(self) -> Generator[None]:
        """One of the long walks that go on."""
        if not self._turns.acquire(timeout=self._patience):
            message = f"{self._connection.url}: {WALKS} questions that read all of it go on already"
            raise StoreError(message, retry=True)
        try:
            yield
        finally:
            self._turns.release()

    def _in_order(self, filter: Filter, keys: Sequence[Key], *, asked: bool = False) -> list[Execution]:
        """The executions of keys in the filter's order; one that cannot be read is an error where it was asked for."""
        with self._answers():
            found = list(self._readable(keys, asked=asked))
        return sorted(found, key=sort_key(filter), reverse=filter.sort != "oldest")

    def _there(self, keys: Sequence[Key]) -> list[Execution]:
        """The executions of keys; those that outlived their records' time to live are forgotten."""
        with self._answers():
            read = self.read(keys)
            gone = [member(key) for key, (raw, _) in read.items() if not raw]
            if gone:
                self._client.zrem(self._keys.own("order"), *gone)
                self._client.hdel(self._keys.own("open"), *gone)
        return [entry for _, entry in read.values() if entry is not None]

    def _named(self, ids: Sequence[str]) -> list[Key]:
        with self._answers():
            found: list[Iterable[str]] = self._connection.read(
                [("SMEMBERS", self._keys.own("places", id_)) for id_ in ids]
            )
        known = [key_of(text) for members in found for text in members]
        # What another program wrote into a job's keys is in no place of ours.
        return list(dict.fromkeys([*known, *(Key(JOB, "", id_) for id_ in ids)]))

    def _of_subject(self, filter: Filter, after: Any, first: int) -> Iterator[Execution]:
        """The executions in the indexes of a subject; of long ones no more are read than are asked for."""
        exactly = filter.kind is not None and filter.namespace is not None
        spaces = [(filter.kind or "", filter.namespace or "")] if exactly else self._spaces(filter)
        with self._answers():
            indexes = self._connection.read(
                [("LRANGE", self._keys.index(*space, filter.subject or ""), 0, -1) for space in spaces]
            )
        keys = [
            Key(*space, id_)
            for space, ids in zip(spaces, indexes, strict=True)
            for id_ in dict.fromkeys(ids)
            if shown(id_) == id_
        ]
        if exactly and len(keys) <= CHUNK:
            yield from self._in_order(filter, keys)
            return
        times = self._times(keys)
        # What another program wrote is in its job's own history alone, and may stand anywhere there.
        theirs = self._in_order(filter, [key for key in keys if key not in times]) if exactly else []
        upwards = filter.sort == "oldest"
        ours = sorted(times, key=lambda key: (times[key], key.id, key.kind, key.namespace), reverse=not upwards)
        if after is not None:
            ours = [key for key in ours if (times[key] >= after[1] if upwards else times[key] <= after[1])]
        in_turn = (one for some in _growing(ours, first) for one in self._in_order(filter, some))
        yield from merge(theirs, in_turn, key=sort_key(filter), reverse=not upwards)

    def _of_kin(self, filter: Filter, after: Any, first: int, until: float) -> Iterator[Execution]:
        """The executions that name another as their parent or root; what was kept before these were noted is walked."""
        id_ = filter.parent_id or filter.root_id or ""
        with self._answers():
            names, noted_since = self._connection.read(
                [("SMEMBERS", self._keys.own("kin", id_)), ("GET", self._keys.own("kin"))]
            )
        keys = {key for name in names if _may_be_meant(filter, key := key_of(name))}
        noted = self._in_order(filter, list(keys))
        if noted_since == "-inf":
            yield from noted
            return
        if noted_since is not None:
            ends = [int(noted_since), *([] if filter.until is None else [filter.until])]
            filter = msgspec.structs.replace(filter, until=min(ends))
        walked = (one for one in self._on_a_walk(filter, after, first, until) if one.key not in keys)
        yield from merge(noted, walked, key=sort_key(filter), reverse=filter.sort != "oldest")

    def _times(self, keys: Sequence[Key]) -> dict[Key, float]:
        """When executions began, of those that are known to all questions."""
        found: dict[Key, float] = {}
        for at in range(0, len(keys), NAMES):
            some = keys[at : at + NAMES]
            with self._answers():
                times = self._client.zmscore(self._keys.own("order"), [member(key) for key in some])
            found |= {key: time for key, time in zip(some, times, strict=True) if time is not None}
        return found

    def _walk(self, filter: Filter, after: Any, first: int, until: float) -> Iterator[list[Key]]:
        """The executions that may be meant by created_at in the filter's window, from a position on, some at a time."""
        low = "-inf" if filter.since is None else filter.since
        high = "+inf" if filter.until is None else f"({filter.until}"
        upwards = filter.sort == "oldest"
        if after is not None:
            low, high = (after[1], high) if upwards else (low, after[1])
        size, last, seen = min(max(first, 1), CHUNK), None, set[str]()
        while True:
            if time.monotonic() > until:
                raise StoreError(f"{self._connection.url}: the question took longer than its time-out", retry=False)
            number = size + len(seen)
            names, at = self._names(low, high, number, upwards=upwards)
            keys = [key_of(name) for name in names if name not in seen]
            keys = [key for key in keys if _may_be_meant(filter, key)]
            yield from (keys[start : start + CHUNK] for start in range(0, len(keys), CHUNK))
            if at is None:
                return
            # Go on at the last time, without those of it that were seen: an offset would shift with what is written or
            # removed meanwhile.
            there = self._of_instant(at).intersection(names)
            seen = seen | there if at == last else there
            last = at
            low, high = (last, high) if upwards else (low, last)
            size = min(2 * size, NAMES)

    def _names(self, low: Any, high: Any, number: int, *, upwards: bool) -> tuple[list[str], int | None]:
        """So many names by time, and the time of the last of them; None where these are all.

        Only its time is asked for: those of all take three times as long to read as the names.
        """
        bounds = (low, high) if upwards else (high, low)
        ask = ("ZRANGEBYSCORE" if upwards else "ZREVRANGEBYSCORE", self._keys.own("order"), *bounds)
        with self._answers():
            names, last = self._connection.read(
                [(*ask, "LIMIT", 0, number), (*ask, "WITHSCORES", "LIMIT", number - 1, 1)], together=True
            )
        # A pair is a list of its own in the newer protocol.
        pair = last[0] if last and isinstance(last[0], list | tuple) else last
        return names, round(float(pair[1])) if pair else None

    def _of_instant(self, at: int) -> set[str]:
        with self._answers():
            return set(self._connection.read([("ZRANGEBYSCORE", self._keys.own("order"), at, at)])[0])

    def _readable(self, keys: Sequence[Key], *, asked: bool) -> Iterator[Execution]:
        """The executions of keys. One that cannot be read is an error where it was asked for, else left out."""
        found = self._connection.get_many([self._keys.record(key) for key in keys])
        for key, raw in zip(keys, found, strict=True):
            try:
                execution = self._execution(raw, key)
            except StoreError as error:  # others write into a job's keys, too: theirs must not hide all the rest
                if asked:
                    raise
                self._warn_once(key, error)
            else:
                if execution is not None:
                    yield execution

    def _warn_once(self, key: Key, error: StoreError) -> None:
        if key not in self._unreadable:
            self._unreadable.add(key)
            log.warning("execlog: left out of its list: %s", error)

    def _execution(self, raw: str | None, key: Key) -> Execution | None:
        if not raw:
            return None
        try:
            return execution_in(shown(raw), key.kind, at=1)
        except InvalidError as error:
            raise StoreError(f"the record {self._keys.record(key)} cannot be read: {error}", retry=False) from error


def _growing(keys: Sequence[Key], first: int) -> Iterator[Sequence[Key]]:
    """The keys in their order, about the `first` ones at first."""
    at, size = 0, min(max(first, 1), CHUNK)
    while at < len(keys):
        yield keys[at : at + size]
        at, size = at + size, min(2 * size, CHUNK)


def _may_be_meant(filter: Filter, key: Key) -> bool:
    """Whether the filter lets an execution of this key through, as far as its key tells."""
    return (
        (filter.kind is None or filter.kind == key.kind)
        and (filter.namespace is None or filter.namespace == key.namespace)
        and (filter.id_prefix is None or key.id.startswith(filter.id_prefix))
    )
