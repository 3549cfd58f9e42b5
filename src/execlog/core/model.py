"""What execlog knows: executions, their items, and the events that say something about them.

Times are integers: microseconds since 1970-01-01 UTC (`*_at`). Durations are seconds, measured on a monotonic clock.
Money is an integer count of 10⁻⁹ US dollars (`cost_nano`). An execution is identified by its `Key`: (kind, namespace,
id).
"""

from __future__ import annotations

from enum import StrEnum
from typing import Any, NamedTuple

from msgspec import Struct


class Status(StrEnum):
    """The canonical status of an execution or an item."""

    QUEUED = "queued"
    RUNNING = "running"
    SUCCEEDED = "succeeded"
    PARTIAL = "partial"
    FAILED = "failed"
    TIMED_OUT = "timed_out"
    CANCELLED = "cancelled"
    CRASHED = "crashed"


OPEN = frozenset({Status.QUEUED, Status.RUNNING})
TERMINAL = frozenset(Status) - OPEN
BEGUN = frozenset(Status) - {Status.QUEUED}
UNSUCCESSFUL = TERMINAL - {Status.SUCCEEDED}
RANK: dict[Status, int] = {
    status: 0 if status is Status.QUEUED else 1 if status is Status.RUNNING else 2 if status is Status.CRASHED else 3
    for status in Status
}
"""How strong an evidence is: a terminal state beats a running one, and a real outcome beats `crashed`."""


class Key(NamedTuple):
    """The identity of an execution: ids are unique within (kind, namespace)."""

    kind: str
    namespace: str
    id: str


class Error(Struct, frozen=True, omit_defaults=True):
    """Why something did not succeed.

    `frames` are the user's own stack frames first, innermost first, as "file:line function"; `fingerprint` groups
    errors that differ only in what varies: numbers, ids, quoted values, paths, times (`core.fingerprint`).
    """

    type: str
    message: str
    frames: tuple[str, ...] = ()
    fingerprint: str | None = None


class Usage(Struct, frozen=True, omit_defaults=True):
    """What a model call consumed: tokens (`cached` is part of `input`, `reasoning` part of `output`), and its cost.

    `cost_nano` is None where the price is unknown, never 0; `prices` names the price table a cost was computed with;
    where no cost is said, "" keeps one from being computed.
    """

    input: int = 0
    output: int = 0
    cached: int = 0
    reasoning: int = 0
    calls: int = 1
    cost_nano: int | None = None
    prices: str | None = None


class LogLine(Struct, frozen=True, array_like=True):
    """One line said while an execution ran; (at, number) is unique and ordered within it."""

    at: int
    number: int
    level: str
    message: str
    item: str | None = None


class Item(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One unit inside an execution with an outcome of its own, e.g. a stock or a workflow step.

    An item is said whole each time; `at` is the moment it was said. `position` keeps the order the units were given in.
    `data` holds what only its family knows (asset_class, features_computed, step type …).
    """

    key: str
    at: int = 0
    status: Status = Status.RUNNING
    position: int = 0
    attempt: int = 1
    started_at: int | None = None
    ended_at: int | None = None
    duration: float | None = None
    rows: int | None = None
    tokens_input: int | None = None
    tokens_output: int | None = None
    cost_nano: int | None = None
    error: Error | None = None
    input: Any = None
    output: Any = None
    data: dict[str, Any] | None = None


class Counts(Struct, frozen=True):
    """How many items an execution has, by what became of them; `total` is never below what was seen."""

    total: int = 0
    succeeded: int = 0
    failed: int = 0
    open: int = 0


class Event(Struct, frozen=True, kw_only=True, array_like=True, gc=False):
    """Something said about one execution. None means "not said", never "unset it".

    Safe to apply twice and in any order: each field is decided by the latest `at` that said it, except the outcome
    (`status` with `ended_at`, `duration`, `error`, `output`), which is said whole and decided by (rank of status, at).
    `at` is strictly increasing within a process. New fields are only ever appended: that is how older bytes stay
    readable.
    """

    id: str
    kind: str
    at: int
    namespace: str = ""
    status: Status | None = None
    name: str | None = None
    subject: str | None = None
    actor: str | None = None
    engine: str | None = None
    queued_at: int | None = None
    started_at: int | None = None
    ended_at: int | None = None
    duration: float | None = None
    rows: int | None = None
    error: Error | None = None
    total: int | None = None
    items: tuple[Item, ...] = ()
    usage: dict[str, Usage] | None = None
    input: Any = None
    output: Any = None
    params: dict[str, Any] | None = None
    metadata: dict[str, Any] | None = None
    tags: dict[str, str] | None = None
    logs: tuple[LogLine, ...] = ()
    parent_id: str | None = None
    root_id: str | None = None
    retry_of: str | None = None
    origin: str | None = None
    context: dict[str, str] | None = None
    declared_succeeded: int | None = None
    declared_failed: int | None = None

    @property
    def key(self) -> Key:
        """The execution this event is about."""
        return Key(self.kind, self.namespace, self.id)


class Execution(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One run of one thing, as far as it is known.

    subject    what ran, within the kind: a job id, a workflow's id, a pipeline's name, a connection's name
    name       how people call it
    actor      who or what triggered it: a user id, "schedule", "manual", …
    engine     what it ran on, e.g. the database type
    created_at when it was first known to be wanted: the earlier of queued_at and started_at; lists are ordered by it
    params     what it was called with; `input` and `output` what went in and came out; `metadata` free for the caller
    context    what it ran in (host, pid, python, revision, versions): what "what changed" compares
    origin     the process that runs it: "boot id:journal id"
    counts     of its items; `items` and `logs` are filled only where the question asked for them
    at, stamps which event decided each field: the latest `at`, and the fields an older event decided
    """

    id: str
    kind: str
    at: int
    created_at: int
    namespace: str = ""
    status: Status = Status.RUNNING
    name: str | None = None
    subject: str | None = None
    actor: str | None = None
    engine: str | None = None
    queued_at: int | None = None
    started_at: int | None = None
    ended_at: int | None = None
    duration: float | None = None
    rows: int | None = None
    error: Error | None = None
    total: int | None = None
    declared_succeeded: int | None = None
    declared_failed: int | None = None
    counts: Counts = Counts()
    items: tuple[Item, ...] = ()
    usage: dict[str, Usage] | None = None
    input: Any = None
    output: Any = None
    params: dict[str, Any] | None = None
    metadata: dict[str, Any] | None = None
    tags: dict[str, str] | None = None
    logs: tuple[LogLine, ...] = ()
    parent_id: str | None = None
    root_id: str | None = None
    retry_of: str | None = None
    origin: str | None = None
    context: dict[str, str] | None = None
    stamps: dict[str, int] | None = None

    @property
    def key(self) -> Key:
        """The execution's identity."""
        return Key(self.kind, self.namespace, self.id)

    @property
    def seconds(self) -> float | None:
        """Its duration in seconds: as measured, or else from its two times; None while either is unknown."""
        if self.duration is not None:
            return self.duration
        if self.started_at is None or self.ended_at is None:
            return None
        return max(self.ended_at - self.started_at, 0) / 1_000_000

    @property
    def tokens(self) -> tuple[int, int]:
        """Tokens in and out over all its model calls."""
        calls = (self.usage or {}).values()
        return sum(call.input for call in calls), sum(call.output for call in calls)

    @property
    def cost_nano(self) -> int | None:
        """What its model calls cost, in 10⁻⁹ US dollars; None when no call has a known price."""
        known = [call.cost_nano for call in (self.usage or {}).values() if call.cost_nano is not None]
        return sum(known) if known else None
