"""The recorder: the caller's side of the write path.

    append(event) → redact → encode → journal                microseconds, no queue that a kill could empty

It never raises into the caller. What it could not take as it was is mended and counted; what it could not take at all
is
counted, logged once per reason, and shown by `stats`.
"""

from __future__ import annotations

import logging
import os
import threading
import time
from collections import Counter
from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from typing import Any

from msgspec import Struct

from execlog.core import codec, storable
from execlog.core.ids import IdMaker
from execlog.core.model import OPEN, Event
from execlog.core.redact import Redactor
from execlog.core.settings import Settings
from execlog.recorder.compose import event_of
from execlog.recorder.context import boot_id, host
from execlog.recorder.journal import Journal, Limits, Owner, Worth

log = logging.getLogger("execlog")
MAX_PAYLOAD = 262_144
_KNOWN = 5_000
_OUTCOME = Worth.OUTCOME
_AS_THEY_ARE = frozenset({"input", "output", "metadata", "params", "parent_id", "root_id", "retry_of"})
_Names = tuple[str, str, str, str | None, str | None, str | None]
_Figures = tuple[int | datetime | None, int | datetime | None, float | None, int | None]
_encode = codec.encode
_time_ns = time.time_ns


class RecorderStats(Struct, frozen=True):
    """What became of the records of this process: accepted = stored + pending, and dropped were never accepted."""

    accepted: int
    stored: int
    pending: int
    dropped: dict[str, int]
    damaged: int
    journal_bytes: int
    mended: dict[str, int]
    refused: dict[str, int]
    last_error: str | None


