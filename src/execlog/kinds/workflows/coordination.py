"""Running a workflow: one thread decides and records, each try of a step runs in a thread of its own.

The deciding thread waits for what the tries report, for the next time-out and the next retry, and for a cancellation.
A try that outlives its time-out or its cancellation is told to stop and then left alone: its result is not waited for.
"""

from __future__ import annotations

import queue
import threading
import time
from collections.abc import Callable, Mapping
from contextvars import copy_context
from typing import Any, Literal

from msgspec import Struct
from msgspec.structs import replace

from execlog.core.errors import ExeclogError, InvalidError
from execlog.core.model import Error, Status
from execlog.kinds.workflows.definition import AnyStep, LLMStep
from execlog.kinds.workflows.frontier import Frontier, Queue
from execlog.kinds.workflows.graph import Graph
from execlog.kinds.workflows.reuse import Keeping, Reuse
from execlog.kinds.workflows.steps.context import StepContext, enter
from execlog.kinds.workflows.template import holds, resolve
from execlog.kinds.workflows.tracing import WorkflowRun
from execlog.kinds.workflows.words import SKIPPED, WORDS
from execlog.recorder.fault import MAX_MESSAGE, error_of, status_of

Perform = Callable[[AnyStep, dict[str, Any], StepContext], Any]
Phase = Literal["waiting", "running", "resting", "completed", "failed", "skipped"]
_OVER = frozenset({"completed", "failed", "skipped"})
_HALTED = "the workflow failed before"
STOP_GRACE = 5.0
"""Seconds that cancelled steps have to end before they are left alone."""
CALL_GRACE = 1.0
"""Seconds that calls of models which took too long have to say what they used before the workflow is over."""


class State(Struct):
    """How a step stands while the workflow runs; times on the monotonic clock, `began` of its first try.

    fault    what ended its last try that failed
    """

    phase: Phase = "waiting"
    attempt: int = 0
    context: StepContext | None = None
    began: float = 0.0
    deadline: float | None = None
    again_at: float | None = None
    output: Any = None
    error: str | None = None
    fault: BaseException | None = None


class Report(Struct, frozen=True):
    """What a try reports: what it returned, or the exception that ended it."""

    step_id: str
    context: StepContext
    returned: Any = None
    fault: BaseException | None = None


