"""How steps and executions end early: tries, time-outs, cancellation, deletion."""

from __future__ import annotations

import asyncio
import threading
import time

import pytest

from execlog.core.model import Status
from execlog.kinds.workflows import (
    Flow,
    current_step,
)
from execlog.kinds.workflows.engine import Order
from execlog.runner.stop import Stop, current, is_cancelled
from servers import wait_until


def saved(engine, execution):
    return engine.history.get_execution(execution.project_id, execution.id)


def statuses(execution):
    return {step.id: step.status for step in execution.steps}


def give(value=None):
    return value


def boom(message="boom"):
    raise ValueError(message)


def test_tries_are_counted_and_each_rest_is_longer(engine):
    tries = []

    def third_time():
        tries.append(time.monotonic())
        if len(tries) < 3:
            boom(f"no {len(tries)}")
        return len(tries)

    flow = Flow("w")
    flow.python("a", third_time, retry={"attempts": 3, "delay": 0.05, "factor": 3})
    done = engine.run(flow)
    assert (done.status, done.output, done.step("a").attempt) == ("completed", 3, 3)
    assert tries[1] - tries[0] >= 0.05
    assert tries[2] - tries[1] >= 0.15
    assert [line.message for line in done.logs] == [
        "try 1 of 3 failed: no 1; again in 0.05 s",
        "try 2 of 3 failed: no 2; again in 0.15 s",
    ]
    flow = Flow("w")
    flow.python("a", boom, retry={"attempts": 2, "delay": 0})
    failed = engine.run(flow)
    assert (failed.status, failed.step("a").attempt) == ("failed", 2)


@pytest.mark.parametrize("on_failure", ["continue", "stop"])
def test_a_step_that_runs_whatever_happens_has_all_its_tries(engine, on_failure):
    def second_time():
        return "done" if current_step().attempt == 2 else boom()

    flow = Flow("w", on_failure=on_failure)
    flow.python("broken", boom)
    flow.python("tidy", second_time, retry={"attempts": 2, "delay": 0}, needs=["broken"], join="always")
    tidy = engine.run(flow).step("tidy")
    assert (tidy.status, tidy.attempt, tidy.output) == ("completed", 2, "done")


def test_a_branch_that_goes_on_after_a_failure_has_all_its_tries(engine):
    broken = threading.Event()

    def fail():
        broken.set()
        boom()

    def second_time():
        if current_step().attempt < 2:
            broken.wait(10)
            time.sleep(0.2)
            boom()

    flow = Flow("w", on_failure="continue")
    flow.python("broken", fail)
    flow.python("a", second_time, retry={"attempts": 2, "delay": 0})
    done = engine.run(flow)
    assert (done.step("a").status, done.step("a").attempt) == ("completed", 2)


def test_a_step_that_rests_is_not_tried_again_after_a_failure(engine):
    def fail_later():
        time.sleep(0.3)
        boom("later")

    flow = Flow("w")
    flow.python("broken", fail_later)
    flow.python("a", boom, input={"message": "at once"}, retry={"attempts": 2, "delay": 30})
    began = time.monotonic()
    done = engine.run(flow)
    assert time.monotonic() - began < 15
    a = done.step("a")
    assert (done.error, a.status, a.attempt, a.error) == ("step 'broken': later", "failed", 1, "at once")


def test_a_step_that_takes_too_long_is_told_to_stop(engine):
    stopped = threading.Event()

    def slow():
        while not is_cancelled():
            time.sleep(0.01)
        stopped.set()

    flow = Flow("w")
    flow.python("a", slow, timeout=0.1)
    began = time.monotonic()
    done = engine.run(flow)
    assert time.monotonic() - began < 5
    assert (done.status, done.error) == ("failed", "step 'a': it took longer than 0.1 s")
    assert engine.history.find("default", done.id).status is Status.TIMED_OUT
    assert stopped.wait(5)


def test_a_step_that_does_not_listen_is_left_alone(engine):
    gate = threading.Event()
    flow = Flow("w")
    flow.python("a", lambda: gate.wait(30), timeout=0.1, retry={"attempts": 2, "delay": 0})
    began = time.monotonic()
    done = engine.run(flow)
    assert time.monotonic() - began < 5
    assert (done.status, done.step("a").attempt) == ("failed", 2)
    gate.set()


