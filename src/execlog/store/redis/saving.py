"""How executions are saved and removed on one server: each in one atomic step."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Any, NamedTuple, Protocol

from execlog.core.codec import to_json
from execlog.core.model import OPEN, Execution, Key
from execlog.store.layout import to_record
from execlog.store.redis.connection import Command, Connection, digest
from execlog.store.redis.keys import SEPARATOR, Keys, member

CHANGES_KEPT = 100_000


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
        return [number > 0 for number in self._connection.write([self.command(save) for save in saves])]

    def command(self, save: Save) -> Command:
        """What saves an execution."""
        execution, key = save.execution, save.execution.key
        origin = (execution.origin or "") if execution.status in OPEN else ""
        argv: list[Any] = [
            digest(save.raw), record_of(execution), self._ttl_ms, key.id, execution.created_at, self._limit,
            member(key), origin, self._keys.record(key).removesuffix(key.id),
            SEPARATOR + key.kind + SEPARATOR + key.namespace, CHANGES_KEPT,
        ]  # fmt: skip
        return self._save.on([*self._keys_of(execution), self._keys.index_of(save.old or execution)], argv)

    def remove(self, executions: Sequence[Execution], mark: int | None) -> int:
        """How many of them were there."""
        commands: list[Command] = []
        for execution in executions:
            keys = [*self._keys_of(execution), self._keys.deleted(execution.key)]
            argv = [execution.id, member(execution.key), mark_of(execution, mark), self._ttl_ms, CHANGES_KEPT]
            commands.append(self._remove.on(keys, argv))
        return sum(self._connection.write(commands))

    def heal(self) -> None:
        """Nothing: nothing is ever half done."""

    def settle(self, keys: Collection[Key]) -> None:
        """Nothing, as well."""

    def _keys_of(self, execution: Execution) -> list[str]:
        own, key = self._keys.own, execution.key
        return [
            self._keys.record(key), self._keys.index_of(execution), own("order"), own("open"), own("places", key.id),
            own("changes"), own("change"),
        ]  # fmt: skip


def record_of(execution: Execution) -> bytes:
    """The record of an execution as it is kept."""
    return to_json(to_record(execution))


def mark_of(execution: Execution, at: int | None) -> str:
    """The mark that an execution was removed at a time; "" for none."""
    return "" if at is None else to_json((at, execution.status in OPEN)).decode()
