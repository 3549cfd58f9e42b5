"""What may be spent: by one execution, and by a project in a day, a month or at all."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Any, Literal, get_args

from msgspec import Struct

from execlog.core.clock import micros, moment
from execlog.core.codec import builtins, convert
from execlog.core.errors import InvalidError
from execlog.core.filter import Filter
from execlog.core.model import OPEN
from execlog.history.view import dollars, nano
from execlog.kinds.workflows.definition import Limits
from execlog.kinds.workflows.flow import written
from execlog.kinds.workflows.service import ExecutionHistoryService
from execlog.kinds.workflows.steps.context import BudgetExceededError
from execlog.kinds.workflows.words import KIND

Per = Literal["day", "month", "total"]


class Spent(Struct, frozen=True):
    """What is spent so far: 10⁻⁹ US dollars of the calls whose price is known, and tokens."""

    nano: int = 0
    tokens: int = 0

    def __add__(self, other: Spent) -> Spent:
        """Both together."""
        return Spent(self.nano + other.nano, self.tokens + other.tokens)


class ProjectBudget(Struct, frozen=True, kw_only=True):
    """What a project may spend per UTC day, per UTC month, or in total; an execution counts where it began.

    Raises InvalidError for another period, and for amounts that are none.
    """

    max_cost_usd: float | None = None
    max_tokens: int | None = None
    per: Per = "month"

    def __post_init__(self) -> None:
        limits_of(self.limits)
        if self.per not in get_args(Per):
            raise InvalidError(f"a budget is per {', '.join(get_args(Per))}, not {self.per!r:.40}", field="per")

    @property
    def limits(self) -> Limits:
        """The amounts."""
        return Limits(max_cost_usd=self.max_cost_usd, max_tokens=self.max_tokens)


def limits_of(given: Limits | Mapping[str, Any]) -> Limits:
    """The limits, as they are or as a workflow's budget is written. Raises InvalidError for what is none."""
    plain = written(given) if isinstance(given, Mapping) else builtins(given)
    try:
        return convert(plain, Limits)
    except InvalidError as error:
        raise InvalidError(f"budget: {error}", field="budget") from error


class Purse(Struct):
    """One budget: its limits, how to find out what is spent, and whose it is."""

    limits: Limits
    spent: Callable[[], Spent]
    whose: str

    def check(self, model: str, *, priced: bool) -> None:
        """Nothing while there is something left; raises BudgetExceededError. `priced`: the model's price is known."""
        limits = self.limits
        if limits.max_cost_usd is None and limits.max_tokens is None:
            return
        if limits.max_cost_usd is not None and model and not priced:
            limit = f"{limits.max_cost_usd:g} US dollars"
            raise BudgetExceededError(f"{self.whose} is limited to {limit}, and the price of {model!r} is not known")
        spent = self.spent()
        if limits.max_cost_usd is not None and spent.nano >= (nano(repr(limits.max_cost_usd)) or 0):
            raise BudgetExceededError(
                f"{self.whose} has spent {dollars(spent.nano)} of {limits.max_cost_usd:g} US dollars"
            )
        if limits.max_tokens is not None and spent.tokens >= limits.max_tokens:
            raise BudgetExceededError(f"{self.whose} has used {spent.tokens} of {limits.max_tokens} tokens")


class Unsaved:
    """What this process's executions spent that the history does not keep: of each project, when it began."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._spent: dict[str, dict[object, tuple[int, Callable[[], Spent]]]] = {}

    def begin(self, project_id: str, at: int, spent: Callable[[], Spent]) -> Callable[[], None]:
        """What is to be called when an execution that began at `at` has ended; until then `spent` is asked."""
        name, day = object(), _start("day", at) or 0
        with self._lock:
            self._spent.setdefault(project_id, {})[name] = at, spent

        def end() -> None:
            with self._lock:
                of_project = self._spent[project_id]
                _, last = of_project.pop(name)
                total = of_project[day][1]() + last() if day in of_project else last()
                of_project[day] = day, lambda: total

        return end

    def since(self, project_id: str, per: Per, now: int) -> Spent:
        """What they spent in the period that `now` is in."""
        start = _start(per, now) or 0
        with self._lock:
            asked = [spent for at, spent in self._spent.get(project_id, {}).values() if at >= start]
        return sum((spent() for spent in asked), Spent())


def project_spent(service: ExecutionHistoryService, project_id: str, per: Per, now: int) -> Spent:
    """What the project's executions of this period spent, from the history: ended ones and those that run.

    Raises StoreError where the history cannot be read.
    """
    store = service.reader(everything=True)
    wanted = Filter(kind=KIND, namespace=project_id, since=_start(per, now))
    still_open = Filter(kind=KIND, namespace=project_id, since=wanted.since, statuses=tuple(OPEN))
    # What runs is read first: what ends in between is counted twice rather than not at all.
    running = [(entry.cost_nano or 0, sum(entry.tokens)) for entry in service.scan(still_open)]
    (group,) = store.stats(wanted)
    ended = group.bucket
    return Spent(
        ended.cost_nano + sum(cost for cost, _ in running),
        ended.tokens_input + ended.tokens_output + sum(tokens for _, tokens in running),
    )


def _start(per: Per, now: int) -> int | None:
    if per == "total":
        return None
    today: datetime = moment(now).replace(hour=0, minute=0, second=0, microsecond=0)
    return micros(today if per == "day" else today.replace(day=1))
