"""What is asked of a model, what it answers, and how a call fails: the same for both formats."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Protocol

from msgspec import Struct

from execlog.core.errors import ExeclogError
from execlog.core.pricing import CallUsage
from execlog.kinds.workflows.models.endpoint import Endpoint

NEVER = frozenset({"insufficient_quota", "billing_hard_limit_reached"})
"""Codes of errors that asking again does not mend, though their status is that of too many requests."""


class Question(Struct, frozen=True, kw_only=True):
    """What is asked of a model."""

    model: str
    messages: tuple[dict[str, Any], ...]
    system: str | None = None
    max_tokens: int | None = None
    temperature: float | None = None
    stream: bool = False
    options: dict[str, Any] = {}


class Answer(Struct, frozen=True, kw_only=True):
    """What a model answered.

    model        the one that really answered, where it says so
    stop         why it stopped, as the provider says it
    usage        None where the answer reports none
    objection    why it is none, though it was paid for: it was refused, withheld, or has no text
    """

    text: str
    model: str | None = None
    stop: str | None = None
    usage: CallUsage | None = None
    id: str | None = None
    objection: str | None = None


class Watch(Protocol):
    """Who waits for a call: may end it, hears of what happens, and pays."""

    def check(self) -> None:
        """Raise when the call is not wanted any more."""
        ...

    def pause(self, seconds: float) -> None:
        """Sleep; raises, at once, when the call is not wanted any more."""
        ...

    def on_stop(self, callback: Callable[[], None]) -> Callable[[], None]:
        """Have this called when the call is not wanted any more; returns what takes the wish back."""
        ...

    def log(self, message: str, level: str = "info") -> None:
        """Note something."""
        ...


class Dialect(Protocol):
    """One wire format."""

    path: str

    def headers(self, key: str | None) -> dict[str, str]:
        """The headers that say who asks."""
        ...

    def body(self, question: Question, endpoint: Endpoint) -> dict[str, Any]:
        """The request to this endpoint."""
        ...

    def answer(self, body: Mapping[str, Any]) -> Answer:
        """The answer in a whole response. Raises ModelCallError."""
        ...

    def stream(self) -> Stream:
        """What takes a streamed response in."""
        ...

    def complaint(self, body: Any) -> tuple[str, str | None]:
        """An error response's message, and its code or type."""
        ...


class Stream(Protocol):
    """Takes a streamed response in, event by event."""

    @property
    def usage(self) -> CallUsage | None:
        """What is known to be used so far: paid for, even where the stream breaks off."""
        ...

    def take(self, data: Mapping[str, Any]) -> bool:
        """Whether the answer is whole with this event. Raises ModelCallError for an error in the stream."""
        ...

    def answer(self) -> Answer:
        """The answer, as far as it came."""
        ...


class ModelCallError(ExeclogError):
    """A model call failed; `retry` says whether trying again can help, `retry_after` seconds when.

    declined    the server says itself that it does not answer: such a call costs nothing
    """

    def __init__(
        self,
        message: str,
        *,
        status: int | None = None,
        retry: bool = False,
        retry_after: float | None = None,
        declined: bool = False,
    ) -> None:
        super().__init__(message)
        self.declined = declined
        self.status = status
        self.retry = retry
        self.retry_after = retry_after


def may_pass(status: int) -> bool:
    """Whether what an HTTP status says may be over when one asks again."""
    return status in {408, 409, 425, 429} or status >= 500  # noqa: PLR2004 - the server's own trouble


class ModelTimeoutError(ModelCallError, TimeoutError):
    """A model did not answer in time."""
