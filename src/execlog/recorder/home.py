"""The journals of a home: emptying those of dead processes, and telling what became of what they ran."""

from __future__ import annotations

import contextlib
import logging
import os
import shutil
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import msgspec
from msgspec import Struct

from execlog.recorder.crash import mark_crashed, open_origins
from execlog.recorder.drain import JournalDrain
from execlog.recorder.journal import PARENTS, remove_folder
from execlog.recorder.lease import lease_in
from execlog.recorder.lock import FileLock, holder
from execlog.recorder.presence import Presence
from execlog.recorder.sidecar import Cursor, Owner, is_of, read_cursor, read_drops, tail_of, total, write_durably
from execlog.store.base import Store
from execlog.store.ownership import make_private

log = logging.getLogger("execlog")
SERVER = "server.lock"
_LOSSES = ".losses"
_STALE_SECONDS = 3600.0
_VISIT_SECONDS = 1.0


class Losses(Struct, frozen=True):
    """What journals that are gone did not bring into the store.

    shed (by worth) and lost are records, damaged is bytes; aside are records kept in the quarantine.
    """

    shed: tuple[int, int, int] = (0, 0, 0)
    aside: int = 0
    damaged: int = 0
    lost: int = 0


class Standing(Struct, frozen=True):
    """How the journals of a home stand: how many, of which the writers of `abandoned` are gone; bytes on disk.

    `losses` are those of all of them, and of those that are gone.
    """

    journals: int
    abandoned: int
    size: int
    losses: Losses


