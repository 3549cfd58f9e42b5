"""The engine: what it saves, the order it keeps to, conditions and joins."""

from __future__ import annotations

import threading
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from execlog.core.errors import ConflictError, InvalidError, StoreError
from execlog.core.filter import Filter
from execlog.core.model import Status
from execlog.kinds.workflows import (
    ExecutionEngine,
    Flow,
    current_step,
)
from execlog.store.memory import MemoryStore


def saved(engine, execution):
    return engine.history.get_execution(execution.project_id, execution.id)


def statuses(execution):
    return {step.id: step.status for step in execution.steps}


def give(value=None):
    return value


def boom(message="boom"):
    raise ValueError(message)


def test_what_comes_back_is_what_is_saved(engine):
    flow = Flow("sums", id="w-1", input={"numbers": [1, 2, 3]})
    flow.python("total", sum, input={"iterable": "{{ input.numbers }}"}, name="Add them")
    flow.shell("say", ["echo", "it is {{ steps.total.output }}"])
    done = engine.run(
        flow, {"numbers": [4, 5]}, project_id="p", triggered_by="alice", metadata={"a": 1}, tags={"t": "x"}
    )
    assert done.to_dict() == saved(engine, done).to_dict()
    assert (done.status, done.output, done.triggered_by) == ("completed", "it is 9", "alice")
    assert (done.workflow_id, done.name, done.input, done.metadata) == ("w-1", "sums", {"numbers": [4, 5]}, {"a": 1})
    assert statuses(done) == {"total": "completed", "say": "completed"}
    assert done.step("total").name == "Add them"
    assert done.step("total").input == {"iterable": [4, 5]}
    assert done.workflow["steps"][0]["function"] == "builtins:sum"
    assert done.cost_usd == 0
    assert engine.history.list_executions("p").executions[0].id == done.id
    assert engine.history.store.find(Filter(kind="workflow", tags={"t": "x"})).entries


def test_it_saves_at_the_start_and_step_by_step(engine):
    gate, seen = threading.Event(), []

    def wait():
        gate.wait(20)
        return current_step().execution_id

    flow = Flow("w")
    flow.python("first", give, input={"value": 1})
    flow.python("second", wait, needs=["first"])
    flow.python("third", give, needs=["second"])
    running = engine.start(flow, project_id="p")
    deadline = time.monotonic() + 20
    while not seen or seen[-1] != {"first": "completed", "second": "running", "third": "pending"}:
        assert time.monotonic() < deadline, seen
        found = engine.history.get_execution("p", running.id)
        if found is not None:
            seen.append(statuses(found))
            assert found.status == "running"
    assert not running.done()
    gate.set()
    done = running.wait(20)
    assert done.step("second").output == running.id
    assert saved(engine, done).status == "completed"


def test_save_history_can_be_switched_off(engine):
    flow = Flow("w")
    flow.python("a", give, input={"value": 5})
    done = engine.run(flow, project_id="p", save_history=False)
    assert (done.status, done.output) == ("completed", 5)
    assert engine.history.list_executions("p").total == 0
    assert ExecutionEngine().run(flow).output == 5


def test_a_failure_is_saved_with_its_error(engine):
    flow = Flow("w")
    flow.python("good", give, input={"value": 1})
    flow.python("bad", boom, needs=["good"])
    flow.python("after", give, needs=["bad"])
    done = engine.run(flow, project_id="p")
    found = saved(engine, done)
    assert (found.status, found.error, found.error_type) == ("failed", "step 'bad': boom", "ValueError")
    assert statuses(found) == {"good": "completed", "bad": "failed", "after": "skipped"}
    assert found.step("bad").error == "boom"
    assert found.step("after").data["skipped"] == "the workflow failed before"
    whole = engine.history.find("p", done.id)
    assert whole.error.frames[0].endswith(" boom")
    assert engine.history.get_statistics("p").failed == 1


def test_steps_run_side_by_side_where_the_graph_allows(engine):
    together = threading.Barrier(3, timeout=20)
    flow = Flow("w", max_parallel=3)
    for name in "abc":
        flow.python(name, together.wait)
    flow.python("last", give, needs=["a", "b", "c"])
    done = engine.run(flow)
    assert done.status == "completed", done.error


def test_no_more_run_at_once_than_allowed(engine):
    lock, now, most = threading.Lock(), [0], [0]

    def count():
        with lock:
            now[0] += 1
            most[0] = max(most[0], now[0])
        time.sleep(0.01)
        with lock:
            now[0] -= 1

    flow = Flow("w", max_parallel=2)
    for number in range(10):
        flow.python(f"s{number}", count)
    assert engine.run(flow).status == "completed"
    assert most[0] == 2


