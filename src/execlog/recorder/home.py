"""The journals of a home: emptying those of dead processes, and telling what became of what they ran."""

from __future__ import annotations

import logging
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import msgspec
from msgspec import Struct

from execlog.core.filter import Filter
from execlog.core.model import OPEN, Error, Event, Execution, Item, Status
from execlog.recorder import journal
from execlog.recorder.drain import JournalDrain
from execlog.recorder.lock import FileLock, holder
from execlog.store.base import WHOLE, Store

log = logging.getLogger("execlog")
SERVER = "server.lock"
_YOUNG_SECONDS = 5.0


class Losses(Struct, frozen=True):
    """What journals that are gone did not bring into the store: records shed (by worth) or lost, damaged bytes."""

    shed: tuple[int, int, int] = (0, 0, 0)
    damaged: int = 0
    lost: int = 0


class Home:
    """All journals under one folder, seen by one process."""

    def __init__(self, root: Path, now: Callable[[], int]) -> None:
        self.root = root
        self._now = now
        self._server = FileLock(root / SERVER)
        self._drains: dict[Path, JournalDrain] = {}

    def serve(self) -> bool:
        """Whether this process now is the one that empties every journal here."""
        self.root.mkdir(parents=True, exist_ok=True, mode=0o700)
        return self._server.acquire()

    @property
    def serving(self) -> bool:
        """Whether this process empties every journal here."""
        return self._server.held

    def served_by_another(self) -> bool:
        """Whether somebody else empties every journal here."""
        return not self.serving and holder(self.root / SERVER) is not None

    def journals(self) -> list[Path]:
        """The folders of all journals here, oldest first."""
        return sorted(entry for entry in self.root.iterdir() if entry.is_dir()) if self.root.is_dir() else []

    def is_alive(self, folder: Path) -> bool:
        """Whether a journal's writer lives; a stopped or slow one does. A journal still being made counts as alive."""
        if holder(folder / "alive") is not None:
            return True
        return not (folder / "process.json").exists() and self._now() / 1e6 - _mtime(folder) < _YOUNG_SECONDS

    def visit(self, store: Store, limit: int, *, own: Path | None, everyone: bool) -> int:
        """How many records went into the store: of dead processes, and with `everyone` of living ones too.

        The executions a dead process left open become `crashed`, and its journal is removed. Raises StoreError.
        """
        taken = 0
        folders = self.journals()
        for gone in self._drains.keys() - set(folders):
            self._drains.pop(gone).release()
        for folder in folders:
            if folder == own:
                continue
            dead = not self.is_alive(folder)
            if dead:
                taken += self._adopt(folder, store, limit)
            elif everyone:
                taken += self._drain_living(folder, store, limit)
        return taken

    def release(self) -> None:
        """Give back every lock."""
        for drain in self._drains.values():
            drain.release()
        self._drains.clear()
        self._server.release()

    def losses(self) -> Losses:
        """What journals that are gone lost, in all."""
        try:
            return msgspec.json.decode((self.root / "losses.json").read_bytes(), type=Losses)
        except (OSError, msgspec.MsgspecError):
            return Losses()

    def _drain_living(self, folder: Path, store: Store, limit: int) -> int:
        drain = self._drains.get(folder)
        if drain is None:
            drain = self._drains[folder] = JournalDrain(folder)
        try:
            return drain.step(store, limit) if drain.claim() else 0
        except FileNotFoundError:
            if folder.exists():
                raise
            return 0  # its owner finished, found everything stored, and took it away

    def _adopt(self, folder: Path, store: Store, limit: int) -> int:
        drain = self._drains.pop(folder, None) or JournalDrain(folder)
        if not drain.claim():
            return 0
        taken = 0
        try:
            while step := drain.step(store, limit, dead=True):
                taken += step
            owner = drain.owner or journal.read_owner(folder)
            if owner is not None:
                seen_at = int(_mtime(folder / "alive") * 1e6) or self._now()
                mark_crashed(
                    store,
                    owner.origin,
                    now=self._now(),
                    seen_at=seen_at,
                    process=f"process {owner.pid} on {owner.host}",
                )
            self._note_losses(folder, drain.cursor)
            shutil.rmtree(folder, ignore_errors=True)
        finally:
            drain.release()
        return taken

    def _note_losses(self, folder: Path, cursor: journal.Cursor) -> None:
        shed = journal.read_drops(folder)
        if not (any(shed) or cursor.damaged or cursor.lost):
            return
        before = self.losses()
        after = Losses(
            (before.shed[0] + shed[0], before.shed[1] + shed[1], before.shed[2] + shed[2]),
            before.damaged + cursor.damaged,
            before.lost + cursor.lost,
        )
        journal.write_durably(self.root / "losses.json", msgspec.json.encode(after))


def mark_crashed(store: Store, origin: str, *, now: int, seen_at: int, process: str) -> int:
    """How many open executions of a process that is gone became `crashed`, their open items too.

    They ended when the process was last seen. A real outcome that turns up later wins (`core.fold`).
    """
    error = Error("Crashed", f"the process that ran it is gone ({process})")
    marked = 0
    for execution in open_executions(store, origin):
        ended = max(seen_at, execution.started_at or execution.created_at)
        store.apply([crash_of(execution, error, at=max(now, execution.at + 1), ended_at=min(ended, now))])
        marked += 1
    return marked


def open_executions(store: Store, origin: str) -> Iterator[Execution]:
    """Every open execution of a process, whole."""
    question = Filter(origin=origin, statuses=tuple(OPEN))
    cursor = None
    while True:
        page = store.find(question, limit=200, cursor=cursor, parts=WHOLE)
        yield from page.entries
        cursor = page.next_cursor
        if cursor is None:
            return


def crash_of(execution: Execution, error: Error, *, at: int, ended_at: int) -> Event:
    """The event that says that an execution crashed."""
    started = execution.started_at
    return Event(
        id=execution.id,
        kind=execution.kind,
        namespace=execution.namespace,
        at=at,
        status=Status.CRASHED,
        ended_at=ended_at,
        duration=None if started is None else max(ended_at - started, 0) / 1e6,
        error=error,
        output=execution.output,
        items=tuple(_crashed(item, error, at, ended_at) for item in execution.items if item.status in OPEN),
    )


def _crashed(item: Item, error: Error, at: int, ended_at: int) -> Item:
    return msgspec.structs.replace(item, status=Status.CRASHED, at=at, ended_at=ended_at, error=error)


def _mtime(path: Path) -> float:
    try:
        return path.stat().st_mtime
    except OSError:
        return 0.0
