"""The drain: from journals into the store.

    read frames → decode → Store.apply (one transaction) → advance the cursor → drop the segments that are done

Applying is idempotent, so a drain that dies between two steps only makes the next one repeat itself.
"""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any, cast

import msgspec
from msgspec.structs import replace

from execlog.core import codec
from execlog.core.errors import CodecError, InvalidError, JournalError, StoreError
from execlog.core.model import Event
from execlog.recorder import segment
from execlog.recorder.lock import FileLock
from execlog.recorder.segment import FIRST, Frame, Reader, Scan
from execlog.recorder.sidecar import Cursor, Owner, read_cursor, read_owner, write_cursor
from execlog.store.base import Store
from execlog.store.ownership import give, make_private

log = logging.getLogger("execlog")
_LOW = 0xFFFFFFFF
Pairs = Sequence[tuple[Frame, Event]]


class JournalDrain:
    """Empties one journal into a store; for as long as it holds the journal's drain lock, nobody else does."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.owner: Owner | None = read_owner(folder)
        self.cursor = read_cursor(folder)
        self.last_change = 0
        self.mended: Counter[str] = Counter()
        self._lock = FileLock(folder / "drain")
        self._reader: Reader | None = None

    def claim(self) -> bool:
        """Whether this journal is ours to drain; picks up where the drain before left off."""
        if self._lock.held:
            return True
        if not self.folder.is_dir() or not self._lock.acquire():
            return False
        self._close_reader()
        self.cursor = read_cursor(self.folder)
        return True

    def release(self) -> None:
        """Let somebody else drain this journal."""
        self._close_reader()
        self._lock.release()

    def step(self, store: Store, limit: int, *, dead: bool = False) -> int:
        """How many records were taken from the journal, at most `limit`; 0 when there is nothing more (yet).

        `dead` says that the writer is gone, so that what is unfinished stays unfinished. Raises StoreError; nothing
        is lost then.
        """
        while True:
            numbers = [number for number in segment.numbers(self.folder) if number >= self.cursor.number]
            if not numbers:
                return 0
            later = [number for number in numbers[1:] if segment.is_begun(segment.path_of(self.folder, number))]
            sealed = dead or bool(later)
            reader = self._open(numbers[0], sealed=sealed)
            if reader is None:
                if not sealed:
                    return 0
                self._drop(numbers[0])
                continue
            scan = reader.scan(self.cursor.offset, limit, sealed=sealed)
            if scan.end > self.cursor.offset:
                self._take(store, reader, scan)
            if scan.frames:
                return len(scan.frames)
            if not sealed:
                return 0
            self._drop(reader.number)

    def _open(self, number: int, *, sealed: bool) -> Reader | None:
        """The reader of this segment; None for one that is none: when it is sealed, it is kept aside."""
        if self._reader is None or self._reader.number != number:
            self._close_reader()
            path = segment.path_of(self.folder, number)
            try:
                self._reader = Reader(path)
            except FileNotFoundError:
                return None
            except JournalError as error:
                if not sealed:
                    return None
                data = path.read_bytes().rstrip(b"\0")
                if data:  # an empty one is what an interrupt left of its making
                    log.error("execlog: a segment is kept aside: %s", error)  # noqa: TRY400 - one line says it
                    self._keep("damaged", number, 0, data)
                    self.cursor = replace(self.cursor, damaged=self.cursor.damaged + len(data))
                return None
        if self.cursor.number != number:
            # Where the cursor was lost, what came before is stored: a segment is dropped only when the store has it.
            known = self.cursor.sequence if self.cursor.number else self._reader.first or 0
            stored = self.cursor.stored if self.cursor.number else known
            self.cursor = replace(self.cursor, number=number, offset=FIRST, stored=stored, sequence=known)
        return self._reader

    def _take(self, store: Store, reader: Reader, scan: Scan) -> None:
        if reader.first is None and self.cursor.offset == FIRST and (scan.frames or any(reader.piece(0, FIRST))):
            scan.damaged.insert(0, (0, FIRST))  # an empty one was never begun: its writer died with it at hand
        for start, end in scan.damaged:
            log.error("execlog: %d damaged bytes of %s are kept aside", end - start, reader.path)
            self._keep("damaged", reader.number, start, reader.piece(start, end))
        pairs: list[tuple[Frame, Event]] = []
        for frame in scan.frames:
            try:
                pairs.append((frame, _priced(decode(frame, self.mended))))
            except (CodecError, InvalidError) as error:
                log.error("execlog: a record is kept aside: %s", error)  # noqa: TRY400 - one line says it
                self._keep("records", reader.number, frame.start, reader.piece(frame.start, frame.end))
        stored = self._apply(store, reader, pairs) if pairs else 0
        self._advance(reader, scan, stored)

    def _apply(self, store: Store, reader: Reader, pairs: Pairs) -> int:
        """How many of these the store has now. Those that no store code can take are kept aside.

        Raises whatever applying raises when it fails for all of them: then it is not a record's fault.
        """
        try:
            applied = store.apply([event for _, event in pairs])
        except StoreError:
            raise
        except Exception:
            taken = self._apply_halves(store, reader, pairs)
            if not taken:
                raise
            return taken
        self.last_change = max(self.last_change, applied.last_change)
        return len(pairs) - applied.quarantined

    def _apply_halves(self, store: Store, reader: Reader, pairs: Pairs) -> int:
        if len(pairs) == 1:
            return 0
        middle = len(pairs) // 2
        taken = 0
        failed: list[tuple[Pairs, Exception]] = []
        for half in (pairs[:middle], pairs[middle:]):
            try:
                taken += self._apply(store, reader, half)
            except StoreError:
                raise
            except Exception as error:  # noqa: BLE001 - any bug of the store's, and one record must not stop all others
                failed.append((half, error))
        if taken:
            for half, error in failed:
                log.error("execlog: %d records are kept aside: %r", len(half), error)
                for frame, _ in half:
                    self._keep("records", reader.number, frame.start, reader.piece(frame.start, frame.end))
        return taken

    def _advance(self, reader: Reader, scan: Scan, stored: int) -> None:
        before = self.cursor
        lost, sequence = 0, before.sequence
        for frame in scan.frames:
            absolute = sequence + (frame.number - sequence & _LOW)
            if absolute - sequence < _LOW // 2:
                lost += absolute - sequence
                sequence = absolute + 1
        self.cursor = Cursor(
            number=reader.number,
            offset=scan.end,
            stored=before.stored + stored,
            aside=before.aside + len(scan.frames) - stored,
            damaged=before.damaged + sum(end - start for start, end in scan.damaged),
            lost=before.lost + lost,
            sequence=sequence,
        )
        write_cursor(self.folder, self.cursor)

    def _drop(self, number: int) -> None:
        """Remove a segment that is done; the cursor first points behind it."""
        self._close_reader()
        self.cursor = replace(self.cursor, number=number + 1, offset=FIRST)
        write_cursor(self.folder, self.cursor)
        segment.path_of(self.folder, number).unlink(missing_ok=True)

    def _close_reader(self) -> None:
        if self._reader is not None:
            self._reader.close()
            self._reader = None

    def _keep(self, what: str, number: int, offset: int, data: bytes) -> None:
        """Keep bytes aside, at their own place in a file of their segment's size: keeping them twice changes nothing.

        `.records` files are segments that a version which knows the records can read.
        """
        folder = quarantine_of(self.folder.parent)
        make_private(folder)
        path = folder / f"{self.folder.name}-{number:08d}.{what}"
        with path.open("r+b" if path.exists() else "w+b") as file:
            give(file.fileno(), folder)
            file.seek(offset)
            file.write(data)


def quarantine_of(root: Path) -> Path:
    """Where the journals under `root` keep what no store could take."""
    return root.parent.parent / "quarantine"


def decode(frame: Frame, mended: Counter[str] | None = None) -> Event:
    """The event of a frame; fields that do not fit their type are left out, so that the rest is not lost with them.

    They are counted in `mended`. Raises CodecError for an unknown version or bytes that are no event at all.
    """
    if frame.version != codec.VERSION:
        raise CodecError(f"record of version {frame.version}: this code reads {codec.VERSION}")
    try:
        try:
            return _decode(frame.payload)
        except msgspec.ValidationError:
            return _salvage(frame.payload, Counter() if mended is None else mended)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise CodecError(f"not an event: {error}") from error


def _priced(event: Event) -> Event:
    """The event with what its model calls cost, where that is known: the caller is spared the price tables."""
    if not event.usage:
        return event
    from execlog.core.pricing import installed_prices, price_event

    try:
        return price_event(event, installed_prices())
    except Exception:  # a fault of the table's must not keep the record from the store
        log.exception("execlog: the cost of a record is not computed")
        return event


_decode = msgspec.msgpack.Decoder(Event).decode


def _salvage(payload: bytes, mended: Counter[str]) -> Event:
    values: Any = msgspec.msgpack.decode(payload)
    if not isinstance(values, list):
        raise CodecError("not an event: no array")
    fields: dict[str, Any] = {}
    for field, value in zip(msgspec.structs.fields(Event), cast("list[Any]", values), strict=False):
        try:
            fields[field.name] = codec.convert(value, field.type)
        except InvalidError as error:
            mended["left_out"] += 1
            log.warning("execlog: field %s of a record was left out: %s", field.name, error)
    missing = {"id", "kind", "at"} - fields.keys()
    if missing:
        raise CodecError(f"a record without {', '.join(sorted(missing))}")
    return Event(**fields)
