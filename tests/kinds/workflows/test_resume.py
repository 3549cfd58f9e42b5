"""Resuming: what completed is taken over, what failed or never ran is done."""

from __future__ import annotations

import asyncio
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from execlog.core.errors import ConflictError, InvalidError, NotFoundError
from execlog.core.model import Status
from execlog.kinds.workflows import Endpoint, ExecutionEngine, Flow
from execlog.kinds.workflows.models.standin import Fault, StandIn
from servers import wait_until

ROOT = Path(__file__).parents[3]


class Counting:
    """Functions that count their calls; `broken` ones fail until they are mended."""

    def __init__(self):
        self.calls = []
        self.broken = set()

    def make(self, name, value=None):
        def step(given=None):
            self.calls.append(name)
            if name in self.broken:
                raise ConnectionError(f"{name} is broken")
            return value if given is None else given

        return step


@pytest.fixture
def counting():
    return Counting()


@pytest.fixture
def engine(ledger):
    return ExecutionEngine(ledger)


def chain(counting, value=5, **fields):
    flow = Flow("chain", id="chain", **fields)
    flow.python("load", counting.make("load", value))
    flow.python("work", counting.make("work"), input={"given": "{{ steps.load.output }}"})
    flow.python("save", counting.make("save"), input={"given": "{{ steps.work.output }}"})
    return flow


def statuses(execution):
    return {step.id: step.status for step in execution.steps}


def test_a_failed_execution_goes_on_from_its_failed_step(engine, counting):
    counting.broken = {"work"}
    flow = chain(counting)
    failed = engine.run(flow, {"x": 1}, project_id="p")
    assert statuses(failed) == {"load": "completed", "work": "failed", "save": "skipped"}
    counting.broken.clear()
    counting.calls.clear()
    done = engine.resume("p", failed.id, flow, triggered_by="bob")
    assert (done.status, done.output, done.input) == ("completed", 5, {"x": 1})
    assert counting.calls == ["work", "save"]
    assert (done.retry_of, done.root_id) == (failed.id, failed.id)
    assert done.step("load").data == {"reusedFrom": failed.id, "reusable": True}
    assert done.step("load").output == 5
    assert done.step("load").duration is None
    assert engine.history.get_execution("p", done.id).to_dict() == done.to_dict()


def test_a_chain_of_resumptions_keeps_its_root_and_where_outputs_come_from(engine, counting):
    counting.broken = {"work", "save"}
    flow = chain(counting)
    first = engine.run(flow, project_id="p")
    second = engine.resume("p", first.id, flow)
    counting.broken = {"save"}
    third = engine.resume("p", second.id, flow)
    counting.broken.clear()
    last = engine.resume("p", third.id, flow)
    assert [one.status for one in (second, third, last)] == ["failed", "failed", "completed"]
    assert (last.retry_of, last.root_id) == (third.id, first.id)
    assert last.step("load").data["reusedFrom"] == first.id
    assert last.step("work").data["reusedFrom"] == third.id
    assert counting.calls.count("load") == 1


def test_resumed_in_an_event_loop_async_functions_run_in_it(engine):
    loops = []

    async def work():
        loops.append(asyncio.get_running_loop())
        if len(loops) == 1:
            raise ConnectionError("gone")
        return "done"

    async def main():
        flow = Flow("w")
        flow.python("a", work)
        failed = await engine.arun(flow, project_id="p")
        done = await engine.aresume("p", failed.id, flow, triggered_by="bob")
        assert (failed.status, done.status, done.output, done.triggered_by) == ("failed", "completed", "done", "bob")
        assert (done.retry_of, loops) == (failed.id, [asyncio.get_running_loop()] * 2)
        with pytest.raises(ConflictError, match="is completed: there is nothing to resume"):
            await engine.aresume("p", done.id, flow)

    asyncio.run(main())


def test_tokens_are_paid_for_once(ledger):
    with StandIn() as model:
        engine = ExecutionEngine(ledger, endpoints={"default": Endpoint(base_url=model.url, retries=0)})
        flow = Flow("w")
        flow.llm("first", model="m", prompt="hello")
        flow.llm("second", model="m", prompt="{{ steps.first.output }}")
        model.faults.extend([None, Fault(status=500)])
        failed = engine.run(flow, project_id="p")
        assert (failed.status, failed.error_type) == ("failed", "ModelCallError")
        done = engine.resume("p", failed.id)
        assert done.status == "completed"
        assert len(model.asked) == 3
        assert done.step("first").token_usage is None
        total = engine.history.get_statistics("p").total_tokens
        assert total == failed.step("first").token_usage.total + done.step("second").token_usage.total


