"""`ExecutionEngine`: runs workflows and saves what happens by itself."""

from __future__ import annotations

import asyncio
import contextlib
import random
import threading
from collections.abc import Callable, Mapping
from typing import Any, TypedDict, Unpack, cast

import msgspec
from msgspec import Struct

from execlog.core.errors import ConflictError, InvalidError, NotFoundError, StoreError
from execlog.core.filter import Filter
from execlog.core.model import OPEN, Event, Execution, Status
from execlog.core.pricing import PriceTable, installed_prices
from execlog.core.redact import Redactor
from execlog.kinds.workflows.budget import ProjectBudget, Purse, Unsaved, limits_of, project_spent
from execlog.kinds.workflows.coordination import Coordination
from execlog.kinds.workflows.definition import AnyStep, Limits, Workflow
from execlog.kinds.workflows.document import workflow_of
from execlog.kinds.workflows.flow import Flow
from execlog.kinds.workflows.graph import Graph, graph_of
from execlog.kinds.workflows.models.endpoint import Endpoint
from execlog.kinds.workflows.performing import Function, Performer
from execlog.kinds.workflows.record import WorkflowExecution
from execlog.kinds.workflows.recording import SilentRecorder
from execlog.kinds.workflows.reuse import UNRECORDED, Keeping, digest_of, reusable_steps
from execlog.kinds.workflows.running import Prepared, RunningExecution, prepared_in
from execlog.kinds.workflows.service import ExecutionHistoryService
from execlog.kinds.workflows.tracing import WorkflowRun, waiting
from execlog.kinds.workflows.words import KIND, WORDS, check_execution, check_project
from execlog.ledger import Ledger
from execlog.recorder.context import surroundings
from execlog.recorder.recorder import Recorder
from execlog.recorder.run import current_run
from execlog.store.base import Store

AnyWorkflow = Workflow | Flow | Mapping[str, Any]
DEFAULT_PROJECT = "default"


class Wishes(TypedDict, total=False):
    """What may be said about one execution; see `ExecutionEngine.start`."""

    save_history: bool
    triggered_by: str | None
    budget: Limits | Mapping[str, Any] | None
    metadata: dict[str, Any] | None
    tags: dict[str, str] | None


class Options(Wishes, total=False):
    """What may be said about a new execution."""

    project_id: str
    execution_id: str | None


class Order(Struct, frozen=True, kw_only=True):
    """What was said about one execution, with the defaults."""

    project_id: str = DEFAULT_PROJECT
    execution_id: str | None = None
    save_history: bool = True
    triggered_by: str | None = None
    budget: Limits | Mapping[str, Any] | None = None
    metadata: dict[str, Any] | None = None
    tags: dict[str, str] | None = None


