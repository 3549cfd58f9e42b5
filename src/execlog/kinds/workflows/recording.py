"""Where what is said of a workflow's execution goes: a ledger's journal, a store, or nowhere."""

from __future__ import annotations

import logging
from pathlib import Path

from execlog.core.errors import StoreError
from execlog.core.model import Event
from execlog.core.settings import Settings
from execlog.ledger import Ledger
from execlog.recorder.recorder import Recorder
from execlog.store.base import Store

log = logging.getLogger("execlog")


class StoreRecorder(Recorder):
    """A recorder over a bare store: each event is a transaction of its own, redacted like any other."""

    def __init__(self, store: Store, settings: Settings | None = None) -> None:
        super().__init__(settings or Settings(), Path())
        self._into = store
        # Nobody here tells the store that this process lives: its executions must not be taken for a dead one's.
        self.origin = ""

    def append(self, event: Event) -> bool:
        """Whether the store took the event. Never raises: what is recorded goes on without its history."""
        try:
            self.apply(event)
        except StoreError as error:
            self.refuse("store", error)
            return False
        return True

    def apply(self, event: Event) -> None:
        """Put the event into the store. Raises StoreError."""
        self._into.apply([event if self._is_clean(event) else self._redacted(event)])


class SilentRecorder(Recorder):
    """A recorder that keeps nothing."""

    def __init__(self) -> None:
        super().__init__(Settings(), Path())

    def append(self, event: Event) -> bool:
        """True; the event is gone."""
        del event
        return True


def recorder_for(history: Ledger | Store | None) -> Recorder:
    """The recorder that writes into this history."""
    if history is None:
        return SilentRecorder()
    return history.recorder if isinstance(history, Ledger) else StoreRecorder(history)