shapes = st.integers(1, 8).flatmap(
    lambda size: st.lists(st.sets(st.integers(0, 7), max_size=3), min_size=size, max_size=size)
)


@given(shapes, st.sets(st.integers(0, 7), max_size=2), st.integers(1, 4))
def test_laws_of_the_order(edges, failing, limit):
    """Every step begins after those it needs; one that completed had all it needs; none runs twice."""
    needs = {number: {before for before in wanted if before < number} for number, wanted in enumerate(edges)}
    happened = []

    def step(number):
        happened.append(("begin", number))
        if number in failing:
            boom()
        happened.append(("end", number))

    flow = Flow("w", max_parallel=limit, on_failure="continue")
    for number, wanted in needs.items():
        flow.python(f"s{number}", step, input={"number": number}, needs=[f"s{before}" for before in sorted(wanted)])
    done = ExecutionEngine().run(flow)
    begun = [number for what, number in happened if what == "begin"]
    assert len(begun) == len(set(begun))
    for number in begun:
        assert all(happened.index(("end", before)) < happened.index(("begin", number)) for before in needs[number])
    for number, wanted in needs.items():
        blocked = any(done.step(f"s{before}").status != "completed" for before in wanted)
        expected = "skipped" if blocked else "failed" if number in failing else "completed"
        assert done.step(f"s{number}").status == expected
    assert done.status == ("failed" if failing & set(begun) else "completed")


def test_conditions_and_joins(engine):
    flow = Flow("w", input={"mood": "good"})
    flow.python("ask", give, input={"value": "{{ input.mood }}"})
    flow.python("cheer", give, input={"value": "hurrah"}, when="steps.ask.output == 'good'")
    flow.python("console", give, input={"value": "alas"}, when="{{ steps.ask.output == 'bad' }}")
    flow.python("only_if_sad", give, needs=["console"])
    flow.python("either", give, input={"value": "{{ steps.cheer.output or steps.console.output }}"}, join="any")
    flow.python("neither", give, needs=["console", "only_if_sad"], join="any")
    done = engine.run(flow)
    assert (done.status, done.error) == ("completed", None)
    assert statuses(done) == {
        "ask": "completed",
        "cheer": "completed",
        "console": "skipped",
        "only_if_sad": "skipped",
        "either": "completed",
        "neither": "skipped",
    }
    assert done.step("either").output == "hurrah"
    assert "condition does not hold" in done.step("console").data["skipped"]
    assert done.step("only_if_sad").data["skipped"] == "console was skipped"
    assert statuses(saved(engine, done)) == statuses(done)
    assert engine.run(flow, {"mood": "bad"}).step("either").output == "alas"


def test_a_condition_that_cannot_be_answered_fails_its_step(engine):
    flow = Flow("w")
    flow.python("a", give, when="input.nothing > 3")
    done = engine.run(flow)
    assert statuses(done) == {"a": "failed"}
    assert "input.nothing" in done.error


def test_an_optional_step_may_fail(engine):
    flow = Flow("w")
    flow.python("nice", boom, optional=True)
    flow.python("then", give, input={"value": "{{ steps.nice.status }}: {{ steps.nice.error }}"})
    done = engine.run(flow)
    assert (done.status, done.error) == ("completed", None)
    assert done.output == "failed: boom"
    assert engine.history.find("default", done.id).status is Status.PARTIAL


def test_cleaning_up_happens_whatever_became_of_the_rest(engine):
    ran = []
    flow = Flow("w")
    flow.python("bad", boom)
    flow.python("middle", give, needs=["bad"])
    flow.python("clean", lambda: ran.append(1), needs=["bad", "middle"], join="always")
    done = engine.run(flow)
    assert done.status == "failed"
    assert statuses(done) == {"bad": "failed", "middle": "skipped", "clean": "completed"}
    assert ran == [1]


def test_after_a_failure_nothing_further_begins_unless_it_is_said(engine):
    def later():
        time.sleep(0.2)

    for on_failure, expected in (("stop", "skipped"), ("continue", "completed")):
        flow = Flow("w", on_failure=on_failure)
        flow.python("bad", boom)
        flow.python("slow", later)
        flow.python("after_slow", give, needs=["slow"])
        done = engine.run(flow)
        assert statuses(done) == {"bad": "failed", "slow": "completed", "after_slow": expected}
        assert done.status == "failed"