class Home:
    """All journals under one folder, seen by one process."""

    def __init__(self, root: Path, now: Callable[[], int]) -> None:
        self.root = root
        self._now = now
        self._server = FileLock(root / SERVER)
        self._drains: dict[Path, JournalDrain] = {}
        self._said: dict[Path, str] = {}
        self.presence = Presence(wanted=False)
        self.last_change = 0

    def serve(self) -> bool:
        """Whether this process now is the one that empties every journal here."""
        make_private(self.root, depth=PARENTS)
        return self._server.acquire()

    @property
    def serving(self) -> bool:
        """Whether this process empties every journal here."""
        return self._server.held

    def is_ours(self) -> bool:
        """Whether there are, or were, journals here that this user may read and take away."""
        return os.access(self.root, os.R_OK | os.W_OK | os.X_OK)

    def served_by_another(self) -> bool:
        """Whether somebody else empties every journal here, as far as can be told: each journal is claimed besides."""
        try:
            return not self.serving and holder(self.root / SERVER) is not None
        except OSError:
            return False

    def journals(self) -> list[Path]:
        """The folders of all journals here, oldest first."""
        return [folder for folder in self._folders() if not folder.name.startswith(".")]

    def is_alive(self, folder: Path) -> bool:
        """Whether a journal's writer lives; a stopped or slow one does."""
        return holder(folder / "alive") is not None

    def visit(
        self, store: Store, limit: int, *, own: Path | None, everyone: bool, seconds: float = _VISIT_SECONDS
    ) -> int:
        """How many records went into the store: of dead processes, and with `everyone` of living ones too.

        The executions a dead process left open become `crashed`, and its journal is removed. A large journal is left
        half done after about `seconds`, to be taken up again. Raises StoreError.
        """
        taken, until = 0, time.monotonic() + seconds
        folders = self.journals()
        for gone in self._drains.keys() - set(folders):
            self._drains.pop(gone).release()
        for folder in folders:
            if folder == own:
                continue
            try:
                if not self.is_alive(folder):
                    taken += self._adopt(folder, store, limit, until)
                elif everyone:
                    taken += self._drain_living(folder, store, limit)
            except OSError as error:  # what is wrong with one must not keep the others waiting
                self._say(folder, str(error))
        return taken

    def _say(self, folder: Path, trouble: str) -> None:
        """Tell the log what is wrong with a journal, once: it is looked at four times a second."""
        if self._said.get(folder) != trouble:
            self._said[folder] = trouble
            log.error("execlog: journal %s cannot be read: %s", folder, trouble)

    def judge(self, store: Store) -> None:
        """Call crashed what processes elsewhere left open whose heartbeat has stopped. Raises StoreError."""
        for origin in self.presence.absent(store):
            if lease_in(origin) or (self.root / origin.rpartition(":")[2]).exists():
                continue  # no process is meant, or one of ours: its lock says it better
            mark_crashed(store, origin, "it has not been heard of", now=self._now(), seen_at=0)
            self.presence.leave(store, origin)

    def end_leases(self, store: Store) -> None:
        """Call crashed what was told of under a lease that has run out. Raises StoreError."""
        now = self._now()
        for origin in store.absent():
            lease = lease_in(origin)
            if lease is not None and lease.until <= now:
                silence = f"nothing was heard of it within its lease of {lease.seconds} s"
                mark_crashed(store, origin, silence, now=now, seen_at=lease.heard_at)

    def sweep(self) -> None:
        """Remove what is left of journals whose process died while it made or removed them."""
        for folder in self._folders():
            half_made = folder.name.startswith(".new-") and not self.is_alive(folder)
            if folder.name.startswith(".gone-") or (half_made and self._now() / 1e6 - _mtime(folder) > _STALE_SECONDS):
                shutil.rmtree(folder, ignore_errors=True)

    def release(self) -> None:
        """Give back every lock."""
        for drain in self._drains.values():
            drain.release()
        self._drains.clear()
        self._server.release()

    def losses(self) -> Losses:
        """What journals that are gone lost, in all."""
        return _sum_of(list(self._noted().values()))

    def standing(self) -> Standing:
        """How all journals stand, for whoever watches over them. Raises OSError."""
        folders = self.journals()
        noted = self._noted()
        # One that is noted is about to be removed: counted twice, the sum would fall afterwards.
        lost = [_losses_in(folder, read_cursor(folder)) for folder in folders if folder.name not in noted]
        return Standing(
            journals=len(folders),
            abandoned=sum(not self.is_alive(folder) for folder in folders),
            size=sum(size_on_disk(folder) for folder in folders),
            losses=_sum_of([*noted.values(), *lost]),
        )

    def _noted(self) -> dict[str, Losses]:
        return {file.name.removesuffix(".json"): _read_losses(file) for file in (self.root / _LOSSES).glob("*.json")}

    def retire(self, folder: Path, cursor: Cursor) -> None:
        """Remove a journal that the store has everything of, once what it lost is noted; noting twice counts once."""
        losses = _losses_in(folder, cursor)
        if losses != Losses():
            notes = self.root / _LOSSES
            make_private(notes)
            write_durably(notes / f"{folder.name}.json", msgspec.json.encode(losses))
        remove_folder(folder)

    def _drain_living(self, folder: Path, store: Store, limit: int) -> int:
        drain = self._drains.get(folder)
        if drain is None:
            drain = self._drains[folder] = JournalDrain(folder)
        try:
            if not drain.claim():
                return 0
            if drain.owner is not None:
                self.presence.attend(store, drain.owner.origin)
            return self._step(drain, store, limit, dead=False)
        except FileNotFoundError:
            if folder.exists():
                raise
            return 0  # its owner finished, found everything stored, and took it away

    def _adopt(self, folder: Path, store: Store, limit: int, until: float) -> int:
        drain = self._drains.pop(folder, None) or JournalDrain(folder)
        taken = 0
        try:
            if not drain.claim() or self.is_alive(folder):
                return 0
            while step := self._step(drain, store, limit, dead=True):
                taken += step
                if time.monotonic() > until:
                    return taken
            self._bury(store, folder, drain.owner)
            self.retire(folder, drain.cursor)
        except FileNotFoundError:
            if folder.exists():
                raise
        finally:
            drain.release()
        return taken

    def _bury(self, store: Store, folder: Path, owner: Owner | None) -> None:
        """Call crashed what the writer of a journal left open, which is gone."""
        origins = {owner.origin} if owner is not None else set[str]()
        if not is_of(owner, folder):
            origins |= open_origins(store, tail_of(folder))
        process = "its process.json was damaged" if owner is None else f"process {owner.pid} on {owner.host}"
        seen_at = int(_mtime(folder / "alive") * 1e6)
        for origin in sorted(origins):
            mark_crashed(store, origin, process, now=self._now(), seen_at=seen_at)
            self.presence.leave(store, origin)

    def _step(self, drain: JournalDrain, store: Store, limit: int, *, dead: bool) -> int:
        taken = drain.step(store, limit, dead=dead)
        self.last_change = max(self.last_change, drain.last_change)
        return taken

    def _folders(self) -> list[Path]:
        try:
            return sorted(entry for entry in self.root.iterdir() if entry.is_dir())
        except FileNotFoundError:
            return []


def size_on_disk(folder: Path) -> int:
    """What the files of a journal take; one that goes meanwhile takes nothing."""
    size = 0
    for entry in folder.iterdir() if folder.is_dir() else ():
        with contextlib.suppress(FileNotFoundError):
            size += entry.stat().st_blocks * 512
    return size


def _losses_in(folder: Path, cursor: Cursor) -> Losses:
    return Losses(read_drops(folder), cursor.aside, cursor.damaged, cursor.lost)


def _sum_of(losses: Sequence[Losses]) -> Losses:
    return Losses(
        total([each.shed for each in losses]),
        sum(each.aside for each in losses),
        sum(each.damaged for each in losses),
        sum(each.lost for each in losses),
    )


def _read_losses(file: Path) -> Losses:
    try:
        return msgspec.json.decode(file.read_bytes(), type=Losses)
    except (OSError, ValueError) as error:
        log.warning("execlog: %s cannot be read: %s", file, error)
        return Losses()


def _mtime(path: Path) -> float:
    try:
        return path.stat().st_mtime
    except OSError:
        return 0.0
