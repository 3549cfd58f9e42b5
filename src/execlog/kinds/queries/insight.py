"""Thinking about queries beside the answer: a thread that analyses each new one, and notices those slower than usual.

What it finds is recorded as more metadata of the execution. It is derived from what is recorded already, so that
nothing is lost when the process ends before it got to it.
"""

from __future__ import annotations

import logging
import threading
from collections import OrderedDict, deque
from collections.abc import Callable
from queue import Full, Queue
from typing import Any

import msgspec
from msgspec import Struct

from execlog.core.model import Event, Status
from execlog.kinds.queries import analysis
from execlog.kinds.queries.analysis import Analysis
from execlog.kinds.queries.connectors.base import Connector

_log = logging.getLogger("execlog")
KEPT, WAITING = 5_000, 1_000
SEEN, ENOUGH = 100, 20
TIMES_SLOWER, LEAST_SECONDS = 3.0, 0.5


class Seen(Struct, frozen=True):
    """A query that has ended."""

    event: Event
    connector: Connector
    known: Analysis | None


class Insight:
    """Analyses of queries by their text, and how long those of one fingerprint take."""

    def __init__(self, record: Callable[[Event], Any], stamp: Callable[[], int]) -> None:
        self._record, self._stamp = record, stamp
        self._by_text: OrderedDict[tuple[str, str], Analysis] = OrderedDict()
        self._by_shape: OrderedDict[tuple[str, str], Analysis] = OrderedDict()
        self._durations: OrderedDict[tuple[str | None, str], deque[float]] = OrderedDict()
        self._waiting: Queue[Seen | None] = Queue(WAITING)
        self._lock = threading.Lock()
        self._thread: threading.Thread | None = None

    def known(self, query: str, connector: Connector) -> Analysis | None:
        """The analysis of this very text, if there is one already."""
        return self._by_text.get((connector.language, query))

    def note(self, seen: Seen) -> None:
        """Look at an ended query when there is time; with too many waiting, this one is passed over."""
        try:
            self._waiting.put_nowait(seen)
        except Full:
            return
        if self._thread is None:
            self._start()

    def settle(self, seconds: float) -> bool:
        """Whether everything noted was looked at, within so many seconds."""
        done = threading.Event()
        threading.Thread(target=lambda: (self._waiting.join(), done.set()), daemon=True).start()
        return done.wait(seconds)

    def close(self) -> None:
        """End the thread once it has looked at what waits."""
        if self._thread is not None:
            self._waiting.put(None)

    def _start(self) -> None:
        with self._lock:
            if self._thread is None:
                self._thread = threading.Thread(target=self._work, name="execlog-insight", daemon=True)
                self._thread.start()

    def _work(self) -> None:
        while (seen := self._waiting.get()) is not None:
            try:
                self._look(seen)
            except Exception as error:  # noqa: BLE001 - one query nobody understands must not end the thinking about others
                # Its message may quote the query.
                _log.debug("a query could not be analysed: %s", type(error).__name__)
            finally:
                self._waiting.task_done()
        self._waiting.task_done()

    def _look(self, seen: Seen) -> None:
        found = seen.known or self._analyse(seen)
        more = {} if seen.known is not None else described(found)
        slow = self._compare(seen.event, found)
        if not more and slow is None:
            return
        metadata = dict(seen.event.metadata or {}) | more
        response = dict(metadata.get("response_metadata") or {})
        if slow is not None:
            response["anomaly"] = slow
        if response:
            metadata["response_metadata"] = response
        event = seen.event
        self._record(Event(id=event.id, kind=event.kind, at=self._stamp(), metadata=metadata))

    def _analyse(self, seen: Seen) -> Analysis:
        """The analysis of a new text: that of another one of its shape, where there was one.

        A table may be a literal, such as the name of a file, and so another one in each query of a shape.
        """
        query, connector = str(seen.event.input), seen.connector
        shape = (connector.language, analysis.fingerprint_of(query, connector.dialect))
        found = self._by_shape.get(shape)
        if found is None or not all(part in query for table in found.tables for part in table.split(".")):
            found = Analysis(shape[1])
            if connector.dialect is not None:
                found = analysis.look_closer(query, shape[1], connector.language)
            _keep(self._by_shape, shape, found)
        _keep(self._by_text, (connector.language, query), found)
        return found

    def _compare(self, event: Event, found: Analysis) -> dict[str, Any] | None:
        """How much slower than usual it was, where that is a lot; and it is remembered."""
        if event.status is not Status.SUCCEEDED or event.duration is None:
            return None
        key = (event.subject, found.fingerprint)
        durations = self._durations.get(key)
        if durations is None:
            durations = _keep(self._durations, key, deque(maxlen=SEEN))
        usual = sorted(durations)
        durations.append(event.duration)
        if len(usual) < ENOUGH or event.duration < LEAST_SECONDS:
            return None
        bound = usual[int(0.95 * (len(usual) - 1))]
        if event.duration <= TIMES_SLOWER * bound:
            return None
        return {"seconds": event.duration, "usual_p95": bound, "times": round(event.duration / max(bound, 1e-6), 1)}


def described(found: Analysis) -> dict[str, Any]:
    """The analysis as it is recorded."""
    said: dict[str, Any] = {"fingerprint": found.fingerprint}
    if found.complexity is not None:
        said["query_complexity"] = found.complexity
    if found.tables:
        said["tables"] = list(found.tables)
    if found.suggestions:
        said["suggestions"] = list(found.suggestions)
    return said


def _keep(held: OrderedDict[Any, Any], key: Any, value: Any) -> Any:
    """The value, kept; the oldest go when there are too many."""
    held[key] = value
    while len(held) > KEPT:
        held.popitem(last=False)
    return value


def with_analysis(event: Event, found: Analysis | None) -> Event:
    """The event with the analysis in its metadata, where there is one."""
    if found is None:
        return event
    return msgspec.structs.replace(event, metadata={**(event.metadata or {}), **described(found)})
