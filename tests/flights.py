"""What tests of executions in flight share: a sink that keeps what is said, and orders."""

import threading
import time

from execlog.core.fold import fold
from execlog.runner.job import Job
from execlog.runner.order import Order


class Events:
    """A sink that keeps what is said."""

    origin = "boot:journal"

    def __init__(self):
        self.said = []
        self._at = time.time_ns() // 1000
        self._lock = threading.Lock()

    def append(self, event):
        self.said.append(event)
        return True

    def stamp(self):
        with self._lock:
            self._at = max(self._at + 1, time.time_ns() // 1000)
            return self._at

    def execution(self):
        folded = None
        for event in self.said:
            folded = fold(folded, event)
        return folded


def order(run, stocks=(), **fields):
    return Order(execution_id="e", job=Job(id="j", name="J", run=run, stocks=tuple(stocks), **fields))