class Recorder:
    """Takes records of this process into its journal. Thread-safe; usable from asyncio, since it never waits.

    The journal is begun with the first record, and anew in a forked child.
    """

    def __init__(self, settings: Settings, root: Path, on_begin: Callable[[Journal], None] | None = None) -> None:
        self.settings = settings
        self.root = root
        self.mended: Counter[str] = Counter()
        self.refused: Counter[str] = Counter()
        self._redactor = Redactor(settings.redact)
        self._on_begin = on_begin
        self._last_at = 0
        self.forget()

    def forget(self) -> None:
        """Start anew: at the beginning, and in a forked child, where the parent's journal and locks are not ours."""
        self.new_id = IdMaker()
        self.journal: Journal | None = None
        self._append: Callable[[bytes, Worth], bool] = self._begin_and_append
        self._begin_lock = threading.Lock()
        self._known: set[_Names] = set()
        self._retry_at = 0.0
        self.origin = f"{boot_id()}:{self.new_id()}"

    def detach(self) -> None:
        """Let go of the journal; a later record begins another one, which is adopted once this process is gone."""
        self._append = self._begin_and_append
        self.journal = None
        self.origin = f"{boot_id()}:{self.new_id()}"

    @property
    def folder(self) -> Path:
        """Where this process's journal is, or will be."""
        return self.root / self.origin.rpartition(":")[2]

    def stamp(self) -> int:
        """Now in UTC µs, strictly later than the stamp before: what orders the events of this process."""
        at = _time_ns() // 1000
        if at <= self._last_at:
            at = self._last_at + 1
        self._last_at = at
        return at

    def append(self, event: Event) -> bool:
        """Whether the event was taken in; True means that it survives a kill of this process from now on."""
        try:
            payload = _encode(event if self._is_clean(event) else self._redacted(event))
            if len(payload) > MAX_PAYLOAD:
                payload = _encode(self._mend(event))
        except Exception:  # noqa: BLE001 - whatever a caller hands in, the thing recorded must not fail for it
            payload = self._mended_payload(event)
            if payload is None:
                return False
        status = event.status
        worth = Worth.PROGRESS if status is None else Worth.START if status in OPEN else Worth.OUTCOME
        try:
            return self._append(payload, worth)
        except (OSError, ValueError) as error:
            return self._refuse("journal", error)

    def record(  # noqa: PLR0913 - the fields of an event that most records have; naming them saves half a microsecond
        self,
        name: str,
        *,
        kind: str = "task",
        id: str | None = None,
        status: str = "succeeded",
        namespace: str = "",
        subject: str | None = None,
        actor: str | None = None,
        engine: str | None = None,
        started_at: int | datetime | None = None,
        ended_at: int | datetime | None = None,
        duration: float | None = None,
        rows: int | None = None,
        **rest: Any,
    ) -> str:
        """The id of what was recorded: something that already happened, said in one event. See `Event` for the fields.

        Times may be datetimes or UTC µs; without any, it ended now and began `duration` seconds ago. `error` may be
        an exception
        or a text, `items` Items, dicts or keys. Unknown fields are counted as refused, never raised.
        """
        at = _time_ns() // 1000
        if at <= self._last_at:
            at = self._last_at + 1
        self._last_at = at
        if id is None:
            id = self.new_id()
        names = (name, kind, namespace, subject, actor, engine)
        if rest or names not in self._known or type(started_at) is not int or type(ended_at) is not int:
            self._record_slowly(at, id, names, status, (started_at, ended_at, duration, rows), rest)
            return id
        try:
            # Everything that could hold a secret is in `names`, and they were looked at before.
            payload = _encode(
                Event(
                    id=id,
                    kind=kind,
                    at=at,
                    namespace=namespace,
                    status=status,  # pyright: ignore[reportArgumentType] - validated when it is read back
                    name=name,
                    subject=subject,
                    actor=actor,
                    engine=engine,
                    started_at=started_at,
                    ended_at=ended_at,
                    duration=duration,
                    rows=rows,
                )
            )
            self._append(payload, _OUTCOME)
        except Exception as error:  # noqa: BLE001 - as in append
            self._refuse("journal", error)
        return id

    def _record_slowly(
        self, at: int, id: str, names: _Names, status: str, figures: _Figures, rest: dict[str, Any]
    ) -> None:
        name, kind, namespace, subject, actor, engine = names
        started_at, ended_at, duration, rows = figures
        fields: dict[str, Any] = {
            "id": id, "kind": kind, "at": at, "namespace": namespace, "status": status, "name": name, "subject":
            subject,
            "actor": actor, "engine": engine, "started_at": started_at, "ended_at": ended_at, "duration": duration,
            "rows": rows,
        }  # fmt: skip
        try:
            if type(started_at) is type(ended_at) is int and rest.keys() <= _AS_THEY_ARE:
                event = Event(**fields, **rest)
            else:
                event = event_of(fields | rest)
        except Exception as error:  # noqa: BLE001 - as in append
            self._refuse("invalid", error)
            return
        if len(self._known) >= _KNOWN:
            self._known.clear()
        if all(part is None or self._redactor.is_clean(part) for part in names):
            self._known.add(names)
        self.append(event)

    def append_durable(self, event: Event) -> bool:
        """Whether the event was taken in; True means that it survives a power cut from now on."""
        return self.append(event) and self.sync()

    def sync(self) -> bool:
        """Whether everything accepted so far is on disk."""
        try:
            if self.journal is not None:
                self.journal.sync()
        except OSError as error:
            return self._refuse("sync", error)
        return True

    def refuse(self, reason: str, error: BaseException) -> None:
        """Count something that could not be recorded, and say so in the log the first time."""
        self._refuse(reason, error)

    def _is_clean(self, event: Event) -> bool:
        """Whether there is surely no secret in the event: a look that costs under a microsecond."""
        if event.error is not None or event.items or event.logs or event.tags or event.usage:
            return False
        is_clean = self._redactor.is_clean
        return (
            is_clean(event.name)
            and is_clean(event.subject)
            and is_clean(event.actor)
            and is_clean(event.engine)
            and (event.input is None or is_clean(event.input))
            and (event.metadata is None or is_clean(event.metadata))
            and (event.output is None or is_clean(event.output))
            and (event.params is None or is_clean(event.params))
        )

    def _redacted(self, event: Event) -> Event:
        return self._redactor.value(event)

    def _mend(self, event: Event) -> Event:
        # Cut first and redact then: a cut through a secret's name must not hide it.
        return self._redactor.value(storable.mend_struct(self._redactor.value(event), self.mended))

    def _mended_payload(self, event: Event) -> bytes | None:
        try:
            return _encode(self._mend(event))
        except Exception as error:  # noqa: BLE001 - as in append
            self._refuse("unstorable", error)
            return None

    def _begin_and_append(self, payload: bytes, worth: Worth) -> bool:
        with self._begin_lock:
            if self.journal is None:
                if time.monotonic() < self._retry_at:
                    self.refused["journal"] += 1
                    return False
                self._retry_at = time.monotonic() + 1.0
                self.journal = self._begin()
                self._append = self.journal.append
        return self._append(payload, worth)

    def _begin(self) -> Journal:
        settings = self.settings
        owner = Owner(self.origin, os.getpid(), host(), boot_id(), _time_ns() // 1000)
        self.folder.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        journal = Journal(
            self.folder, owner, Limits(settings.journal_segment, settings.journal_cap, settings.journal_min_free)
        )
        if self._on_begin is not None:
            self._on_begin(journal)
        return journal

    def _refuse(self, reason: str, error: BaseException) -> bool:
        self.refused[reason] += 1
        if self.refused[reason] == 1:
            log.warning("execlog could not record (%s): %s: %s", reason, type(error).__name__, error)
        return False