def test_a_workflow_that_takes_too_long_ends(engine):
    flow = Flow("w", timeout=0.2)
    flow.python("quick", give, input={"value": 1})
    flow.shell("slow", ["sleep", "30"])
    began = time.monotonic()
    done = engine.run(flow)
    assert time.monotonic() - began < 10
    assert (done.status, done.error) == ("failed", "the workflow took longer than 0.2 s")
    assert statuses(done) == {"quick": "completed", "slow": "cancelled"}


@pytest.mark.parametrize("own_loop", [True, False])
def test_async_functions_time_out_and_are_cancelled(engine, own_loop):
    ended = threading.Event()

    async def forever():
        try:
            await asyncio.sleep(30)
        finally:
            ended.set()

    flow = Flow("w")
    flow.python("a", forever, timeout=0.1)
    done = engine.run(flow) if own_loop else asyncio.run(engine.arun(flow))
    assert done.error == "step 'a': it took longer than 0.1 s"
    assert ended.wait(5)


def test_cancelling_the_wait_cancels_the_execution(engine):
    async def main():
        flow = Flow("w")
        flow.shell("a", ["sleep", "30"])
        task = asyncio.create_task(engine.arun(flow, project_id="p"))
        async with asyncio.timeout(20):
            while not engine.history.list_executions("p").total:  # noqa: ASYNC110 - it runs in another thread
                await asyncio.sleep(0.01)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    asyncio.run(main())
    (found,) = engine.history.list_executions("p").executions
    assert (found.status, found.error) == ("cancelled", "cancelled")


def test_cancelling(engine):
    flow = Flow("w", max_parallel=2)
    flow.shell("slow", ["sleep", "30"])
    flow.python("again", boom, retry={"attempts": 5, "delay": 30})
    flow.python("never", give, needs=["slow"])
    running = engine.start(flow, project_id="p", execution_id="mine")
    deadline = time.monotonic() + 20
    while not engine.history.find("p", "mine") or not engine.history.find("p", "mine").logs:
        assert time.monotonic() < deadline
    assert not engine.cancel("mine")
    assert engine.cancel("mine", "lunch", project_id="p")
    done = running.wait(20)
    assert (done.status, done.error) == ("cancelled", "lunch")
    assert statuses(done) == {"slow": "cancelled", "again": "cancelled", "never": "skipped"}
    assert saved(engine, done).to_dict() == done.to_dict()
    assert not engine.cancel("mine", project_id="p")


def test_a_workflow_inside_a_job_ends_with_it(engine):
    flow = Flow("w")
    flow.python("a", lambda: stop.set("the job took longer than 5 s"))
    flow.python("b", give, needs=["a"])
    stop = Stop()
    token = current.set(stop)
    try:
        done = engine.run(flow)
    finally:
        current.reset(token)
    assert (done.status, done.error) == ("cancelled", "the job took longer than 5 s")
    assert stop._callbacks == []


def test_cancelled_before_it_began(engine):
    flow = Flow("w")
    flow.python("a", give)
    prepared = engine._prepare(flow, None, Order())
    prepared.coordination.cancel("no")
    done = prepared.execute()
    assert (done.status, statuses(done)) == ("cancelled", {"a": "skipped"})


@pytest.mark.parametrize("how", ["run", "start", "arun"])
def test_a_workflow_inside_a_step_ends_with_it(engine, how):
    begun = threading.Event()
    inner = Flow("inner")
    inner.python("a", lambda: (begun.set(), current_step().stop.wait(20)))
    inner.python("b", give, needs=["a"])

    async def later():
        return await engine.arun(inner)

    outer = Flow("outer", output="{{ steps.nest.status }}")
    ways = {"run": lambda: engine.run(inner), "start": lambda: engine.start(inner).wait(), "arun": later}
    outer.python("nest", ways[how])
    running = engine.start(outer)
    assert begun.wait(20)
    running.cancel("enough")
    assert running.wait(20).status == "cancelled"
    wait_until(lambda: not engine._running, 20, "the end of what ran inside")
    found = engine.history.list_executions("default").executions
    assert [(one.status, one.error in {"enough", "cancelled"}) for one in found] == [("cancelled", True)] * 2


def test_an_execution_deleted_while_it_runs_stays_deleted(engine):
    gate = threading.Event()
    flow = Flow("w")
    flow.python("a", lambda: gate.wait(20))
    running = engine.start(flow, project_id="p")
    deadline = time.monotonic() + 20
    while not engine.history.delete_execution("p", running.id):
        assert time.monotonic() < deadline
    gate.set()
    assert running.wait(20).status == "completed"
    assert engine.history.get_execution("p", running.id) is None
