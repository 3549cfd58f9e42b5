"""Where a runner's events go when the history is a registry's: its ledger, or its store directly."""

from __future__ import annotations

import logging
import threading
from collections import deque

from execlog.core.errors import ExeclogError
from execlog.core.model import TERMINAL, Event
from execlog.kinds.jobs.registry import ExecutionHistoryRegistry
from execlog.recorder.recorder import Recorder

log = logging.getLogger("execlog")
_REMEMBERED = 1_000
_KEPT = 10_000


class HistorySink:
    """Takes events and never raises. What a store refused is tried again with the next event, _KEPT events at most."""

    def __init__(self, registry: ExecutionHistoryRegistry) -> None:
        self._registry = registry
        self._lock = threading.Lock()
        self._unsaved: deque[Event] = deque(maxlen=_KEPT)
        self._ended: deque[str] = deque(maxlen=_REMEMBERED)

    @property
    def origin(self) -> str | None:
        """The process as executions name it."""
        return self._registry.origin

    @property
    def recorder(self) -> Recorder | None:
        """The ledger's recorder, None over a bare store."""
        return None if self._registry.ledger is None else self._registry.ledger.recorder

    def append(self, event: Event) -> bool:
        """Whether the history took it."""
        with self._lock:
            self._unsaved.append(event)
            waiting = list(self._unsaved)
            try:
                taken = self._registry.append(waiting)
            except ExeclogError as error:
                log.warning("the history of jobs cannot be saved, jobs go on: %s", error)
                return False
            if taken:
                self._unsaved.clear()
                self._ended.extend(saved.id for saved in waiting if saved.status in TERMINAL)
            return taken

    def stamp(self) -> int:
        """Now in UTC µs, later than the stamp before."""
        return self._registry.stamp()

    def knows(self, execution_id: str) -> bool:
        """Whether the end of this execution was saved."""
        with self._lock:
            return execution_id in self._ended
