"""The ports of a store: what every store does (`Store`), and what it may say it cannot do (`Capabilities`).

Stores are synchronous and may be used from several threads at once. Every method raises StoreError when the store
cannot answer within its time-out (`retry` says whether trying again can help), and UnsupportedError for what it
cannot do.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from pathlib import Path
from typing import Literal, Protocol, runtime_checkable

from msgspec import Struct

from execlog.core.filter import Filter, Page
from execlog.core.model import Event, Execution, Key
from execlog.core.rollup import Bucket

GroupBy = Literal["subject", "actor", "engine", "kind", "minute", "hour", "day"]
Part = Literal["items", "detail", "logs"]
"""What a found execution carries besides its columns.

items    its items, in order of position
detail   input, output, params, metadata, context and the error's frames
logs     its log lines
"""

SUMMARY: frozenset[Part] = frozenset()
DETAIL: frozenset[Part] = frozenset({"detail"})
WHOLE: frozenset[Part] = frozenset({"items", "detail", "logs"})


CHANGED = "a newer execlog has brought the database to another schema version; update this one, and start it again"
"""What a process is told that goes on with the code of before: its records wait in its journal until it ends."""


class Capabilities(Struct, frozen=True, kw_only=True):
    """What a store can do. A call it cannot serve raises UnsupportedError naming the capability.

    durable         what `apply` returned for survives a power cut
    shared          several processes may use it at once
    text            full-text search over errors, items' too, and searchable text: substrings, in any case and script
    statistics      `stats` from buckets: cost does not grow with the number of executions
    changes         `changes` tells what other processes wrote
    jobs            keeps job definitions and claims of due jobs (`Store.jobs`)
    sorts           the orders `find` serves without reading everything
    """

    durable: bool = True
    shared: bool = True
    text: bool = True
    statistics: bool = True
    changes: bool = True
    jobs: bool = True
    sorts: tuple[str, ...] = ("newest", "oldest", "slowest", "costliest")


class Change(Struct, frozen=True):
    """An execution that was created, changed or deleted; `number` counts up by one from change to change in a store."""

    number: int
    kind: str
    namespace: str
    id: str
    deleted: bool = False

    @property
    def key(self) -> Key:
        """The execution that changed."""
        return Key(self.kind, self.namespace, self.id)


class Applied(Struct, frozen=True):
    """What a batch did.

    inserted      executions that are new
    updated       executions that were there and changed
    ignored       events about deleted executions
    quarantined   events this store cannot keep in any form; they are set aside, so that the rest of the batch is kept
    """

    inserted: int = 0
    updated: int = 0
    ignored: int = 0
    quarantined: int = 0
    last_change: int = 0


class Group(Struct, frozen=True):
    """One line of statistics: its key (None over everything, a cell's start in UTC µs over time) and its sums."""

    key: str | int | None
    bucket: Bucket


class FailureGroup(Struct, frozen=True):
    """Executions that ended badly with the same error fingerprint."""

    fingerprint: str
    type: str
    message: str
    count: int
    first_at: int
    last_at: int
    last: Key
    subjects: tuple[str, ...]


class Store(Protocol):
    """Where executions are kept.

    `apply` is atomic (all of the batch or nothing) and idempotent (applying a batch again changes nothing), and the
    order of batches does not matter: it folds (`core.fold`). Buckets and the text index change in the same transaction.
    Readers are never blocked by it and see a batch whole or not at all.
    """

    @property
    def capabilities(self) -> Capabilities:
        """What this store can do."""
        ...

    @property
    def url(self) -> str:
        """Where it is, without secrets."""
        ...

    def apply(self, events: Sequence[Event]) -> Applied:
        """What became of the batch, once it is as durable as this store gets."""
        ...

    def get(self, id: str, *, kind: str | None = None, namespace: str | None = None) -> Execution | None:
        """The whole execution (items in order of position, log lines in order of time), or None.

        Without kind or namespace: the newest of that id.
        """
        ...

    def find(
        self,
        filter: Filter,
        *,
        limit: int = 50,
        cursor: str | None = None,
        offset: int = 0,
        parts: Collection[Part] = SUMMARY,
    ) -> Page[Execution]:
        """A page of at most `limit` (1 to 1000) executions in the filter's order, stable under concurrent writes.

        `offset` skips entries after the cursor. Raises InvalidError for a limit or offset out of range, CursorError.
        """
        ...

    def count(self, filter: Filter) -> int:
        """How many executions the filter asks for, exactly."""
        ...

    def stats(self, filter: Filter, *, group_by: GroupBy | None = None) -> list[Group]:
        """Sums over the terminal executions with created_at in the filter's window, exact to the microsecond.

        One group with key None, or one per subject, actor, engine, kind (ascending; executions without one left out),
        or per cell of time (ascending, empty cells left out). Questions about kind, namespace, subject, actor, engine
        and time come from buckets; others are scanned.
        """
        ...

    def latest(self, filter: Filter, *, limit: int = 1000) -> list[Execution]:
        """The newest execution the filter lets through of each (kind, namespace, subject), newest first.

        Executions without a subject are left out.
        """
        ...

    def failures(self, filter: Filter, *, limit: int = 50) -> list[FailureGroup]:
        """Executions that failed, partly failed, timed out or crashed by error fingerprint, the latest group first.

        One without an error of its own counts under its first failed item's error (`store.preparing.failure_of`).
        """
        ...

    def delete(self, filter: Filter, *, keep_marks: bool = True) -> int:
        """How many executions were removed, with their items, logs, texts and share in statistics.

        A removed execution stays removed: later events about one that was open are ignored, about one that had ended
        unless they are newer than the removal. `keep_marks=False` (retention of old ended ones) keeps no such mark.
        Each execution goes atomically; a store may remove many in several transactions.
        """
        ...

    def changes(self, after: int, *, limit: int = 1000) -> list[Change]:
        """What changed after change number `after`: 0 is from the oldest kept, -1 the newest alone.

        A first number beyond `after` + 1 says that older changes are no longer kept.
        """
        ...

    def attend(self, origin: str, *, seconds: float) -> None:
        """Note that the process `origin` is alive for this long, on the store's clock; 0 signs it off."""
        ...

    def absent(self) -> list[str]:
        """The origins that have open executions but are not noted alive (any more), on the store's clock."""
        ...

    def check(self) -> dict[str, str]:
        """Facts for `execlog doctor`: version, size, schema, integrity. Raises StoreError where it is not usable."""
        ...

    def close(self) -> None:
        """Release connections; everything applied stays. Closing twice is fine."""
        ...


@runtime_checkable
class Announcing(Protocol):
    """A store that says by itself what other processes wrote, so that nobody need look for it."""

    def listen(self, tell: Callable[[int], None]) -> Callable[[], None]:
        """A function that ends the listening; until then `tell` is given the change numbers all processes announce."""
        ...


@runtime_checkable
class NamingKinds(Protocol):
    """A store that tells its kinds for less than its statistics by kind cost."""

    def kinds(self) -> list[str]:
        """Every kind that has executions, ascending."""
        ...


@runtime_checkable
class InOneFile(Protocol):
    """A store that is one file of this machine, which nobody else copies and tidies."""

    def back_up(self, target: Path) -> int:
        """How many bytes the copy of the history has that is `target` now. Raises StoreError."""
        ...

    def vacuum(self) -> int:
        """How many bytes the file is smaller than before. Raises StoreError."""
        ...