def test_an_output_of_ones_own(engine):
    flow = Flow("w", output={"sum": "{{ steps.a.output + 1 }}", "who": "{{ execution.projectId }}"})
    flow.python("a", give, input={"value": 4})
    assert engine.run(flow, project_id="p").output == {"sum": 5, "who": "p"}
    flow = Flow("w", output="{{ steps.a.output.missing }}")
    flow.python("a", give, input={"value": {}})
    done = engine.run(flow)
    assert done.status == "failed"
    assert done.error.startswith("output: ")


def test_secrets_do_not_reach_the_history(engine):
    flow = Flow("w")
    flow.python("a", lambda api_key: {"password": "hunter2", "len": len(api_key)}, input={"api_key": "sk-secret-1"})
    done = engine.run(flow, {"token": "tok-123"})
    assert done.step("a").output["len"] == 11
    text = str(engine.history.find("default", done.id))
    for secret in ("hunter2", "sk-secret-1", "tok-123"):
        assert secret not in text


def test_a_store_that_is_down_does_not_fail_a_workflow(tmp_path):
    class Down(MemoryStore):
        def apply(self, events):
            raise StoreError("the store is down", retry=True)

    engine = ExecutionEngine(Down())
    flow = Flow("w")
    flow.python("a", give, input={"value": 3})
    assert engine.run(flow).output == 3
    assert engine.history.recorder.refused["store"] >= 1


def test_a_store_that_is_down_is_not_waited_for(ledger, monkeypatch):
    def down(*_, **__):
        raise StoreError("the store is down", retry=True)

    engine = ExecutionEngine(ledger)
    flow = Flow("w")
    flow.python("a", give, input={"value": 3})
    with monkeypatch.context() as patch:
        patch.setattr(ledger.store, "apply", down)
        patch.setattr(ledger.store, "get", down)
        began = time.monotonic()
        for number in range(3):
            assert engine.run(flow, execution_id=f"w-{number}").output == 3
        assert time.monotonic() - began < 5
    with pytest.raises(ConflictError):
        engine.run(flow, execution_id="w-2")


def test_many_executions_at_once(engine):
    flow = Flow("w")
    flow.python("a", give, input={"value": "{{ input.n }}"})
    flow.python("b", give, input={"value": "{{ steps.a.output + 1 }}"})
    running = [engine.start(flow, {"n": number}, project_id="p") for number in range(30)]
    assert [one.wait(60).output for one in running] == [number + 1 for number in range(30)]
    assert engine.history.get_statistics("p").completed == 30


def test_a_thousand_steps(engine):
    flow = Flow("w")
    for number in range(1000):
        needs = [f"s{number - 1}"] if number % 2 else []
        flow.python(f"s{number}", give, input={"value": number}, needs=needs)
    began = time.monotonic()
    done = engine.run(flow, project_id="p")
    assert done.status == "completed"
    assert len(saved(engine, done).steps) == 1000
    assert time.monotonic() - began < 30


def test_an_id_of_ones_own_is_taken_once(engine):
    flow = Flow("w")
    flow.python("a", give)
    assert engine.run(flow, project_id="p", execution_id="mine").id == "mine"
    with pytest.raises(ConflictError, match="has an execution 'mine' already"):
        engine.run(flow, project_id="p", execution_id="mine")
    assert engine.run(flow, project_id="q", execution_id="mine").id == "mine"
    assert engine.run(flow, project_id="p", execution_id="mine", save_history=False).id == "mine"


def test_what_is_said_of_an_execution_is_kept_as_far_as_it_can_be(engine):
    flow = Flow("w")
    flow.python("a", give)
    done = engine.run(flow, tags={"try": 1}, metadata={"ok": 3, 1: 2, "odd": {1, 2}}, triggered_by=5)
    found = engine.history.find("default", done.id)
    assert (found.tags, found.actor) == ({"try": "1"}, "5")
    assert found.metadata == {"ok": 3, "1": 2, "odd": [1, 2]}
    assert engine.run(flow, tags=["x"], metadata="x").status == "completed"
    for ids in ({"project_id": 5}, {"execution_id": 7}):
        with pytest.raises(InvalidError, match="must be a text, not "):
            engine.run(flow, **ids)


def test_inside_another_run_that_one_is_the_parent(engine, ledger):
    flow = Flow("w")
    flow.python("a", give)
    with ledger.run("outer") as run:
        done = engine.run(flow)
    assert done.parent_id == run.id