def test_a_document_is_resumed_from_its_record_alone(ledger, tmp_path):
    engine = ExecutionEngine(ledger)
    mark = tmp_path / "mark"
    steps = [
        {"id": "a", "type": "shell", "command": ["echo", "{{ input.word }}"]},
        {"id": "b", "type": "shell", "command": ["cat", str(mark)]},
        {"id": "c", "type": "shell", "command": ["echo", "{{ steps.a.output }} {{ steps.b.output }}"]},
    ]
    failed = engine.run({"name": "w", "steps": steps}, {"word": "hello"}, project_id="p")
    assert "No such file" in failed.error
    mark.write_text("world")
    done = ExecutionEngine(ledger).resume("p", failed.id)
    assert (done.status, done.output) == ("completed", "hello world")
    assert done.step("a").data["reusedFrom"] == failed.id


def test_what_changed_runs_again_and_all_that_comes_after(engine, counting):
    counting.broken = {"save"}
    failed = engine.run(chain(counting), project_id="p")
    counting.broken.clear()
    counting.calls.clear()
    changed = chain(counting)
    changed._steps[1] = changed._steps[1].__class__(
        id="work", function=changed._steps[1].function, input={"given": "{{ steps.load.output + 1 }}"}
    )
    done = engine.resume("p", failed.id, changed)
    assert (counting.calls, done.output) == (["work", "save"], 6)


@pytest.mark.parametrize(
    "value", [(1, 2), {3: 4}, {"password": "hunter2"}, "x" * 300_000, object(), float("nan"), 2**70]
)
def test_an_output_that_was_not_recorded_as_it_was_is_made_again(engine, counting, value):
    counting.broken = {"save"}
    flow = chain(counting, value)
    failed = engine.run(flow, project_id="p")
    assert failed.step("load").data["reusable"] is False
    counting.broken.clear()
    counting.calls.clear()
    done = engine.resume("p", failed.id, flow)
    assert done.status == "completed"
    assert counting.calls == ["load", "work", "save"]
    assert done.step("load").data["reusable"] is False


@pytest.mark.parametrize("value", [None, 0, 1.5, "الأسهم 价格", [1, [2.0, None, True]], {"a": {"b": []}}])
def test_an_output_that_was_recorded_as_it_was_is_not(engine, counting, value):
    counting.broken = {"save"}
    flow = chain(counting, value)
    failed = engine.run(flow, project_id="p")
    counting.broken.clear()
    counting.calls.clear()
    assert engine.resume("p", failed.id, flow).output == value
    assert counting.calls == ["save"]


def test_skipped_steps_are_asked_again_and_joins_hold(engine, counting):
    counting.broken = {"last"}
    flow = Flow("w")
    flow.python("a", counting.make("a", 1))
    flow.python("yes", counting.make("yes"), when="steps.a.output == 1")
    flow.python("no", counting.make("no"), when="steps.a.output == 2")
    flow.python("either", counting.make("either"), needs=["yes", "no"], join="any")
    flow.python("last", counting.make("last"), needs=["either"])
    failed = engine.run(flow, project_id="p")
    counting.broken.clear()
    counting.calls.clear()
    done = engine.resume("p", failed.id, flow)
    assert counting.calls == ["last"]
    assert statuses(done) == {
        "a": "completed",
        "yes": "completed",
        "no": "skipped",
        "either": "completed",
        "last": "completed",
    }


def test_an_execution_without_its_optional_step_can_be_completed(engine, counting):
    counting.broken = {"nice"}
    flow = Flow("w")
    flow.python("nice", counting.make("nice"), optional=True)
    flow.python("other", counting.make("other"))
    partial = engine.run(flow, project_id="p")
    counting.broken.clear()
    done = engine.resume("p", partial.id, flow)
    assert engine.history.find("p", done.id).status is Status.SUCCEEDED
    assert sorted(counting.calls) == ["nice", "nice", "other"]


