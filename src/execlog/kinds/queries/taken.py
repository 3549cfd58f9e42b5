"""Which ids queries have already: a client that brings its own must not write over another's record."""

from __future__ import annotations

import logging
import threading

from execlog.core.errors import ConflictError, ExeclogError
from execlog.kinds.queries.record import KIND
from execlog.ledger import Ledger

_log = logging.getLogger("execlog")
KEPT = 10_000
PATIENCE_SECONDS = 1.0
"""How long a query waits for a store that does not answer; it goes on then, since recording must not hold it up."""


class TakenIds:
    """Ids that clients brought lately, and those in the store. Thread-safe."""

    def __init__(self, ledger: Ledger) -> None:
        self._ledger = ledger
        # What was recorded here need not be in the store yet.
        self._lately: dict[str, None] = {}
        self._lock = threading.Lock()

    def take(self, execution_id: str) -> None:
        """The id is taken from now on. Raises ConflictError where it was before."""
        with self._lock:
            taken = execution_id in self._lately
            self._lately[execution_id] = None
            while len(self._lately) > KEPT:
                del self._lately[next(iter(self._lately))]
        if taken or self._is_stored(execution_id):
            raise ConflictError(f"the execution_id {execution_id!r:.120} is another query's already; choose a new one")

    def _is_stored(self, execution_id: str) -> bool:
        """Whether the store has it; False for a store that does not say so in time."""
        found: list[bool] = []

        def look() -> None:
            try:
                got = self._ledger.store.get(execution_id, kind=KIND, namespace="")
                found.append(got is not None)
            except ExeclogError as error:
                _log.debug("whether an id is taken could not be looked up: %s", error)

        looking = threading.Thread(target=look, name="execlog-taken", daemon=True)
        looking.start()
        looking.join(PATIENCE_SECONDS)
        return any(found)
