"""The drain: from journals into the store.

    read frames → decode → Store.apply (one transaction) → advance the cursor → drop the segments that are done

Applying is idempotent, so a drain that dies between two steps only makes the next one repeat itself.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import msgspec

from execlog.core import codec
from execlog.core.errors import CodecError, InvalidError, JournalError
from execlog.core.model import Event
from execlog.recorder import segment
from execlog.recorder.journal import Cursor, Owner, read_cursor, read_owner, write_cursor
from execlog.recorder.lock import FileLock
from execlog.recorder.segment import FIRST, Frame, Reader
from execlog.store.base import Store

log = logging.getLogger("execlog")


class JournalDrain:
    """Empties one journal into a store; for as long as it holds the journal's drain lock, nobody else does."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.owner: Owner | None = read_owner(folder)
        self.cursor = read_cursor(folder)
        self._lock = FileLock(folder / "drain")
        self._reader: Reader | None = None

    def claim(self) -> bool:
        """Whether this journal is ours to drain; picks up where the drain before left off."""
        if self._lock.held:
            return True
        if not self._lock.acquire():
            return False
        self.cursor = read_cursor(self.folder)
        return True

    def release(self) -> None:
        """Let somebody else drain this journal."""
        if self._reader is not None:
            self._reader.close()
            self._reader = None
        self._lock.release()

    def step(self, store: Store, limit: int, *, dead: bool = False) -> int:
        """How many records went into the store, at most `limit`; 0 when there is nothing more (yet).

        `dead` says that the writer is gone, so that what is unfinished stays unfinished. Raises StoreError; nothing
        is lost then.
        """
        taken = 0
        while True:
            reader, sealed = self._open(dead=dead)
            if reader is None:
                return taken
            scan = reader.scan(self.cursor.offset, limit, sealed=sealed)
            events = self._decode(scan.frames)
            if events:
                store.apply(events)
            taken += len(scan.frames)
            self._advance(scan, reader.number)
            if scan.frames or not sealed or scan.end < reader.size:
                return taken
            if not self._next_segment(reader, dead=dead):
                return taken

    def is_empty(self) -> bool:
        """Whether every segment was drained and dropped, or holds nothing beyond the cursor."""
        numbers = segment.numbers(self.folder)
        return not numbers or (len(numbers) == 1 and self.cursor.number == numbers[0] and self._reader is not None)

    def _open(self, *, dead: bool) -> tuple[Reader | None, bool]:
        numbers = segment.numbers(self.folder) if self._reader is None or self._is_last_known() else self._numbers
        self._numbers = numbers
        numbers = [number for number in numbers if number >= self.cursor.number]
        if not numbers:
            return None, False
        if self._reader is None or self._reader.number != numbers[0]:
            self._close_reader()
            try:
                self._reader = Reader(segment.path_of(self.folder, numbers[0]))
            except (JournalError, OSError) as error:
                return self._unreadable(numbers, error, dead=dead)
            if self.cursor.number != numbers[0]:
                self.cursor = msgspec.structs.replace(self.cursor, number=numbers[0], offset=FIRST)
        return self._reader, dead or len(numbers) > 1

    _numbers: list[int] = []  # noqa: RUF012 - replaced, never changed

    def _is_last_known(self) -> bool:
        return self._reader is not None and bool(self._numbers) and self._reader.number == self._numbers[-1]

    def _unreadable(self, numbers: list[int], error: Exception, *, dead: bool) -> tuple[None, bool]:
        """Nothing to read: the segment is still being made, or its header is damaged, and then it is kept aside."""
        if dead or len(numbers) > 1:
            path = segment.path_of(self.folder, numbers[0])
            log.error("execlog: segment %s is kept aside: %s", path, error)
            size = path.stat().st_size if path.exists() else 0
            self._set_aside(path)
            self.cursor = msgspec.structs.replace(
                self.cursor, number=numbers[0] + 1, offset=FIRST, damaged=self.cursor.damaged + size
            )
            write_cursor(self.folder, self.cursor)
        return None, False

    def _decode(self, frames: Sequence[Frame]) -> list[Event]:
        events: list[Event] = []
        for frame in frames:
            try:
                events.append(decode(frame))
            except (CodecError, InvalidError) as error:
                log.error("execlog: a record is kept aside: %s", error)  # noqa: TRY400 - one line says it
                self._keep_aside(frame)
        return events

    def _advance(self, scan: segment.Scan, number: int) -> None:
        if scan.end == self.cursor.offset:
            return
        if scan.damaged:
            self._keep_damage(number, self.cursor.offset, scan.end)
        before, sequence = self.cursor, self.cursor.sequence
        lost = 0
        for frame in scan.frames:
            lost += max(frame.sequence - sequence - 1, 0)
            sequence = max(frame.sequence, sequence)
        self.cursor = Cursor(
            number,
            scan.end,
            before.stored + len(scan.frames),
            before.damaged + scan.damaged,
            before.lost + lost,
            sequence,
        )
        write_cursor(self.folder, self.cursor)

    def _next_segment(self, reader: Reader, *, dead: bool) -> bool:
        """Whether there is a further segment; the drained one is dropped (kept while it may be the writer's last)."""
        later = [number for number in segment.numbers(self.folder) if number > reader.number]
        if not later and not dead:
            return False
        self._close_reader()
        segment.path_of(self.folder, reader.number).unlink(missing_ok=True)
        self.cursor = msgspec.structs.replace(self.cursor, number=reader.number + 1, offset=FIRST)
        write_cursor(self.folder, self.cursor)
        self._numbers = later
        return bool(later)

    def _close_reader(self) -> None:
        if self._reader is not None:
            self._reader.close()
            self._reader = None

    @property
    def _aside(self) -> Path:
        return self.folder.parent.parent / "quarantine"

    def _keep_aside(self, frame: Frame) -> None:
        self._aside.mkdir(exist_ok=True, mode=0o700)
        with (self._aside / f"{self.folder.name}-v{frame.version}.records").open("ab") as file:
            file.write(len(frame.payload).to_bytes(4, "little") + frame.payload)

    def _keep_damage(self, number: int, start: int, end: int) -> None:
        self._aside.mkdir(exist_ok=True, mode=0o700)
        with segment.path_of(self.folder, number).open("rb") as source:
            source.seek(start)
            data = source.read(end - start).rstrip(b"\0")
        (self._aside / f"{self.folder.name}-{number:08d}-{start}.damaged").write_bytes(data)

    def _set_aside(self, path: Path) -> None:
        self._aside.mkdir(exist_ok=True, mode=0o700)
        if path.exists():
            path.rename(self._aside / f"{self.folder.name}-{path.name}")


def decode(frame: Frame) -> Event:
    """The event of a frame; fields that do not fit their type are left out, so that the rest is not lost with them.

    Raises CodecError for an unknown version or bytes that are no event at all.
    """
    if frame.version != codec.VERSION:
        message = f"record of version {frame.version}: this code reads {codec.VERSION}"
        raise CodecError(message)
    try:
        return _decode(frame.payload)
    except msgspec.ValidationError:
        return _salvage(frame.payload)
    except msgspec.MsgspecError as error:
        message = f"not an event: {error}"
        raise CodecError(message) from error


_decode = msgspec.msgpack.Decoder(Event).decode


def _salvage(payload: bytes) -> Event:
    values: list[Any] = msgspec.msgpack.decode(payload)
    fields: dict[str, Any] = {}
    for field, value in zip(msgspec.structs.fields(Event), values, strict=False):
        try:
            fields[field.name] = codec.convert(value, field.type)
        except InvalidError as error:
            log.warning("execlog: field %s of a record was left out: %s", field.name, error)
    missing = {"id", "kind", "at"} - fields.keys()
    if missing:
        message = f"a record without {', '.join(sorted(missing))}"
        raise CodecError(message)
    return Event(**fields)