class Coordination:
    """One execution of a graph, inside its run. Use it once."""

    def __init__(self, graph: Graph, run: WorkflowRun, values: Any, perform: Perform, keeping: Keeping) -> None:
        self.reuse: Mapping[str, Reuse] = {}
        self._graph = graph
        self._run = run
        self._values = values
        self._perform = perform
        self._keeping = keeping
        self._states = {step_id: State() for step_id in graph.order}
        self._frontier = Frontier(graph)
        self._ready = Queue(graph)
        self._busy: set[str] = set()
        self._resting: set[str] = set()
        self._left: set[StepContext] = set()  # calls of models that took too long, and say yet what they used
        self._reports: queue.SimpleQueue[Report | None] = queue.SimpleQueue()
        self._failure: tuple[Status, Error] | None = None
        self._partial = False
        self._cancelled: str | None = None
        self._deadline: float | None = None

    def cancel(self, reason: str) -> None:
        """Ask for the end; from any thread."""
        self._cancelled = self._cancelled or reason
        self._reports.put(None)

    def execute(self) -> None:
        """Run everything, and decide the run's outcome. Returns when it is over."""
        limit = self._graph.workflow.timeout
        self._deadline = None if limit is None else time.monotonic() + limit
        try:
            while not self._is_ended():
                self._begin_what_can()
                if not self._busy and not self._resting:
                    self._conclude()
                    return
                self._await()
        except BaseException as fault:
            self._end_all(f"interrupted by {type(fault).__name__}")
            raise
        finally:
            self._stop_what_runs("the workflow is over")

    def _is_ended(self) -> bool:
        """Whether it was cancelled or took too long; then everything is ended, and the outcome decided."""
        if self._cancelled is not None:
            self._end_all(self._cancelled)
            self._run.cancel(self._cancelled)
            return True
        if self._is_past(self._deadline):
            message = f"the workflow took longer than {self._graph.workflow.timeout:g} s"
            self._end_all(message)
            self._run.decide(Status.TIMED_OUT, Error("TimeoutError", message))
            return True
        return False

    def _begin_what_can(self) -> None:
        """Judge every step whose needs are over, and begin what may begin while there is room."""
        for step_id in list(self._resting):
            state = self._states[step_id]
            if state.fault is not None and self._is_halting(self._graph.steps[step_id]):
                self._fail(step_id, state.fault)
            elif self._is_past(state.again_at) and self._has_room():
                self._begin(step_id)
        while True:
            while (candidate := self._frontier.pop()) is not None:
                self._judge(candidate)
            if not self._ready or not self._has_room():
                return
            step_id = self._ready.pop()
            if self._is_halting(self._graph.steps[step_id]):
                self._skip(step_id, _HALTED, Status.QUEUED)
            else:
                self._begin(step_id)

    def _judge(self, step_id: str) -> None:
        """Decide about a step whose needs are over: skip it, take its outcome over, or let it begin."""
        step = self._graph.steps[step_id]
        why = self._objection(step)
        if why is not None:
            # Nothing is wrong with a step that was not called for; one that a failure kept from running is still open.
            self._skip(step_id, why, Status.QUEUED if self._failure is not None else Status.SUCCEEDED)
        elif step_id in self.reuse:
            self._take_over(step_id, self.reuse[step_id])
        elif self._applies(step):
            self._ready.push(step_id)

    def _objection(self, step: AnyStep) -> str | None:
        """Why a step whose needs are over never runs; None where it may."""
        if step.join == "always":
            return None
        if self._is_halting(step):
            return _HALTED
        states = {before: self._states[before] for before in self._graph.needs[step.id]}
        bad = [before for before, state in states.items() if not self._is_good(before, state)]
        if step.join == "any":
            return f"none of {', '.join(states)} completed" if states and len(bad) == len(states) else None
        return f"{bad[0]} {'was skipped' if states[bad[0]].phase == 'skipped' else 'failed'}" if bad else None

    def _is_halting(self, step: AnyStep) -> bool:
        """Whether a failure keeps this step from beginning."""
        return self._failure is not None and self._graph.workflow.on_failure == "stop" and step.join != "always"

    def _is_good(self, step_id: str, state: State) -> bool:
        """Whether what comes after may go on: it completed, or could be done without."""
        return state.phase == "completed" or (state.phase == "failed" and self._graph.steps[step_id].optional)

    def _applies(self, step: AnyStep) -> bool:
        """Whether its condition holds; where not, or where nobody can say, the step is over."""
        if step.when is None:
            return True
        try:
            if holds(step.when, self._names(step.id)):
                return True
        except InvalidError as error:
            self._fail(step.id, error)
            return False
        self._skip(step.id, f"its condition does not hold: {step.when}", Status.SUCCEEDED)
        return False

    def _begin(self, step_id: str) -> None:
        """Start a try of a step in a thread of its own."""
        step, state = self._graph.steps[step_id], self._states[step_id]
        state.attempt += 1
        at = self._run.stamp()
        try:
            values = resolve(step.templates(), self._names(step_id))
        except InvalidError as error:
            self._fail(step_id, error)
            return
        context = state.context = StepContext(self._run, step_id, state.attempt, values)
        self._set(step_id, "running")
        now = time.monotonic()
        state.again_at, state.began = None, state.began or now
        state.deadline = None if step.timeout is None else now + step.timeout
        started = at if state.attempt == 1 else self._run.step(step_id).started_at
        given = self._keeping.plain(values.get("input", values))
        self._run.say_step(step_id, status=Status.RUNNING, attempt=state.attempt, started_at=started, input=given)
        inside = copy_context()
        name = f"execlog-step-{step_id[:40]}"
        threading.Thread(target=inside.run, args=(self._try, step, values, context), name=name, daemon=True).start()

    def _try(self, step: AnyStep, values: dict[str, Any], context: StepContext) -> None:
        enter(context)
        try:
            returned = self._perform(step, values, context)
        except BaseException as fault:  # noqa: BLE001 - whatever ends a step is its outcome, SystemExit included
            self._reports.put(Report(step.id, context, fault=fault))
        else:
            self._reports.put(Report(step.id, context, returned))

    def _await(self) -> None:
        """Wait for a report or for the next moment something is due, and take in what happened."""
        due = [self._deadline, *(self._states[step_id].deadline for step_id in self._busy)]
        if self._has_room():  # without it, a step that rested enough waits for a report
            due += [self._states[step_id].again_at for step_id in self._resting]
        due = [when for when in due if when is not None]
        timeout = max(min(due) - time.monotonic(), 0.0) if due else None
        try:
            report = self._reports.get(timeout=timeout)
            if report is not None:
                self._take(report)
        except queue.Empty:
            pass
        for step_id in [one for one in self._busy if self._is_past(self._states[one].deadline)]:
            context = self._states[step_id].context
            if context is not None:
                message = f"it took longer than {self._graph.steps[step_id].timeout:g} s"
                context.stop.set(message)
                if isinstance(self._graph.steps[step_id], LLMStep):
                    self._left.add(context)
                self._failed(step_id, TimeoutError(message))

    def _take(self, report: Report) -> None:
        self._left.discard(report.context)
        state = self._states[report.step_id]
        if state.phase != "running" or state.context is not report.context:
            return  # a try that was given up long ago
        if report.fault is not None:
            self._failed(report.step_id, report.fault)
            return
        state.output = report.returned
        output, reusable = self._keeping.output(report.returned)
        self._end(report.step_id, Status.SUCCEEDED, output=output, data={"reusable": reusable})
        self._set(report.step_id, "completed")

    def _failed(self, step_id: str, fault: BaseException) -> None:
        """A try failed: rest before the next one, or fail the step."""
        step, state = self._graph.steps[step_id], self._states[step_id]
        state.deadline, state.fault = None, fault
        if state.attempt < step.retry.attempts and is_mendable(fault) and not self._is_halting(step):
            delay = min(step.retry.delay * step.retry.factor ** (state.attempt - 1), step.retry.max_delay)
            self._set(step_id, "resting")
            state.again_at = time.monotonic() + delay
            tries, why = f"try {state.attempt} of {step.retry.attempts}", explain(fault).message
            self._run.log(f"{tries} failed: {why}; again in {delay:g} s", "warning", item=step_id)
            return
        self._fail(step_id, fault)

    def _fail(self, step_id: str, fault: BaseException) -> None:
        """A step failed for good."""
        step, state = self._graph.steps[step_id], self._states[step_id]
        status, error = status_of(fault), explain(fault)
        state.error = error.message
        self._end(step_id, Status.FAILED if status is Status.CANCELLED else status, error=error)
        if step.optional:
            self._partial = True
        elif self._failure is None:
            outcome = Status.TIMED_OUT if status is Status.TIMED_OUT else Status.FAILED
            self._failure = outcome, Error(error.type, f"step {step_id!r}: {error.message}", error.frames)
        self._set(step_id, "failed")

    def _skip(self, step_id: str, why: str, status: Status) -> None:
        self._set(step_id, "skipped")
        self._run.say_step(step_id, status=status, data={SKIPPED: why})

    def _take_over(self, step_id: str, reuse: Reuse) -> None:
        state = self._states[step_id]
        state.output = reuse.output
        self._set(step_id, "completed")
        data = {"reusedFrom": reuse.execution_id, "reusable": True}
        self._run.say_step(step_id, status=Status.SUCCEEDED, output=reuse.output, input=reuse.input, data=data)

    def _end(self, step_id: str, status: Status, **fields: Any) -> None:
        """Record a step's outcome, with its times where it ran."""
        state, started = self._states[step_id], self._run.step(step_id).started_at
        if started is not None:
            seconds = time.monotonic() - state.began if state.began else 0.0
            fields |= {"ended_at": max(self._run.stamp(), started), "duration": seconds}
        facts = state.context.facts if state.context is not None else {}
        self._run.say_step(step_id, status=status, **(fields | {"data": {**facts, **fields.get("data", {})}}))

    def _end_all(self, why: str) -> None:
        """End every step that runs or rests, and wait a little for those that can stop."""
        running = self._stop_what_runs(why)
        self._settle(running | self._left, STOP_GRACE)
        for step_id in (*self._busy, *self._resting):
            self._end(step_id, Status.CANCELLED, error=Error("Cancelled", why))
            self._set(step_id, "failed")

    def _settle(self, waiting: set[StepContext], seconds: float) -> None:
        """Wait at most so long for the reports of these tries, which were told to stop."""
        deadline = time.monotonic() + seconds
        while waiting and not self._is_past(deadline):
            try:
                report = self._reports.get(timeout=max(deadline - time.monotonic(), 0.001))
            except queue.Empty:
                continue
            if report is not None:
                waiting.discard(report.context)
                if report.fault is None:
                    self._take(report)

    def _stop_what_runs(self, why: str) -> set[StepContext]:
        """The tries that run, each told to stop."""
        running = {context for step_id in self._busy if (context := self._states[step_id].context) is not None}
        for context in running:
            context.stop.set(why)
        return running

    def _conclude(self) -> None:
        self._settle(self._left, CALL_GRACE)
        try:
            self._run.output = self._output()
        except InvalidError as error:
            if self._failure is None:
                self._failure = Status.FAILED, Error("InvalidError", f"output: {error}")
        if self._failure is not None:
            self._run.decide(*self._failure)
        else:
            self._run.decide(Status.PARTIAL if self._partial else Status.SUCCEEDED)

    def _output(self) -> Any:
        """What the workflow says its output is; else the leaves' outputs, the only one's by itself."""
        if self._graph.workflow.output is not None:
            return None if self._failure else resolve(self._graph.workflow.output, self._names())
        done = {step_id: self._states[step_id] for step_id in self._graph.leaves}
        outputs = {step_id: state.output for step_id, state in done.items() if state.phase == "completed"}
        if len(self._graph.leaves) == 1:
            return next(iter(outputs.values()), None)
        return outputs or None

    def _names(self, step_id: str | None = None) -> dict[str, Any]:
        """What a step's templates may speak of: the steps it needs; for the workflow's output, all of them."""
        seen = self._graph.order if step_id is None else self._graph.needs[step_id]
        own = {"id": self._run.id, "projectId": self._run.project_id}
        return {"input": self._values, "steps": {name: self._shown(name) for name in seen}, "execution": own}

    def _shown(self, step_id: str) -> dict[str, Any]:
        state = self._states[step_id]
        word = SKIPPED if state.phase == "skipped" else WORDS[self._run.step(step_id).status]
        return {"output": state.output, "error": state.error, "status": word}

    def _has_room(self) -> bool:
        return len(self._busy) < self._graph.workflow.max_parallel

    def _set(self, step_id: str, phase: Phase) -> None:
        """Note the phase a step is in now."""
        state = self._states[step_id]
        state.phase = phase
        for group, of in ((self._busy, "running"), (self._resting, "resting")):
            if phase == of:
                group.add(step_id)
            else:
                group.discard(step_id)
        if phase in _OVER:
            state.deadline = state.again_at = None
            self._frontier.over(step_id)

    @staticmethod
    def _is_past(deadline: float | None) -> bool:
        return deadline is not None and time.monotonic() >= deadline


def is_mendable(fault: BaseException) -> bool:
    """Whether trying again may help: not where what was asked for is wrong, or where somebody wants the end."""
    if isinstance(fault, InvalidError | KeyboardInterrupt | SystemExit):
        return False
    return bool(getattr(fault, "retry", True)) and status_of(fault) is not Status.CANCELLED


def explain(fault: BaseException) -> Error:
    """The error in a fault, one of ours by its short name and without what it came of, which its message says."""
    error = error_of(fault)
    if not isinstance(fault, ExeclogError):
        return error
    message = str(fault)[:MAX_MESSAGE] or error.message
    return replace(error, type=getattr(fault, "called", type(fault).__name__), message=message)
