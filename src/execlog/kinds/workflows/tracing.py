"""`WorkflowRun`: one execution of a workflow while it happens; it records, and counts tokens and cost."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Sequence
from typing import Any, Self

from msgspec.structs import replace

from execlog.core.clock import moment
from execlog.core.fold import begin
from execlog.core.model import Event, Execution, Item, LogLine, Status, Usage
from execlog.core.pricing import NOT_KNOWN, CallUsage, Price, PriceTable
from execlog.kinds.workflows.budget import Purse, Spent
from execlog.kinds.workflows.service import add
from execlog.kinds.workflows.steps.context import current_step_id
from execlog.recorder.recorder import Recorder
from execlog.recorder.run import Run

LINES_KEPT = 10_000


class WorkflowRun(Run):
    """A run whose items are steps.

    `execlog.current_run()` gives it to the code of the steps; tokens that such code reports with `usage` count for its
    step. Unlike a plain run it keeps its items whole: a workflow has a thousand steps at most. Thread-safe.
    """

    def __init__(self, recorder: Recorder, event: Event, prices: PriceTable) -> None:
        super().__init__(recorder, event)
        self.project_id = event.namespace
        self.purses: list[Purse] = []
        self._prices = prices
        self._steps: dict[str, Item] = {item.key: item for item in event.items}
        self._step_usage: dict[str, Usage] = {}
        self._log_lines: deque[LogLine] = deque(maxlen=LINES_KEPT)
        self._steps_lock = threading.RLock()

    def begin(self) -> Self:
        """Record that it runs, with all its steps waiting."""
        super().begin()
        # They were said; the outcome need not say them again.
        self._event = replace(self._event, items=())
        return self

    def _add_usage(self, model: str, usage: Usage) -> None:
        """Add what a model call used; it counts for the step whose code this is."""
        used = CallUsage(input=usage.input, output=usage.output, cached=usage.cached, reasoning=usage.reasoning)
        if usage.cost_nano is None:
            price = self._price(model, used, provider=None, base_url=None)
        else:
            price = Price(usage.cost_nano, usage.prices or NOT_KNOWN)
        self._count(current_step_id(), model, used, price)

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
        """Add what a model call used, priced by the model that answered, else by the one that was asked."""
        price = None
        if usage is not None:
            names = dict.fromkeys((answered_by or model, model))
            found = (self._price(name, usage, provider=provider, base_url=base_url) for name in names)
            price = next((one for one in found if one is not None), None)
        self._count(step_id, model, usage or CallUsage(), price)

    def check_budget(self, model: str, *, provider: str | None = None, base_url: str | None = None) -> None:
        """Nothing while every budget has something left; raises BudgetExceededError."""
        if not self.purses:
            return
        priced = self._price(model, CallUsage(input=1, output=1), provider=provider, base_url=base_url) is not None
        for purse in self.purses:
            purse.check(model, priced=priced)

    @property
    def spent(self) -> Spent:
        """What it spent so far."""
        with self._lock:
            calls = list(self._usage.values())
        return Spent(sum(call.cost_nano or 0 for call in calls), sum(call.input + call.output for call in calls))

    def say_step(self, step_id: str, **fields: Any) -> None:
        """Record how a step stands: the fields that are given change, and `data` is added to."""
        with self._steps_lock:
            old = self._steps[step_id]
            if "data" in fields:
                fields["data"] = (old.data or {}) | fields["data"]
            self.say_item(replace(old, **fields), old.position)

    def stamp(self) -> int:
        """Now in UTC µs, later than any stamp before."""
        return self._recorder.stamp()

    def step(self, step_id: str) -> Item:
        """How a step stands."""
        return self._steps[step_id]

    def execution(self) -> Execution:
        """The execution as it stands, whole, as the history has it."""
        items: Sequence[Item] = tuple(self._steps.values())
        return begin(replace(self._event, items=items, logs=tuple(self._log_lines), usage=self._usage or None))

    def _price(self, model: str, usage: CallUsage, *, provider: str | None, base_url: str | None) -> Price | None:
        at = moment(self._recorder.stamp())
        return self._prices.price(model, usage, provider=provider, base_url=base_url, at=at)

    def _count(self, step_id: str | None, model: str, usage: CallUsage, price: Price | None) -> None:
        cost, prices = (None, NOT_KNOWN) if price is None else (price.nano, price.prices)
        used = Usage(usage.input, usage.output, usage.cached, usage.reasoning, cost_nano=cost, prices=prices)
        super()._add_usage(model, used)
        if step_id not in self._steps:
            return
        used = Usage(usage.input, usage.output, cost_nano=cost)
        with self._steps_lock:
            summed = self._step_usage[step_id] = add(self._step_usage.get(step_id), used)
            sums: dict[str, Any] = {"tokens_input": summed.input, "tokens_output": summed.output}
            self.say_step(step_id, **sums, cost_nano=summed.cost_nano, data={"model": model})

    def _say(self, *, at: int | None = None, **fields: Any) -> None:
        """Record, and keep."""
        for item in fields.get("items", ()):
            self._steps[item.key] = item
        self._log_lines.extend(fields.get("logs", ()))
        super()._say(at=at, **fields)


def waiting(step_ids: Sequence[str], facts: Sequence[dict[str, Any]], at: int) -> tuple[Item, ...]:
    """The items of steps that did not begin yet, said at `at`."""
    return tuple(
        Item(key=step_id, at=at, status=Status.QUEUED, position=position, data=fact)
        for position, (step_id, fact) in enumerate(zip(step_ids, facts, strict=True))
    )
