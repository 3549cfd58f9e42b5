"""What a step that runs knows and may do: say something, count what it used, notice that it is to stop."""

from __future__ import annotations

from collections.abc import Callable
from contextvars import ContextVar
from typing import Any, Protocol

from execlog.core.errors import ExeclogError
from execlog.core.pricing import CallUsage
from execlog.recorder.told import Told
from execlog.runner.stop import Stop


class StepStoppedError(ExeclogError):
    """The step is not wanted any more: it was cancelled, or took longer than it may."""

    retry = False
    called = "Stopped"


class BudgetExceededError(ExeclogError):
    """What may be spent is spent; the call was not made."""

    retry = False
    called = "BudgetExceeded"


class Host(Protocol):
    """The execution a step belongs to."""

    id: Any
    project_id: Any
    told: Told

    def log(self, message: str, level: str = "info", *, item: str | None = None) -> None:
        """Record a line of text."""
        ...

    def spend(
        self,
        step_id: str | None,
        model: str,
        usage: CallUsage | None,
        *,
        answered_by: str | None = None,
        provider: str | None = None,
        base_url: str | None = None,
    ) -> None:
        """Count what a model call used, and what it cost where that is known."""
        ...

    def check_budget(self, model: str, *, provider: str | None = None, base_url: str | None = None) -> None:
        """Nothing while there is something left to spend; raises BudgetExceededError."""
        ...


class StepContext:
    """One try of one step. `current_step()` gives it to the code that the step runs, in its own thread or task."""

    def __init__(self, host: Host, step_id: str, attempt: int, values: dict[str, Any]) -> None:
        self.id = step_id
        self.attempt = attempt
        self.input = values
        self.stop = Stop()
        self.facts: dict[str, Any] = {}
        self._host = host

    @property
    def execution_id(self) -> str:
        """The execution this step belongs to."""
        return self._host.id

    @property
    def project_id(self) -> str:
        """Its project."""
        return self._host.project_id

    def log(self, message: str, level: str = "info") -> None:
        """Record a line of text with the step."""
        self._host.log(message, level, item=self.id)

    def usage(
        self,
        model: str,
        *,
        input: int | None = 0,
        output: int | None = 0,
        cached: int | None = 0,
        reasoning: int | None = 0,
        provider: str | None = None,
    ) -> None:
        """Count what a model call of your own used; with `provider`, its cost comes from the price table.

        `cached` is part of `input`, `reasoning` of `output`. Never raises: what is no count of tokens is 0.
        """
        tokens = self._host.told.tokens
        used = CallUsage(input=tokens(input), output=tokens(output), cached=tokens(cached), reasoning=tokens(reasoning))
        self._host.spend(self.id, self._host.told.text(model), used, provider=provider)

    def spent(
        self,
        model: str,
        usage: CallUsage | None,
        *,
        answered_by: str | None,
        provider: str | None,
        base_url: str | None,
    ) -> None:
        """Count what a call to an endpoint used."""
        self._host.spend(self.id, model, usage, answered_by=answered_by, provider=provider, base_url=base_url)

    def check_budget(self, model: str = "", *, provider: str | None = None, base_url: str | None = None) -> None:
        """Nothing while there is something left to spend; raises BudgetExceededError. Ask before a call of your own."""
        self._host.check_budget(model, provider=provider, base_url=base_url)

    def check(self) -> None:
        """Nothing while the step is wanted; raises StepStoppedError once it is not. Long functions should ask."""
        if self.stop.is_set():
            raise StepStoppedError(self.stop.reason)

    def pause(self, seconds: float) -> None:
        """Sleep; raises StepStoppedError, at once, when the step is not wanted any more."""
        self.stop.wait(seconds)
        self.check()

    def on_stop(self, callback: Callable[[], None]) -> Callable[[], None]:
        """Have this called when the step is not wanted any more; returns what takes the wish back."""
        return self.stop.on_set(callback)


_current: ContextVar[StepContext | None] = ContextVar("execlog_workflow_step", default=None)


def current_step() -> StepContext:
    """The step whose code this is. Raises LookupError outside of any."""
    step = _current.get()
    if step is None:
        raise LookupError("this code does not run as a step of a workflow")
    return step


def current_step_id() -> str | None:
    """The id of the step whose code this is, None outside of any."""
    step = _current.get()
    return None if step is None else step.id


def enter(context: StepContext) -> None:
    """Make this the current step of the calling thread's context, which nobody else must share."""
    from execlog.runner.stop import current

    _current.set(context)
    current.set(context.stop)
