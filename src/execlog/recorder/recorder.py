"""The recorder: the caller's side of the write path.

    append(event) → redact → encode → journal                microseconds, no queue that a kill could empty

It never raises into the caller. What it could not take as it was is mended and counted; what it could not take at all
is counted, logged once per reason, and shown by `stats`.
"""

from __future__ import annotations

import itertools
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
from msgspec.structs import replace

from execlog.core import codec, storable
from execlog.core.ids import IdMaker, check_id
from execlog.core.model import OPEN, Event, Key
from execlog.core.redact import Redactor
from execlog.core.settings import Settings
from execlog.recorder.compose import event_of, read_once, salvage, status_without_word
from execlog.recorder.context import boot_id, host
from execlog.recorder.journal import PARENTS, Journal, JournalClosedError, Limits, Worth
from execlog.recorder.sidecar import Owner
from execlog.store.ownership import make_private

log = logging.getLogger("execlog")
MAX_PAYLOAD = 262_144
_KNOWN = 5_000
_OUTCOME = Worth.OUTCOME
_DURATIONS, _COUNTS = frozenset({type(None), float, int}), frozenset({type(None), int})
_RETRY_SECONDS = 1.0
_Names = tuple[str, str, str, str | None, str | None, str | None, str | None]
_encode = codec.encode
_time_ns = time.time_ns


