"""The files store: a file an execution, in its family's own layout, and an SQLite index of all of them.

What is said goes into the index first, in one transaction; then the files of what changed are written, and the number
of the last change they show is noted. A process that dies in between leaves a note that is behind, and the next one
goes on from there. Files that appear or vanish by other hands are noticed by their folder's time and taken into the
index.
"""

from __future__ import annotations

import fcntl
import os
import threading
import time
from collections.abc import Collection, Generator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from zlib import crc32

import msgspec

from execlog.core.clock import Clock, SystemClock
from execlog.core.codec import to_json
from execlog.core.errors import InvalidError, StoreError
from execlog.core.filter import Filter, Page
from execlog.core.ids import check_id
from execlog.core.model import Event, Execution, Key
from execlog.store.base import SUMMARY, WHOLE, Applied, Capabilities, Change, FailureGroup, Group, GroupBy, Part
from execlog.store.files.paths import (
    changed_at,
    files_in,
    folder_of,
    folders,
    has_content,
    is_same,
    kind_of,
    name_of,
    path_of,
    place_of,
    time_of,
    write_all,
)
from execlog.store.files.seen import Seen
from execlog.store.jobs import JobStore
from execlog.store.layout import event_of_record, is_ours, record_in, to_record
from execlog.store.matching import SEARCHED
from execlog.store.pairs import Pairs
from execlog.store.preparing import prepare
from execlog.store.sqlite.jobs import SqliteJobStore
from execlog.store.sqlite.recounting import Progress, Recount
from execlog.store.sqlite.store import SQLiteStore

LOOK_EVERY = 1.0
RESTS, LONGEST_REST = 4, 60
"""How many times as long as a look took there is none after it, at most a minute."""
CHUNK = 500
_TICK = 1_000_000_000
"""Nanoseconds by which the times of files may be behind the clock."""