class ExecutionEngine:
    """Runs workflows, side by side where their graph allows, and saves each on start, per step, and at its end.

    history           where executions are saved: a service, a ledger or a store; None saves nothing
    endpoints         by name, where models are asked; a step that names none asks "default"
    tools, functions  by name, what tool and Python steps may call
    prices            what model calls cost; by default genai-prices, where the extra `prices` is installed
    project_budgets   by project id, what its executions may spend together, as far as the history has them: what is
                      deleted counts no more; what this engine runs without saving counts while this process lives

    Recording never fails a workflow: with the store down it goes on, and a ledger saves it later. Thread-safe.
    """

    def __init__(
        self,
        history: ExecutionHistoryService | Ledger | Store | None = None,
        *,
        endpoints: Mapping[str, Endpoint] | None = None,
        tools: Mapping[str, Function] | None = None,
        functions: Mapping[str, Function] | None = None,
        prices: PriceTable | None = None,
        project_budgets: Mapping[str, ProjectBudget] | None = None,
        jitter: Callable[[], float] = random.random,
    ) -> None:
        if history is not None and not isinstance(history, ExecutionHistoryService):
            history = ExecutionHistoryService(history)
        self.history = history
        self._endpoints = dict(endpoints or {})
        self._tools = dict(tools or {})
        self._functions = dict(functions or {})
        self._prices = prices or installed_prices()
        self._budgets = dict(project_budgets or {})
        self._jitter = jitter
        if self._budgets and history is None:
            raise InvalidError(
                "a project's budget needs a history, which adds up what was spent", field="project_budgets"
            )
        self._unsaved = Unsaved()
        self._silent = SilentRecorder()
        self._running: dict[tuple[str, str], Coordination] = {}
        self._claimed: set[tuple[str, str]] = set()
        self._lock = threading.Lock()

    def run(self, workflow: AnyWorkflow, input: Any = None, **options: Unpack[Options]) -> WorkflowExecution:
        """The execution, once it is over: its status says how it ended, its `error` why. `start` has the options.

        Raises InvalidError, before anything runs, for a workflow that cannot run.
        """
        return self._prepare(workflow, input, Order(**options)).execute()

    async def arun(self, workflow: AnyWorkflow, input: Any = None, **options: Unpack[Options]) -> WorkflowExecution:
        """As `run`, without blocking the event loop; async functions of the workflow run in this loop."""
        loop = asyncio.get_running_loop()
        preparing = asyncio.to_thread(self._prepare, workflow, input, Order(**options), loop=loop)
        return await RunningExecution(await prepared_in(preparing)).finished()

    def start(self, workflow: AnyWorkflow, input: Any = None, **options: Unpack[Options]) -> RunningExecution:
        """The execution, begun in a thread of its own.

        project_id      its project, "default" where none is said
        execution_id    an id of your own, new in its project
        save_history    False keeps this execution out of the history
        triggered_by    who or what wanted it
        budget          `Limits` of this execution, instead of the workflow's
        metadata, tags  free for you

        Raises InvalidError for a workflow or a budget that cannot be, ConflictError for an id that is taken.
        """
        return RunningExecution(self._prepare(workflow, input, Order(**options)))

    def resume(
        self,
        project_id: str,
        execution_id: str,
        workflow: AnyWorkflow | None = None,
        input: Any = None,
        **wishes: Unpack[Wishes],
    ) -> WorkflowExecution:
        """A new execution that does what a failed one left undone; completed steps are taken over with their outputs.

        It is linked by `retryOf` and `rootId`. Without a workflow and an input, the recorded ones are used. A step runs
        again where its definition changed, where its output could not be recorded as it was, and after any such step.
        Raises NotFoundError, ConflictError for an execution that runs, is being resumed or completed, InvalidError
        where what was recorded is not whole (redacted, or too long), or where the input is another one: give it again.
        """
        return self._prepare_again(execution_id, workflow, input, Order(project_id=project_id, **wishes)).execute()

    async def aresume(
        self,
        project_id: str,
        execution_id: str,
        workflow: AnyWorkflow | None = None,
        input: Any = None,
        **wishes: Unpack[Wishes],
    ) -> WorkflowExecution:
        """As `resume`, without blocking the event loop; async functions of the workflow run in this loop."""
        order, loop = Order(project_id=project_id, **wishes), asyncio.get_running_loop()
        preparing = asyncio.to_thread(self._prepare_again, execution_id, workflow, input, order, loop=loop)
        return await RunningExecution(await prepared_in(preparing)).finished()

    def cancel(self, execution_id: str, reason: str = "cancelled", *, project_id: str = DEFAULT_PROJECT) -> bool:
        """Whether an execution of this engine ran, and was asked to end."""
        coordination = self._running.get((project_id, execution_id))
        if coordination is not None:
            coordination.cancel(reason)
        return coordination is not None

    def check(self, workflow: AnyWorkflow) -> Graph:
        """The graph of a workflow that can run here. Raises InvalidError naming the step where it cannot."""
        return self._ready(workflow, None)[0]

    def _resumable(self, project_id: str, execution_id: str) -> Execution:
        if self.history is None:
            raise NotFoundError("without a history there is nothing to resume")
        store = self.history.reader(everything=True)  # whoever of this process ran it
        self.history.end_dead()
        before = self.history.find(project_id, execution_id)
        if before is None:
            raise NotFoundError(f"project {project_id!r} has no execution {execution_id!r}")
        if before.status in OPEN or before.status is Status.SUCCEEDED:
            raise ConflictError(f"execution {execution_id!r} is {WORDS[before.status]}: there is nothing to resume")
        going = Filter(kind=KIND, namespace=project_id, root_id=before.root_id or before.id, statuses=tuple(OPEN))
        for other in store.find(going, limit=1).entries:
            raise ConflictError(f"execution {execution_id!r} is being resumed already, by {other.id!r}")
        return before

    def _prepare_again(
        self,
        execution_id: str,
        workflow: AnyWorkflow | None,
        given: Any,
        order: Order,
        *,
        loop: asyncio.AbstractEventLoop | None = None,
    ) -> Prepared:
        before = self._resumable(order.project_id, execution_id)
        end = self._claim(before)
        try:
            if workflow is None:
                workflow = workflow_of(_recorded(before, "workflow", (before.params or {}).get("workflow")))
            if given is None:
                given = _recorded(before, "input", before.input)
            prepared = self._prepare(workflow, given, order, before=before, loop=loop)
        except BaseException:
            end()
            raise
        prepared.at_end.append(end)
        return prepared

    def _claim(self, before: Execution) -> Callable[[], None]:
        """Have this execution, and those it is a resumption of, for oneself until what comes back is called.

        The history knows a resumption only once it began: of two at the same moment it would let both.
        """
        claimed = before.namespace, before.root_id or before.id
        with self._lock:
            if claimed in self._claimed:
                raise ConflictError(f"execution {before.id!r} is being resumed already")
            self._claimed.add(claimed)
        return lambda: self._claimed.discard(claimed)

    def _prepare(
        self,
        workflow: AnyWorkflow,
        given: Any,
        order: Order,
        *,
        before: Execution | None = None,
        loop: asyncio.AbstractEventLoop | None = None,
    ) -> Prepared:
        graph, performer = self._ready(workflow, loop)
        limits = graph.workflow.budget if order.budget is None else limits_of(order.budget)
        values = values_of(graph.workflow, given)
        if before is not None:
            _check_input(before, values)
        recorder = self._recorder(save=order.save_history)
        if recorder is not self._silent:
            self._check_new(order)
        keeping = Keeping(Redactor(recorder.settings.redact))
        run = WorkflowRun(recorder, _event(graph, values, order, recorder, keeping, before), self._prices)
        run.purses = self._purses(run, limits)
        coordination = Coordination(graph, run, values, performer.perform, keeping)
        if before is not None:
            coordination.reuse = reusable_steps(graph, before)
        prepared = Prepared(run, coordination, self._running)
        if recorder is self._silent and run.project_id in self._budgets:
            prepared.at_end.append(self._unsaved.begin(run.project_id, run.stamp(), lambda: run.spent))
        return prepared

    def _ready(self, workflow: AnyWorkflow, loop: asyncio.AbstractEventLoop | None) -> tuple[Graph, Performer]:
        """What is to run, and who performs it. Raises InvalidError where something that it needs is not there."""
        functions = self._functions
        if isinstance(workflow, Flow):
            functions, workflow = functions | workflow.functions, workflow.workflow
        graph = graph_of(workflow if isinstance(workflow, Workflow) else workflow_of(workflow))
        performer = Performer(functions, self._tools, self._endpoints, loop, self._jitter)
        performer.check(graph)
        return graph, performer

    def _check_new(self, order: Order) -> None:
        """Nothing, when the id somebody chose is free. Raises ConflictError."""
        if order.execution_id is None or self.history is None:
            return
        project, id_ = check_project(order.project_id), check_execution(order.execution_id)
        with contextlib.suppress(StoreError):  # a store that is down keeps nobody from running
            # Asked at once, too: the one that is down says so, and is not waited for until it has our records.
            found = self.history.store.get(id_, kind=KIND, namespace=project)
            if found or self.history.reader(everything=True).get(id_, kind=KIND, namespace=project):
                raise ConflictError(f"project {order.project_id!r} has an execution {order.execution_id!r} already")

    def _recorder(self, *, save: bool) -> Recorder:
        if self.history is None or not save:
            return self._silent
        self.history.mark_written()
        return self.history.recorder

    def _purses(self, run: WorkflowRun, limits: Limits | None) -> list[Purse]:
        purses = [Purse(limits, lambda: run.spent, "this execution")] if limits is not None else []
        budget, history = self._budgets.get(run.project_id), self.history
        if budget is not None and history is not None:
            purses.append(
                Purse(
                    budget.limits,
                    lambda: (
                        project_spent(history, run.project_id, budget.per, run.stamp())
                        + self._unsaved.since(run.project_id, budget.per, run.stamp())
                    ),
                    f"project {run.project_id!r} ({budget.per})",
                )
            )
        return purses


