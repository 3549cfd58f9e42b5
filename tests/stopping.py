"""Stopping what waits for another side, once that side has been asked."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from execlog.runner.stop import Stop
from servers import wait_until


@contextmanager
def stopped_when_asked(stop: Stop, asked: Sequence[object], why: str = "no more") -> Iterator[None]:
    """Stop what runs inside as soon as something was `asked`."""

    def watch() -> None:
        wait_until(lambda: len(asked) > 0, 30, "the first request")
        stop.set(why)

    watching = threading.Thread(target=watch)
    watching.start()
    try:
        yield
    finally:
        watching.join()
