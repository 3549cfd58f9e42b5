"""Executions that are ready to run, and such as run in a thread of their own."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Coroutine
from concurrent.futures import Future
from contextvars import copy_context
from typing import Any

from execlog.kinds.workflows.coordination import Coordination
from execlog.kinds.workflows.mapping import record_of
from execlog.kinds.workflows.record import WorkflowExecution
from execlog.kinds.workflows.tracing import WorkflowRun
from execlog.runner.stop import current

Register = dict[tuple[str, str], Coordination]


class Prepared:
    """An execution that can begin; while it runs, its engine's register has it.

    at_end    what is called once it is over, however it ended
    """

    def __init__(self, run: WorkflowRun, coordination: Coordination, register: Register) -> None:
        self.run = run
        self.coordination = coordination
        self.at_end: list[Callable[[], None]] = []
        self._register = register

    def execute(self) -> WorkflowExecution:
        """The execution, once it is over."""
        key = (self.run.project_id, self.run.id)
        self._register[key] = self.coordination
        # What runs inside a step, or a job's item, is not wanted any more when that is not.
        outer = current.get()
        if outer is not None:
            self.at_end.append(outer.on_set(lambda: self.coordination.cancel(outer.reason)))
        try:
            with self.run:
                self.coordination.execute()
        finally:
            self._register.pop(key, None)
            self.let_go()
        return record_of(self.run.execution())

    def let_go(self) -> None:
        """Be done with it, also where it never ran."""
        for call in self.at_end:
            call()


async def prepared_in(preparing: Coroutine[Any, Any, Prepared]) -> Prepared:
    """What is being prepared in a thread; where nobody waits for it any more, it is let go once it is there."""
    task = asyncio.create_task(preparing)
    try:
        return await asyncio.shield(task)
    except asyncio.CancelledError:
        task.add_done_callback(_let_go)
        raise


def _let_go(task: asyncio.Task[Prepared]) -> None:
    if not task.cancelled() and task.exception() is None:
        task.result().let_go()


class RunningExecution:
    """An execution that runs in a thread of its own, begun at once."""

    def __init__(self, prepared: Prepared) -> None:
        self.id = prepared.run.id
        self._coordination = prepared.coordination
        self._future: Future[WorkflowExecution] = Future()
        context = copy_context()
        name = f"execlog-workflow-{self.id[-12:]}"
        threading.Thread(target=context.run, args=(self._work, prepared), name=name, daemon=True).start()

    def cancel(self, reason: str = "cancelled") -> None:
        """Ask it to end: what runs is told to stop, nothing further begins."""
        self._coordination.cancel(reason)

    def done(self) -> bool:
        """Whether it is over."""
        return self._future.done()

    def wait(self, timeout: float | None = None) -> WorkflowExecution:
        """The execution, once it is over. Raises TimeoutError when it is not within `timeout` seconds."""
        return self._future.result(timeout)

    async def finished(self) -> WorkflowExecution:
        """The execution, once it is over; where the waiting is cancelled, so is the execution."""
        ending = asyncio.wrap_future(self._future)
        try:
            return await asyncio.shield(ending)
        except asyncio.CancelledError:
            self.cancel()
            await asyncio.wait([ending])
            raise

    def _work(self, prepared: Prepared) -> None:
        try:
            self._future.set_result(prepared.execute())
        except BaseException as error:  # noqa: BLE001 - whoever waits for it gets it
            self._future.set_exception(error)