def test_what_cannot_be_resumed(engine, counting):
    flow = chain(counting)
    done = engine.run(flow, project_id="p")
    with pytest.raises(ConflictError, match="nothing to resume"):
        engine.resume("p", done.id, flow)
    with pytest.raises(NotFoundError):
        engine.resume("p", "nobody", flow)
    with pytest.raises(NotFoundError):
        ExecutionEngine().resume("p", done.id, flow)
    engine.history.save_execution("p", {"id": "r", "status": "running"})
    with pytest.raises(ConflictError):
        engine.resume("p", "r", flow)


def test_of_several_resumptions_at_once_one_goes_on(engine, ledger):
    begun, go_on, calls = threading.Event(), threading.Event(), []

    def work():
        calls.append("work")
        if len(calls) == 1:
            raise ConnectionError
        begun.set()
        assert go_on.wait(20)

    flow = Flow("w")
    flow.python("work", work)
    failed = engine.run(flow, project_id="p")
    elsewhere = ExecutionEngine(ledger)
    with ThreadPoolExecutor(8) as pool:
        tries = [pool.submit(engine.resume, "p", failed.id, flow) for _ in range(7)]
        assert begun.wait(20)
        with pytest.raises(ConflictError, match="is being resumed already, by "):
            elsewhere.resume("p", failed.id, flow)
        wait_until(lambda: sum(one.done() for one in tries) == 6, 20, "the refusals")
        go_on.set()
    results = [one.exception() or one.result() for one in tries]
    assert sum(isinstance(one, ConflictError) for one in results) == 6
    assert len(calls) == 2
    with pytest.raises(ConflictError, match="nothing to resume"):
        engine.resume("p", next(one.id for one in results if not isinstance(one, ConflictError)), flow)
    assert engine.resume("p", failed.id, flow).status == "completed", "whoever wants it again may have it"


def test_what_keeps_a_resumption_from_beginning_does_not_keep_the_next(engine, counting):
    counting.broken = {"work"}
    flow = chain(counting)
    failed = engine.run(flow, {"a": 1}, project_id="p")
    counting.broken.clear()
    with pytest.raises(InvalidError, match="another input"):
        engine.resume("p", failed.id, flow, {"a": 2})
    assert engine.resume("p", failed.id, flow).status == "completed"


def test_a_resumption_that_is_given_up_before_it_began_does_not_keep_the_next(engine, counting, monkeypatch):
    counting.broken = {"work"}
    flow = chain(counting)
    failed = engine.run(flow, project_id="p")
    counting.broken.clear()
    asked, go_on, prepare = threading.Event(), threading.Event(), engine._prepare

    def slowly(*args, **fields):
        asked.set()
        assert go_on.wait(20)
        return prepare(*args, **fields)

    async def give_up():
        monkeypatch.setattr(engine, "_prepare", slowly)
        task = asyncio.create_task(engine.aresume("p", failed.id, flow))
        assert await asyncio.to_thread(asked.wait, 20)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        go_on.set()
        await asyncio.to_thread(wait_until, lambda: not engine._claimed, 10, "letting it go")
        monkeypatch.undo()
        return await engine.aresume("p", failed.id, flow)

    assert asyncio.run(asyncio.wait_for(give_up(), 20)).status == "completed"
    assert counting.calls.count("save") == 1


def test_a_workflow_or_an_input_that_was_redacted_must_be_given_again(engine, counting):
    document = {
        "name": "w",
        "steps": [{"id": "a", "type": "shell", "command": ["cat", "/none"], "env": {"PASSWORD": "hunter2"}}],
    }
    failed = engine.run(document, {"token": "t-1"}, project_id="p")
    with pytest.raises(InvalidError, match=r"the workflow of execution .* give the workflow"):
        engine.resume("p", failed.id)
    with pytest.raises(InvalidError, match="the input of execution"):
        engine.resume("p", failed.id, document)
    with pytest.raises(InvalidError, match="another input"):
        engine.resume("p", failed.id, document, {"token": "t-2"})
    assert engine.resume("p", failed.id, document, {"token": "t-1"}).status == "failed"


def test_an_input_of_tuples_must_be_given_again(engine, counting):
    counting.broken = {"load"}
    flow = chain(counting)
    failed = engine.run(flow, {"pair": (1, 2)}, project_id="p")
    with pytest.raises(InvalidError, match="the input of execution"):
        engine.resume("p", failed.id, flow)
    counting.broken.clear()
    assert engine.resume("p", failed.id, flow, {"pair": (1, 2)}).status == "completed"
