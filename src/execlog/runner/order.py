"""What is to be run, what became of it, and where both are told."""

from __future__ import annotations

from typing import Any, Protocol

from msgspec import Struct

from execlog.core.model import Error, Event, Item, Status
from execlog.runner.job import Job


class Order(Struct, frozen=True, kw_only=True):
    """An execution that is to be run.

    items      only these of the job's; None: all
    queued_at  when it was due or asked for, UTC µs
    """

    execution_id: str
    job: Job
    kind: str = "job"
    items: tuple[str, ...] | None = None
    queued_at: int | None = None
    triggered_by: str = "manual"
    attempt: int = 1
    retry_of: str | None = None
    root_id: str | None = None
    metadata: dict[str, Any] = {}

    @property
    def stocks(self) -> tuple[str, ...]:
        """The items it runs over, in the job's order."""
        if self.items is None:
            return self.job.stocks
        wanted = set(self.items)
        return tuple(stock for stock in self.job.stocks if stock in wanted)


class Result(Struct, frozen=True, kw_only=True):
    """What became of an execution; `items` in the order they were given."""

    execution_id: str
    job_id: str
    status: Status
    items: tuple[Item, ...]
    error: Error | None
    output: Any
    started_at: int
    ended_at: int
    duration: float

    @property
    def unsuccessful(self) -> tuple[str, ...]:
        """The items that did not succeed."""
        return tuple(item.key for item in self.items if item.status is not Status.SUCCEEDED)


class Sink(Protocol):
    """Where events go: a `Recorder`."""

    @property
    def origin(self) -> str | None:
        """The process as executions name it."""
        ...

    def append(self, event: Event) -> bool:
        """Whether it was taken."""
        ...

    def stamp(self) -> int:
        """Now in UTC µs, later than the stamp before."""
        ...