def values_of(workflow: Workflow, given: Any) -> Any:
    """The input an execution runs with: the workflow's own values, and over them what is given."""
    if given is None:
        return dict(workflow.input)
    if isinstance(given, Mapping):
        return workflow.input | dict(cast("Mapping[str, Any]", given))
    return given


def _event(
    graph: Graph, values: Any, order: Order, recorder: Recorder, keeping: Keeping, before: Execution | None
) -> Event:
    """What is said at the start."""
    workflow, parent = graph.workflow, current_run()
    written = msgspec.json.decode(msgspec.json.encode(workflow))  # as it will be read: lists, no tuples
    at = recorder.stamp()
    return recorder.compose(
        {
            "id": check_execution(order.execution_id) if order.execution_id is not None else recorder.new_id(),
            "kind": KIND,
            "namespace": check_project(order.project_id),
            "at": at,
            "name": workflow.name,
            "subject": workflow.key,
            "actor": order.triggered_by,
            "total": len(graph.steps),
            "items": waiting(list(graph.steps), [_facts(step) for step in graph.steps.values()], at),
            "input": keeping.plain(values),
            "params": {"workflow": written},
            "metadata": order.metadata,
            "tags": order.tags,
            "parent_id": parent.id if parent is not None else None,
            "retry_of": before.id if before is not None else None,
            "root_id": (before.root_id or before.id) if before is not None else None,
            "context": (surroundings() if recorder.settings.capture_context else {})
            | {"workflow": keeping.digest(written), "input": keeping.digest(values)},
        }
    )


def _facts(step: AnyStep) -> dict[str, Any]:
    """What a step's record says of it from the start."""
    kind = msgspec.to_builtins(step)["type"]
    return {"type": kind, "digest": digest_of(step)} | ({"name": step.name} if step.name else {})


def _recorded(before: Execution, what: str, value: Any) -> Any:
    """What was recorded of an execution, if it is what it ran with. Raises InvalidError."""
    said = (before.context or {}).get(what)
    if said is None or said == digest_of(value):
        return value
    raise InvalidError(
        f"the {what} of execution {before.id!r} was not recorded as it was (secrets are redacted, long values cut): "
        f"give the {what} it ran with",
        field=what,
    )


def _check_input(before: Execution, values: Any) -> None:
    """Nothing, when an execution runs with what the one before ran with. Raises InvalidError."""
    said = (before.context or {}).get("input", UNRECORDED).removeprefix(f"{UNRECORDED}:")
    if said not in {UNRECORDED, digest_of(values)}:
        raise InvalidError(f"execution {before.id!r} ran with another input: start a new one", field="input")