class FilesStore:
    """Executions as files under a folder, which several processes may use at once."""

    capabilities = Capabilities(sorts=("newest", "oldest"))

    def __init__(
        self, root: Path | str, *, clock: Clock | None = None, searched: Mapping[str, tuple[str, ...]] = SEARCHED
    ) -> None:
        self.root = Path(root)
        self._own = self.root / ".execlog"
        self._own.mkdir(parents=True, exist_ok=True)
        self._clock = clock or SystemClock()
        self._index = SQLiteStore(self._own / "index.db", clock=clock, searched=searched)
        self._lock = threading.Lock()
        self._lock_fd = os.open(self._own / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
        known = [folder_of(self.root, *place) for place in self._index.spaces()]
        self._seen = Seen(self.root, self._own / "seen", known)
        self._looked_at, self._rest = 0.0, 1.0
        with self._alone():
            self._forget_lost_index()
            self._write_changed()
        self._look()
        self._rest = 1.0  # this look had more to do than those to come

    @property
    def url(self) -> str:
        """Where it is."""
        return f"files:///{self.root}"

    @property
    def pairs(self) -> Pairs:
        """The pairs it watches over; they are kept in the index alone."""
        return self._index.pairs

    @property
    def mended(self) -> Any:
        """How often what could not be stored as it was has been mended, by reason."""
        return self._index.mended

    def open_jobs(self) -> JobStore:
        """The jobs, beside the index rather than in it: they cannot be made anew from the files."""
        return SqliteJobStore(self._own / "jobs.db")

    def apply(self, events: Sequence[Event]) -> Applied:
        """What became of the batch, once its files are durable."""
        self._look()  # who only writes has to look, too: the less there is to compare when it is opened again
        fit = [prepared for event in events if (prepared := self._fit(event)) is not None]
        with self._alone():  # from before the index knows it: whoever compares would take it for deleted by hand
            applied = self._index.apply(fit)
            self._write_changed()
        unfit = len(events) - len(fit)
        return msgspec.structs.replace(applied, quarantined=applied.quarantined + unfit) if unfit else applied

    def get(self, id: str, *, kind: str | None = None, namespace: str | None = None) -> Execution | None:
        """The whole execution, or None; without kind or namespace the newest of that id."""
        self._look()
        return self._index.get(id, kind=kind, namespace=namespace)

    def find(
        self,
        filter: Filter,
        *,
        limit: int = 50,
        cursor: str | None = None,
        offset: int = 0,
        parts: Collection[Part] = SUMMARY,
    ) -> Page[Execution]:
        """A page of executions in the filter's order."""
        self._look()
        return self._index.find(filter, limit=limit, cursor=cursor, offset=offset, parts=parts)

    def count(self, filter: Filter) -> int:
        """How many executions the filter asks for."""
        self._look()
        return self._index.count(filter)

    def stats(self, filter: Filter, *, group_by: GroupBy | None = None) -> list[Group]:
        """Sums over the terminal executions, in one group or several."""
        self._look()
        return self._index.stats(filter, group_by=group_by)

    def latest(self, filter: Filter, *, limit: int = 1000) -> list[Execution]:
        """The newest execution of each subject, newest first."""
        self._look()
        return self._index.latest(filter, limit=limit)

    def failures(self, filter: Filter, *, limit: int = 50) -> list[FailureGroup]:
        """Executions that failed, grouped by error fingerprint, the latest group first."""
        self._look()
        return self._index.failures(filter, limit=limit)

    def delete(self, filter: Filter, *, keep_marks: bool = True) -> int:
        """How many executions were removed, their files too: whatever was there by now, also by other hands."""
        self._look(at_once=True)
        with self._alone():
            # The index keeps its last changes only: a file whose deletion is forgotten would be taken in again.
            return self._index.delete(filter, keep_marks=keep_marks, after_each=self._write_changed)

    def changes(self, after: int, *, limit: int = 1000) -> list[Change]:
        """What changed after change number `after`; -1 asks for the newest alone."""
        return self._index.changes(after, limit=limit)

    def attend(self, origin: str, *, seconds: float) -> None:
        """Note that the process `origin` is alive for this long; 0 signs it off."""
        self._index.attend(origin, seconds=seconds)

    def absent(self) -> list[str]:
        """The origins that have open executions but are not noted alive."""
        return self._index.absent()

    def check(self) -> dict[str, str]:
        """Facts about the folder and its index; raises StoreError where the index is damaged."""
        facts = self._index.check()
        number = sum(len(files_in(folder)) for folder in folders(self.root))
        return {**facts, "store": "files", "root": str(self.root), "files": str(number)}

    def recount(self, *, mend: bool = False, progress: Progress | None = None) -> Recount:
        """How the index's sums compare with its executions, as `SQLiteStore.recount` tells and mends it."""
        return self._index.recount(mend=mend, progress=progress)

    def damaged(self) -> list[Path]:
        """The files that are not as this store wrote them, are missing, or cannot be read; each of them is read.

        Some hundreds at a time, so that writers get their turn in between.
        """
        left = {folder / name for folder in folders(self.root) for name in files_in(folder)}
        unlike: list[Path] = []
        cursor, further = None, True
        while further:
            with self._alone():
                self._write_changed()
                page = self._index.find(Filter(), limit=CHUNK, cursor=cursor, parts=WHOLE)
                contents = {path_of(self.root, entry.key): _content(entry) for entry in page.entries}
                unlike += [path for path, content in contents.items() if not has_content(path, content)]
            left -= contents.keys()
            cursor, further = page.next_cursor, page.next_cursor is not None
        with self._alone():
            return sorted([*unlike, *(path for path in left if path.exists() and not self._is_known(path))])

    def close(self) -> None:
        """Release the index. Closing twice is fine."""
        self._index.close()
        with self._lock:
            if self._lock_fd >= 0:
                os.close(self._lock_fd)
                self._lock_fd = -1

    def _fit(self, event: Event) -> Event | None:
        """The event as it is stored: its record must be one that every program can read; None where it has no place."""
        try:
            check_id(event.id)
            prepared = prepare(event, self.mended)
            path_of(self.root, prepared.key)
        except InvalidError:
            return None
        return prepared

    def _forget_lost_index(self) -> None:
        """Count from the beginning again where the index is a new one: what is noted was of the one that is gone."""
        newest = self._index.changes(-1)
        if self._written() > (newest[0].number if newest else 0):
            try:
                write_all([(self._own / "written", b"0")])
            except OSError as error:
                raise StoreError(f"{self.root}: {error}", retry=True) from error

    def _write_changed(self) -> None:
        """Write the files of everything that changed since the last time; the caller is alone."""
        written = self._written()
        try:
            while changes := self._index.changes(written, limit=CHUNK):
                newest = {change.key: change for change in changes}
                folders_of_these = {path_of(self.root, key).parent for key in newest}
                # Only our own files are new here; where there may be others' the next look still has to see them.
                ours = [folder for folder in folders_of_these if self._seen.time(folder) == time_of(folder)]
                write_all((path_of(self.root, key), self._content(key)) for key in newest)
                for folder in ours:
                    self._seen.note(folder, time_of(folder))
                written = changes[-1].number
                write_all([(self._own / "written", _note(written))])
        except OSError as error:
            raise StoreError(f"{self.root}: {error}", retry=True) from error

    def _content(self, key: Key) -> bytes | None:
        execution = self._index.get(key.id, kind=key.kind, namespace=key.namespace)
        return None if execution is None else _content(execution)

    def _written(self) -> int:
        """The last change that the files show; 0, which has all written again, where that is not known."""
        try:
            said = (self._own / "written").read_bytes()
            number = int(said.partition(b" ")[0])
        except (FileNotFoundError, ValueError):
            return 0
        last = self._index.changes(-1, limit=1)
        # A note of another index, one that was moved away: this one counts its changes anew.
        return number if said == _note(number) and last and number <= last[-1].number else 0

    def _look(self, *, at_once: bool = False) -> None:
        """Take in what other hands did to the files, at most once a second and for a fifth of the time.

        A folder that another process writes into is compared as a whole, however much is in it. `at_once`: no waiting.
        """
        began = time.monotonic()
        if not at_once and began - self._looked_at < LOOK_EVERY * self._rest:
            return
        self._looked_at = began
        for folder in sorted({*folders(self.root), *self._seen.folders()}):
            if self._seen.last(folder) != time_of(folder):
                with self._alone():
                    self._take_in(folder)
        self._looked_at = time.monotonic()
        self._rest = min(max((self._looked_at - began) * RESTS, 1.0), LONGEST_REST)

    def _take_in(self, folder: Path) -> None:
        """Compare a folder with the index: what it does not know or was replaced is read, what is gone is removed.

        Not one in which nothing was done since another process compared it or wrote into it.
        """
        self._write_changed()  # what a process that died in between had not written yet was not deleted by hand either
        at = time_of(folder)
        same = not at or self._seen.time(folder) == at
        if same and self._number_known(folder) == len(files_in(folder)):
            self._seen.note(folder, at)
            return
        there = set(files_in(folder))
        known = self._known(folder)
        new = [folder / name for name in there - known.keys()]
        new += self._replaced(folder, {folder / name: known[name] for name in there & known.keys()})
        self._index.apply([event for path in new if (event := self._read(path))])
        for name in known.keys() - there:
            kind, namespace, id_ = known[name]
            self._index.delete(Filter(kind=kind, namespace=namespace, ids=(id_,)))
        self._write_changed()
        self._seen.note(folder, at)

    def _replaced(self, folder: Path, known: Mapping[Path, Key]) -> list[Path]:
        """Those of these files of a folder that another program put in the place of ours since it was looked at.

        Not those that are younger than their folder, which were changed in place, nor those that say they are ours:
        what differs in them is damage.
        """
        since, last = self._seen.time(folder) - _TICK, time_of(folder)
        if last < since:
            return []
        changed = [path for path in known if changed_at(path) >= since and time_of(path) <= last]
        return [path for path in changed if self._is_theirs(path, self._content(known[path]))]

    def _is_theirs(self, path: Path, content: bytes | None) -> bool:
        try:
            found = path.read_bytes()
            return found != content and not is_ours(record_in(found), kind_of(self.root, path.parent))
        except (OSError, InvalidError):
            return False

    def _known(self, folder: Path) -> dict[str, Key]:
        """What the index has in a folder, by the names of the files."""
        place = self._place_of(folder)
        known: dict[str, Key] = {}
        cursor = None
        while place is not None:
            page = self._index.find(Filter(kind=place[0], namespace=place[1]), limit=1000, cursor=cursor)
            known |= {name_of(entry.id): entry.key for entry in page.entries}
            cursor = page.next_cursor
            if cursor is None:
                break
        return known

    def _number_known(self, folder: Path) -> int:
        """How many executions the index has in a folder."""
        place = self._place_of(folder)
        if place is None or place[1]:
            return 0 if place is None else self._index.count(Filter(kind=place[0], namespace=place[1]))
        # The index has sums of a kind and of its namespaces, not of what is in none.
        others = [space for kind, space in self._index.spaces() if kind == place[0] and space]
        inside = sum(self._index.count(Filter(kind=place[0], namespace=space)) for space in others)
        return self._index.count(Filter(kind=place[0])) - inside

    def _place_of(self, folder: Path) -> tuple[str, str] | None:
        """What a folder is of; None where neither its name tells nor the index has anything in it."""
        told = place_of(self.root, folder)
        return told or next((place for place in self._index.spaces() if folder_of(self.root, *place) == folder), None)

    def _read(self, path: Path) -> Event | None:
        """The event that says all of a file; None for one that is none of ours, which is left alone.

        So is one that is not where the execution in it belongs: a copy, or a damaged id, which may be another's.
        """
        try:
            record, at = record_in(path.read_bytes()), round(path.stat().st_mtime * 1e6)
            event = prepare(event_of_record(record, kind_of(self.root, path.parent), at=at), self.mended)
            return event if path_of(self.root, event.key) == path else None
        except (OSError, ValueError, InvalidError):  # what a layout converts may be a ValueError
            return None

    def _is_known(self, path: Path) -> bool:
        """Whether a file says what the index has: of an execution that began at another time meanwhile, for one."""
        event = self._read(path)
        return event is not None and has_content(path, self._content(event.key))

    @contextmanager
    def _alone(self) -> Generator[None]:
        """Nobody else, in this process or another, writes files or takes them in meanwhile."""
        with self._lock:
            if self._lock_fd < 0:
                raise StoreError("the store is closed", retry=False)
            fcntl.flock(self._lock_fd, fcntl.LOCK_EX)
            try:
                if not is_same(self._lock_fd, self._own / "lock"):
                    # Who opened it anew has another lock, and another index: what it removed would come back.
                    raise StoreError(
                        f"{self._own} was removed or replaced: restart what uses it, to open the store anew",
                        retry=False,
                    )
                yield
            finally:
                fcntl.flock(self._lock_fd, fcntl.LOCK_UN)


def _note(written: int) -> bytes:
    """The number of the last change that the files show, and a checksum."""
    return f"{written} {crc32(str(written).encode()):08x}".encode()


def _content(execution: Execution) -> bytes:
    """What is in the file of a whole execution."""
    return msgspec.json.format(to_json(to_record(execution)), indent=2)
