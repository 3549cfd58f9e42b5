"""How executions are saved and removed on one server: each in one atomic step."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from itertools import chain
from typing import Any, NamedTuple, Protocol

from execlog.core.codec import to_json
from execlog.core.model import OPEN, Execution, Key
from execlog.store.layout import to_record
from execlog.store.redis.connection import Command, Connection, digest
from execlog.store.redis.keys import Keys, member

CHANGES_KEPT = 100_000
MOST = 500
"""Most executions that one call of the script saves."""


class Save(NamedTuple):
    """An execution as it is to be kept, beside its record as it was read ("" for none) and what that meant."""

    execution: Execution
    raw: str = ""
    old: Execution | None = None


class Saving(Protocol):
    """Saves and removes executions where a store's keys are."""

    def save(self, saves: Sequence[Save]) -> list[bool]:
        """Which of them were saved; not those that somebody else changed since they were read."""
        ...

    def remove(self, executions: Sequence[Execution], mark: int | None) -> int:
        """How many of them were there and are removed; the time `mark` is kept of each, where it is given."""
        ...

    def heal(self) -> None:
        """Make good what processes that are gone left half done."""
        ...

    def settle(self, keys: Collection[Key]) -> None:
        """Make sure that nothing about these is left half done."""
        ...


class OneStep:
    """On one server."""

    def __init__(self, connection: Connection, keys: Keys, *, ttl_ms: int, limit: int) -> None:
        self._connection, self._keys = connection, keys
        self._ttl_ms, self._limit = ttl_ms, limit
        self._save, self._remove = connection.script("save"), connection.script("remove")

    def save(self, saves: Sequence[Save]) -> list[bool]:
        """Which of them were saved, all in one step."""
        return [number > 0 for number in chain.from_iterable(self._connection.write(self.commands(saves)))]

    def commands(self, saves: Sequence[Save]) -> list[Command]:
        """What saves executions: many by one call, for a command of its own costs each more than its words do."""
        return [self._command(saves[at : at + MOST]) for at in range(0, len(saves), MOST)]

    def _command(self, saves: Sequence[Save]) -> Command:
        own, record, index_of = self._keys.own, self._keys.record, self._keys.index_of
        keys = [own("order"), own("open"), own("changes"), own("change"), own("kin")]
        argv: list[Any] = [self._ttl_ms, self._limit, CHANGES_KEPT]
        for execution, raw, old in saves:
            key, index = execution.key, index_of(execution)
            origin = (execution.origin or "") if execution.status in OPEN else ""
            keys += (record(key), index, index if old is None else index_of(old), *self._keys.found_by(execution))
            argv += (digest(raw), record_of(execution), execution.created_at, member(key), origin)
        return self._save.on(keys, argv)

    def remove(self, executions: Sequence[Execution], mark: int | None) -> int:
        """How many of them were there."""
        commands: list[Command] = []
        own = self._keys.own
        for execution in executions:
            key = execution.key
            keys = [
                self._keys.record(key), self._keys.index_of(execution), own("order"), own("open"),
                own("places", key.id), own("changes"), own("change"), self._keys.deleted(key),
            ]  # fmt: skip
            argv = [execution.id, member(execution.key), mark_of(execution, mark), self._ttl_ms, CHANGES_KEPT]
            commands.append(self._remove.on(keys, argv))
        return sum(self._connection.write(commands))

    def heal(self) -> None:
        """Nothing: nothing is ever half done."""

    def settle(self, keys: Collection[Key]) -> None:
        """Nothing, as well."""


def record_of(execution: Execution) -> bytes:
    """The record of an execution as it is kept."""
    return to_json(to_record(execution))


def mark_of(execution: Execution, at: int | None) -> str:
    """The mark that an execution was removed at a time; "" for none."""
    return "" if at is None else to_json((at, execution.status in OPEN)).decode()
