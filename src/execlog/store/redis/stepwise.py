"""How executions are saved and removed in a cluster, where a record, its index and what all are found by lie apart.

First it is noted what is about to be saved or removed, and what moves leaves the index it was in; then the record is
written, which decides; then its index, and what all are found by; then the note goes. Whoever finds an old note does
what is left, as the record says: it is there, and then it must be in its index, or it is not, and then it must be in
none. The notes are at one place, so finding them is one look.

An id that leaves its index stays among the index's times until its record is gone.
"""

from __future__ import annotations

import uuid
from collections.abc import Callable, Collection, Mapping, Sequence
from itertools import chain
from typing import Any, NamedTuple

from execlog.core.model import OPEN, Execution, Key
from execlog.store.redis.connection import Command, Connection, digest
from execlog.store.redis.keys import Keys, key_of, member
from execlog.store.redis.saving import CHANGES_KEPT, Save, mark_of, record_of

STALE = 15.0
"""Seconds after which a note is taken for one that is left: well beyond what a slow writer takes for a batch."""

TRIES = 5


class _Entry(NamedTuple):
    """What `enter` is told: an execution (None to take it out), its note, and whether it is told as a change."""

    key: Key
    execution: Execution | None
    note: str = ""
    told: bool = True


class Stepwise:
    """In a cluster; `read` gives the executions of keys, None where there is no record."""

    def __init__(
        self,
        connection: Connection,
        keys: Keys,
        *,
        ttl_ms: int,
        limit: int,
        read: Callable[[Sequence[Key]], Mapping[Key, Execution | None]],
    ) -> None:
        self._connection, self._keys, self._read = connection, keys, read
        self._ttl_ms, self._limit = ttl_ms, limit
        self._note, self._record, self._place, self._enter, self._stale = (
            connection.script(name) for name in ("note", "record", "place", "enter", "stale")
        )

    def save(self, saves: Sequence[Save]) -> list[bool]:
        """Which of them were saved."""
        note = self._noted([save.execution.key for save in saves])
        self._leave(
            [
                (save.execution.id, before)
                for save in saves
                if save.old is not None
                and (before := self._keys.index_of(save.old)) != self._keys.index_of(save.execution)
            ]
        )
        records = [
            self._record.on(
                [self._keys.record(save.execution.key)], [digest(save.raw), record_of(save.execution), self._ttl_ms]
            )
            for save in saves
        ]
        saved = [bool(written) for written in self._connection.write(records)]
        self._finish([save for save, written in zip(saves, saved, strict=True) if written], note)
        return saved

    def remove(self, executions: Sequence[Execution], mark: int | None) -> int:
        """How many of them were there."""
        indexes = {execution.key: self._keys.index_of(execution) for execution in executions}
        words = ((member(it.key), indexes[it.key], mark_of(it, mark)) for it in executions)
        marks = [self._keys.deleted(execution.key) for execution in executions]
        note = self._call(self._note, [self._notes, *marks], [uuid.uuid4().hex, self._ttl_ms, *chain(*words)])
        gone = self._connection.write([("DEL", self._keys.record(execution.key)) for execution in executions])
        self._leave([(execution.key.id, indexes[execution.key]) for execution in executions])
        self._entered(
            [
                _Entry(it.key, None, f"{note} {indexes[it.key]}", told=bool(was))
                for it, was in zip(executions, gone, strict=True)
            ]
        )
        return sum(gone)

    def heal(self) -> None:
        """Make good what processes that are gone left half done."""
        found: list[str] = self._connection.read([self._stale.on([self._notes], [round(STALE * 1e6)])])[0]
        if found:
            self._make_good(dict(zip(map(key_of, found[::2]), found[1::2], strict=True)))

    def settle(self, keys: Collection[Key]) -> None:
        """Make sure that nothing about these is left half done: by this process, which was told of them again."""
        if keys:
            found = self._connection.read([("HMGET", self._notes, *map(member, keys))])[0]
            self._make_good({key: note for key, note in zip(keys, found, strict=True) if note})

    def _finish(self, saves: Sequence[Save], note: str) -> None:
        """Index what is recorded, and enter it where all are found; again where somebody else came in between."""
        cut = self._index(saves)
        keys = [save.execution.key for save in saves]
        entries = [
            _Entry(key, None if key in cut else save.execution, note) for key, save in zip(keys, saves, strict=True)
        ]
        passed = {entry.key for entry in self._entered(entries)}
        if not passed:
            return
        indexes = {save.execution.key: self._keys.index_of(save.execution) for save in saves}
        for _ in range(TRIES):
            note = self._noted(list(passed))
            found = self._read(list(passed))
            there = [Save(execution) for execution in found.values() if execution is not None]
            gone = [key for key, execution in found.items() if execution is None]
            cut = self._index(there)
            self._leave([(key.id, indexes[key]) for key in gone])
            entries = [
                _Entry(key, None if key in cut else execution, note, told=execution is not None)
                for key, execution in found.items()
            ]
            passed = {entry.key for entry in self._entered(entries)}
            if not passed:
                return

    def _make_good(self, notes: Mapping[Key, str]) -> None:
        """Do what is left to do, as the notes and the records say."""
        removed = {key: index for key, note in notes.items() if (index := "".join(note.split(" ", 2)[2:]))}
        self._connection.write([("DEL", self._keys.record(key)) for key in removed])
        self._leave([(key.id, index) for key, index in removed.items()])
        found = {**self._read([key for key in notes if key not in removed]), **dict.fromkeys(removed)}
        cut = self._index([Save(execution) for execution in found.values() if execution is not None])
        self._entered(
            [
                _Entry(key, None if key in cut else found[key], note, told=key in removed or found[key] is not None)
                for key, note in notes.items()
            ]
        )

    def _index(self, saves: Sequence[Save]) -> set[Key]:
        """Put executions into their indexes; those that leave one are removed, and answered."""
        indexes: dict[str, list[Any]] = {}
        suffix: dict[str, Key] = {}
        for execution, _, _ in saves:
            index = self._keys.index_of(execution)
            indexes.setdefault(index, []).extend((execution.id, execution.created_at))
            suffix[index] = execution.key
        commands = [
            self._place.on([index, self._keys.times(index)], [self._limit, self._ttl_ms, *words])
            for index, words in indexes.items()
        ]
        left = dict(zip(indexes, self._connection.write(commands), strict=True))
        gone = [Key(suffix[index].kind, suffix[index].namespace, id_) for index, ids in left.items() for id_ in ids]
        if gone:
            self._connection.write([("DEL", self._keys.record(key)) for key in gone])
            self._entered([_Entry(key, None, told=False) for key in gone])
            self._connection.write([("ZREM", self._keys.times(index), *ids) for index, ids in left.items() if ids])
        return set(gone)

    def _leave(self, places: Sequence[tuple[str, str]]) -> None:
        """Take ids out of indexes."""
        commands: list[Command] = []
        for id_, index in places:
            commands += [("LREM", index, 0, id_), ("ZREM", self._keys.times(index), id_)]
        self._connection.write(commands)

    def _entered(self, entries: Sequence[_Entry]) -> list[_Entry]:
        """Those entries that somebody else has seen to, so that nothing was done about them."""
        if not entries:
            return []
        own = self._keys.own
        keys = [own(name) for name in ("order", "open", "changes", "change")]
        words: list[Any] = []
        for key, execution, note, told in entries:
            created = "" if execution is None else execution.created_at
            origin = (execution.origin or "") if execution is not None and execution.status in OPEN else ""
            words += [member(key), created, origin, note, int(told)]
        sets = chain.from_iterable(
            (own("places", key.id),) * 3 if execution is None else self._keys.found_by(execution)
            for key, execution, _, _ in entries
        )
        keys = [*keys, self._notes, own("kin"), *sets]
        done = self._call(self._enter, keys, [CHANGES_KEPT, self._ttl_ms, *words])
        return [entry for entry, was in zip(entries, done, strict=True) if not was]

    def _noted(self, keys: Sequence[Key]) -> str:
        """The note that these are about to be saved."""
        words = chain.from_iterable((member(key), "", "") for key in keys)
        return self._call(self._note, [self._notes], [uuid.uuid4().hex, self._ttl_ms, *words])

    def _call(self, script: Any, keys: Sequence[str], args: Sequence[Any]) -> Any:
        return self._connection.call(script, keys, args)

    @property
    def _notes(self) -> str:
        return self._keys.own("notes")
