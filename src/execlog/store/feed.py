"""Live changes of a store, for everybody in this process who listens."""

from __future__ import annotations

import threading
from collections.abc import Callable

Listener = Callable[[int], None]


class Feed:
    """Tells listeners that the store moved on to a change number; they read the changes themselves, at their own pace.

    So a slow listener costs nothing and misses nothing: what it did not read yet waits in the store.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._listeners: dict[int, Listener] = {}
        self._next = 0
        self.last_change = 0

    def publish(self, number: int) -> None:
        """Note that the store is at change `number`; older news is ignored."""
        with self._lock:
            if number <= self.last_change:
                return
            self.last_change = number
            listeners = list(self._listeners.values())
        for listener in listeners:
            listener(number)

    def listen(self, listener: Listener) -> Callable[[], None]:
        """A function that ends the listening. The drain's thread calls the listener, which must return at once."""
        with self._lock:
            token = self._next
            self._next += 1
            self._listeners[token] = listener

        def stop() -> None:
            with self._lock:
                self._listeners.pop(token, None)

        return stop