class RecorderStats(Struct, frozen=True):
    """What became of the records of this process: accepted = stored + aside + pending; dropped were never accepted.

    `aside` are records that no store could take, kept in the home's quarantine.
    """

    accepted: int
    stored: int
    aside: int
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

    journal: Journal | None = None
    hindrance: Exception | None = None
    """Why nothing can be recorded here at all."""

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
        self.open: set[Key] = set()
        self._known: set[_Names] = set()
        self._retry_at = 0.0
        self._begin_lock = threading.RLock()
        self.detach()

    def detach(self) -> Journal | None:
        """The journal, which is let go of: a later record begins another one, under another origin."""
        with self._begin_lock:
            journal, self.journal = self.journal, None
            self._append: Callable[[bytes, Worth], bool] = self._begin_and_append
            self.origin = f"{boot_id()}:{self.new_id()}"
            self._attempts = itertools.count()
            return journal

    def settle(self) -> None:
        """Return once a journal that another thread is just beginning has begun."""
        with self._begin_lock:
            pass

    @property
    def folder(self) -> Path:
        """Where this process's journal is, or will be."""
        journal = self.journal
        return journal.folder if journal is not None else self._own_folder()

    def stamp(self) -> int:
        """Now in UTC µs, strictly later than the stamp before: what orders the events of this process."""
        at = _time_ns() // 1000
        # No call from here on: so no other thread gets in between (see `Journal`).
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
        return self._take(payload, self._worth(event))

    def record(  # noqa: C901, PLR0913 - one path without calls, and the fields most records have: half of its microseconds
        self,
        name: str,
        *,
        kind: str = "task",
        id: str | None = None,
        status: str | None = None,
        namespace: str = "",
        subject: str | None = None,
        actor: str | None = None,
        engine: str | None = None,
        started_at: int | datetime | None = None,
        ended_at: int | datetime | None = None,
        duration: float | None = None,
        rows: int | None = None,
        input: Any = None,
        output: Any = None,
        params: dict[str, Any] | None = None,
        metadata: dict[str, Any] | None = None,
        **rest: Any,
    ) -> str:
        """The id of what was recorded: something that already happened, said in one event. See `Event` for the fields.

        Its subject is its name unless another is given. Times may be datetimes or UTC µs; without any, it ended now
        and began `duration` seconds ago. `error` may be an exception or a text, `items` Items, dicts or keys. Without
        a status it is what the error says (failed, timed out or cancelled), or else the items, or else succeeded. What
        belongs to no field, or cannot be read, is kept as metadata and counted as mended; it is never raised.
        """
        now = _time_ns()
        at = now // 1000
        if at <= self._last_at:  # as in `stamp`
            at = self._last_at + 1
        self._last_at = at
        if id is None:
            until, head, suffixes = self.new_id.block
            suffix = next(suffixes, None) if now < until else None
            id = self.new_id() if suffix is None else head + suffix
            given = False
        else:
            given = True
        if subject is None:
            subject = name
        status = "succeeded" if status is None and not rest else status
        names = (name, kind, namespace, subject, actor, engine, status)
        payload = None
        try:
            if given:
                check_id(id, kind=kind)
            if (
                not rest and names in self._known and type(started_at) is int and type(ended_at) is int
                and type(duration) in _DURATIONS and type(rows) in _COUNTS
            ):  # fmt: skip
                # What an event encodes to, without making one: fields in its order, those at the end left out.
                if input is None and metadata is None and params is None and output is None:
                    payload = _encode((
                        id, kind, at, namespace, status, name, subject, actor, engine, None, started_at, ended_at,
                        duration, rows,
                    ))  # fmt: skip
                elif self._are_clean(input, output, params, metadata):
                    payload = _encode((
                        id, kind, at, namespace, status, name, subject, actor, engine, None, started_at, ended_at,
                        duration, rows, None, None, (), None, input, output, params, metadata,
                    ))  # fmt: skip
        except Exception:  # noqa: BLE001 - whatever it is, the careful path makes of it what can be made
            payload = None
        if payload is None or len(payload) > MAX_PAYLOAD:
            figures = {"started_at": started_at, "ended_at": ended_at, "duration": duration, "rows": rows}
            free = {"input": input, "output": output, "params": params, "metadata": metadata}
            return self._record_slowly(at, id, names, figures | free | rest)
        try:
            self._append(payload, _OUTCOME)  # as `_take` does, less a call
        except JournalClosedError:
            self._take_late(payload, _OUTCOME)
        except Exception as error:  # noqa: BLE001 - as in append
            self._refuse("journal", error)
        return id

    def _take(self, payload: bytes, worth: Worth) -> bool:
        try:
            return self._append(payload, worth)
        except JournalClosedError:
            return self._take_late(payload, worth)
        except Exception as error:  # noqa: BLE001 - as in append
            return self._refuse("journal", error)

    def _take_late(self, payload: bytes, worth: Worth) -> bool:
        try:
            return self._begin_and_append(payload, worth)
        except Exception as error:  # noqa: BLE001 - as in append
            return self._refuse("journal", error)

    def _worth(self, event: Event) -> Worth:
        """What the event is worth when the journal is full; on the way, which executions of ours are open is noted."""
        status = event.status
        if status is None:
            return Worth.PROGRESS
        if status in OPEN:
            if event.origin is not None:
                self.open.add(event.key)
            return Worth.START
        if self.open:
            self.open.discard(event.key)
        return Worth.OUTCOME

    def _record_slowly(self, at: int, id: str, names: _Names, fields: dict[str, Any]) -> str:
        name, kind, namespace, subject, actor, engine, status = names
        try:
            event = self.compose({
                "id": id, "kind": kind, "at": at, "namespace": namespace, "status": status or "succeeded", "name": name,
                "subject": subject, "actor": actor, "engine": engine,
            } | fields)  # fmt: skip
        except Exception as error:  # noqa: BLE001 - as in append
            self._refuse("invalid", error)
            return id
        if status is None:
            event = replace(event, status=status_without_word(event, fields.get("error")))
        self.append(event)
        if event.status in OPEN or not all(part is None or type(part) is str for part in names[:6]):
            return event.id
        told = (event.name, event.kind, event.namespace, event.subject, event.actor, event.engine, event.status)
        if isinstance(status, str) and told == names and all(map(self._redactor.is_clean, names[:6])):
            if len(self._known) >= _KNOWN:
                self._known.clear()
            self._known.add(names)
        return event.id

    def compose(self, fields: dict[str, Any]) -> Event:
        """The event these fields make; what cannot be read is kept as metadata. Raises InvalidError for its id."""
        fields = read_once(fields, self.note_odd)
        try:
            return event_of(fields)
        except Exception:  # noqa: BLE001 - as in append
            return salvage(fields, self.note_odd, at=self.stamp())

    def note_odd(self, error: Exception) -> None:
        """Count something that was handed in as mended, and say so in the log the first time."""
        self._note("field", "mends what it cannot take as it is", error)

    def _note(self, reason: str, what: str, error: Exception) -> None:
        """Count something as mended, and say what was done about it in the log the first time."""
        self.mended[reason] += 1
        if self.mended[reason] == 1:
            log.warning("execlog %s: %s: %s", what, type(error).__name__, error)

    def _are_clean(self, input: Any, output: Any, params: Any, metadata: Any) -> bool:
        """Whether these can be encoded as they are: no secret in them, nothing to be read as something else."""
        is_clean = self._redactor.is_clean
        return (
            (input is None or is_clean(input))
            and (metadata is None or (type(metadata) is dict and is_clean(metadata)))
            and (params is None or (type(params) is dict and is_clean(params)))
            and (output is None or is_clean(output))
        )

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
            self._note("unstorable", "leaves out what it can make nothing of", error)
        try:
            return _encode(self._mend(_bare(event)))
        except Exception as error:  # noqa: BLE001 - as in append
            self._refuse("unstorable", error)
            return None

    def _begin_and_append(self, payload: bytes, worth: Worth) -> bool:
        if self.hindrance is not None:
            return self._refuse("settings", self.hindrance)
        with self._begin_lock:
            journal = self.journal
            if journal is None:
                if time.monotonic() < self._retry_at:
                    self.refused["journal"] += 1
                    return False
                try:
                    journal = self._begin()
                except Exception:
                    self._retry_at = time.monotonic() + _RETRY_SECONDS
                    raise
        return journal.append(payload, worth)

    def _begin(self) -> Journal:
        settings = self.settings
        make_private(self.root, depth=PARENTS)
        owner = Owner(self.origin, os.getpid(), host(), boot_id(), _time_ns() // 1000)
        limits = Limits(settings.journal_segment, settings.journal_cap, settings.journal_min_free)
        journal = Journal(self._free_folder(), owner, limits)
        # No call between the look and the two stores: a signal handler may begin one too (see `Journal`).
        other = self.journal
        if other is None:
            self.journal = journal
            self._append = journal.append
        else:
            journal.close(remove=True)
            return other
        if self._on_begin is not None:
            self._on_begin(journal)
        return journal

    def _free_folder(self) -> Path:
        """A folder no other attempt has got: a signal handler may begin a journal while we do."""
        attempt, own = next(self._attempts), self._own_folder()
        return own if attempt == 0 else own.with_name(f"{own.name}.{attempt}")

    def _own_folder(self) -> Path:
        return self.root / self.origin.rpartition(":")[2]

    def _refuse(self, reason: str, error: BaseException) -> bool:
        self.refused[reason] += 1
        if self.refused[reason] == 1:
            log.warning("execlog could not record (%s): %s: %s", reason, type(error).__name__, error)
        return False


def _bare(event: Event) -> Event:
    """The event without what callers fill as they like: status, times, counts and errors must not be lost with it."""
    items = tuple(replace(item, input=None, output=None, data=None) for item in event.items)
    return replace(
        event, items=items, input=None, output=None, params=None, metadata=None, tags=None, context=None, logs=()
    )
