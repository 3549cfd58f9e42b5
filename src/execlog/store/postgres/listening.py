"""What other servers on the same database wrote: a thread that listens for PostgreSQL's notifications."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable

from execlog.core.errors import StoreError
from execlog.store.postgres.connection import Connections

CHANNEL = "execlog"
_LOOK_SECONDS = 0.5
_RETRY_SECONDS = 2.0
log = logging.getLogger("execlog")


class Listener:
    """Tells of every change number that any process on this database announces, until it is stopped."""

    def __init__(self, connections: Connections, tell: Callable[[int], None]) -> None:
        self._connections, self._tell = connections, tell
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._run, name="execlog-listen", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """End the thread; it notices within half a second."""
        self._stopped.set()

    def _run(self) -> None:
        while not self._stopped.is_set():
            try:
                self._listen()
            except StoreError as error:
                log.debug("execlog: not told of other servers' changes for now, they are looked for: %s", error)
                self._stopped.wait(_RETRY_SECONDS)

    def _listen(self) -> None:
        connection = self._connections.connect()
        try:
            with self._connections.translated():
                connection.execute(f"listen {CHANNEL}")
                schema = connection.execute("select current_schema()").fetchone()
                mine = str(schema[0]) if schema else ""
                while not self._stopped.is_set():
                    for said in connection.notifies(timeout=_LOOK_SECONDS):
                        place, _, number = said.payload.rpartition(" ")
                        if place == mine and number.isdigit():
                            self._tell(int(number))
        finally:
            connection.close()
