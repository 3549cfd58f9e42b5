"""The engine: order, conditions, retries, time-outs, cancellation, and what of it is saved."""

from __future__ import annotations

import asyncio
import sys
import threading
import time
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

import execlog
from execlog.core.errors import InvalidError, StoreError
from execlog.core.filter import Filter
from execlog.core.model import Status
from execlog.kinds.workflows import (
    Endpoint,
    ExecutionEngine,
    ExecutionHistoryService,
    Flow,
    Limits,
    ProjectBudget,
    Rate,
    Tariff,
    current_step,
    parse_workflow,
)
from execlog.kinds.workflows.engine import Order
from execlog.kinds.workflows.models.standin import Fault, StandIn
from execlog.runner.stop import is_cancelled
from execlog.store.memory import MemoryStore

TARIFF = Tariff({"m": Rate(Decimal(1), Decimal(2)), "n": Rate(Decimal(3), Decimal(4))}, "test tariff")


@pytest.fixture
def engine(ledger):
    return ExecutionEngine(ledger, prices=TARIFF)


@pytest.fixture
def model():
    with StandIn() as standin:
        yield standin


@pytest.fixture
def asking(ledger, model):
    """An engine that asks the stand-in, in both formats."""
    endpoints = {"default": Endpoint(base_url=model.url), "other": Endpoint(api="anthropic", base_url=model.url)}
    return ExecutionEngine(ledger, endpoints=endpoints, prices=TARIFF, jitter=lambda: 0.0)


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
    assert (done.status, done.error) == ("failed", "step 'a': step 'a' took longer than 0.1 s")
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


def test_async_functions(engine):
    async def double(number):
        await asyncio.sleep(0)
        current_step().log(f"doubling {number}")
        return number * 2

    flow = Flow("w")
    flow.python("a", double, input={"number": 4})
    done = engine.run(flow)
    assert done.output == 8
    assert [(line.message, line.step) for line in done.logs] == [("doubling 4", "a")]


def test_async_functions_run_in_the_callers_loop(engine):
    async def loop_of():
        return id(asyncio.get_running_loop())

    async def main():
        flow = Flow("w")
        flow.python("a", loop_of)
        flow.python("b", loop_of)
        done = await engine.arun(flow)
        return done.output, id(asyncio.get_running_loop())

    output, loop = asyncio.run(main())
    assert output == {"a": loop, "b": loop}


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
    assert done.error == "step 'a': step 'a' took longer than 0.1 s"
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


def test_cancelled_before_it_began(engine):
    flow = Flow("w")
    flow.python("a", give)
    prepared = engine._prepare(flow, None, Order())
    prepared.coordination.cancel("no")
    done = prepared.execute()
    assert (done.status, statuses(done)) == ("cancelled", {"a": "skipped"})


def test_commands(engine, tmp_path):
    flow = Flow("w")
    flow.shell("where", ["pwd"], cwd=str(tmp_path))
    flow.shell("given", ["cat"], stdin="{{ input }}")
    flow.shell("env", ["sh", "-c", 'printf %s "$NAME $EXECLOG_STEP"'], env={"NAME": "{{ input.name }}"})
    flow.shell("json", ["echo", '{"a": [1]}'], output="json")
    flow.shell("args", ["printf", "%s|", "a b", "$(id)", "{{ input.name }}", "{{ input }}"])
    done = engine.run(flow, {"name": "x; rm -rf /"})
    assert done.status == "completed", done.error
    assert done.output == {
        "where": str(tmp_path),
        "given": '{"name": "x; rm -rf /"}',
        "env": "x; rm -rf / env",
        "json": {"a": [1]},
        "args": 'a b|$(id)|x; rm -rf /|{"name": "x; rm -rf /"}|',
    }
    assert done.step("where").data["exitCode"] == 0


@pytest.mark.parametrize(
    ("command", "said"),
    [
        (["sh", "-c", "echo out; echo why >&2; exit 3"], "exit code 3: why"),
        (["sh", "-c", "echo only out; exit 1"], "exit code 1: only out"),
        (["sh", "-c", "kill -9 $$"], "killed by SIGKILL"),
        (["no-such-command"], "No such file"),
    ],
)
def test_commands_that_fail(engine, command, said):
    flow = Flow("w")
    flow.shell("a", command)
    done = engine.run(flow)
    assert done.status == "failed"
    assert said in done.error


def test_a_command_that_is_not_wanted_any_more_ends_with_all_it_started(engine, tmp_path):
    pids = tmp_path / "pids"
    script = f"trap '' TERM; (sleep 60 & echo $! >> {pids}; wait) & echo $! >> {pids}; echo $$ >> {pids}; wait; wait"
    flow = Flow("w")
    flow.shell("a", ["bash", "-c", script], timeout=0.5)
    assert engine.run(flow).status == "failed"
    deadline = time.monotonic() + 20
    while any(_lives(pid) for pid in pids.read_text().split()):
        assert time.monotonic() < deadline
        time.sleep(0.05)


def _lives(pid):
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


def test_a_command_that_writes_very_much(engine):
    flow = Flow("w")
    flow.shell("a", ["sh", "-c", "head -c 3000000 /dev/zero | tr '\\0' x"])
    done = engine.run(flow)
    assert done.status == "completed"
    assert "3000000 bytes" in done.logs[0].message
    assert len(saved(engine, done).output) < 300_000


def test_tools_are_called_by_name_only(ledger):
    engine = ExecutionEngine(ledger, tools={"add": lambda a, b: a + b}, functions={"named": give})
    text = (
        '{"name": "w", "steps": [{"id": "a", "type": "tool", "tool": "add", "input": {"a": 2, "b": "{{ input.b }}"}}]}'
    )
    assert engine.run(parse_workflow(text), {"b": 3}).output == 5
    by_name = '{"name": "w", "steps": [{"id": "a", "type": "python", "function": "named", "input": {"value": 7}}]}'
    assert engine.run(parse_workflow(by_name)).output == 7


@pytest.mark.parametrize(
    ("step", "said"),
    [
        ({"type": "tool", "tool": "os.system"}, "step 'a': no tool 'os.system': the engine has none"),
        ({"type": "python", "function": "unknown"}, "step 'a': no function 'unknown'"),
        ({"type": "python", "function": "no_such_module:f"}, "step 'a': cannot load"),
        ({"type": "llm", "model": "m", "prompt": "x"}, "step 'a': no endpoint 'default': the engine has none"),
        ({"type": "shell", "command": ["ls", "{{ steps.b.output }}"]}, "step 'a': it needs 'b'"),
    ],
)
def test_what_cannot_run_is_refused_before_anything_runs(engine, step, said):
    ran = []
    flow = Flow("w")
    flow.python("first", lambda: ran.append(1))
    document = {"name": "w", "steps": [{"id": "first", "type": "shell", "command": ["true"]}, {"id": "a"} | step]}
    with pytest.raises(InvalidError, match=said):
        engine.run(document)
    assert engine.history.list_executions("default").total == 0
    with pytest.raises(InvalidError):
        engine.run(flow, execution_id="stats")
    with pytest.raises(InvalidError):
        engine.run(flow, project_id="../x")
    with pytest.raises(TypeError):
        engine.run(flow, colour="red")
    assert ran == []


def test_models_are_asked_and_paid_for(asking, model):
    flow = Flow("w")
    flow.llm("one", model="m", prompt="Say {{ input.what }}", system="Be brief")
    flow.llm("two", model="n", endpoint="other", prompt="{{ steps.one.output }}", stream=True)
    flow.llm("three", model="unpriced", messages=[{"content": "hi {{ steps.one.output }}"}])
    done = asking.run(flow, {"what": "hello"})
    assert done.status == "completed", done.error
    one, two, three = (done.step(name) for name in ("one", "two", "three"))
    assert model.asked[0].prompt == "Say hello"
    assert (one.model, one.data["answeredBy"], one.data["stop"]) == ("m", "m", "stop")
    assert one.cost_usd == Decimal(one.token_usage.input + 2 * one.token_usage.output) / 10**6
    assert two.cost_usd == Decimal(3 * two.token_usage.input + 4 * two.token_usage.output) / 10**6
    assert (three.cost_usd, three.token_usage.total > 0) == (None, True)
    assert done.cost_usd == one.cost_usd + two.cost_usd
    assert done.token_usage.total == sum(step.token_usage.total for step in done.steps)
    assert done.models["n"].prices == "test tariff"
    assert (done.models["unpriced"].cost_usd, done.models["unpriced"].calls) == (None, 1)
    assert saved(asking, done).to_dict() == done.to_dict()
    stats = asking.history.get_statistics("default")
    assert (stats.total_cost_usd, stats.total_tokens) == (done.cost_usd, done.token_usage.total)


def test_every_try_that_was_paid_for_counts(asking, model):
    model.faults.append(Fault(break_after=4))
    flow = Flow("w")
    flow.llm("a", model="n", endpoint="other", prompt="hello", stream=True)
    done = asking.run(flow)
    assert done.status == "completed"
    assert done.models["n"].calls == 2
    assert done.step("a").token_usage.input == 2 * 2
    assert any("broke off" in line.message or "broke" in line.message for line in done.logs)


def test_an_answer_in_json(ledger):
    answers = iter(['```json\n{"score": 3}\n```', "none today", '{"score": 4}'])
    with StandIn(lambda asked: next(answers)) as model:
        engine = ExecutionEngine(ledger, endpoints={"default": Endpoint(base_url=model.url)}, prices=TARIFF)
        flow = Flow("w")
        flow.llm("a", model="m", prompt="score?", output="json")
        assert engine.run(flow).output == {"score": 3}
        flow = Flow("w")
        flow.llm("a", model="m", prompt="score?", output="json", retry={"attempts": 2, "delay": 0})
        done = engine.run(flow)
        assert done.output == {"score": 4}
        assert "not JSON" in done.logs[0].message
        assert done.models["m"].calls == 2


def test_a_model_that_refuses_fails_the_step_at_once(asking, model):
    model.faults.append(Fault(status=400, message="context too long"))
    flow = Flow("w")
    flow.llm("a", model="m", prompt="x", retry={"attempts": 3, "delay": 0})
    done = asking.run(flow)
    assert (done.status, done.error_type) == ("failed", "ModelCallError")
    assert done.error == "step 'a': HTTP 400 Bad Request: context too long"
    assert len(model.asked) == 1


def test_a_model_that_is_silent_times_the_step_out(asking, model):
    model.faults.append(Fault(hang=30))
    flow = Flow("w")
    flow.llm("a", model="m", prompt="x", timeout=0.3)
    began = time.monotonic()
    done = asking.run(flow)
    assert time.monotonic() - began < 5
    assert "took longer than 0.3 s" in done.error
    assert asking.history.find("default", done.id).status is Status.TIMED_OUT


def test_an_executions_budget(asking, model):
    flow = Flow("w", budget={"max_tokens": 10})
    flow.llm("a", model="m", prompt="x" * 100)
    flow.llm("b", model="m", prompt="again", needs=["a"], retry={"attempts": 3, "delay": 0})
    done = asking.run(flow)
    assert statuses(done) == {"a": "completed", "b": "failed"}
    assert done.error_type == "BudgetExceeded"
    assert done.error == f"step 'b': this execution has used {done.token_usage.total} of 10 tokens"
    assert len(model.asked) == 1
    assert done.step("b").attempt == 1
    cheap = asking.run(flow, budget=Limits(max_cost_usd=0.000001))
    assert "of 1e-06 US dollars" in cheap.error
    assert asking.run(flow, budget=Limits(max_cost_usd=1, max_tokens=10**6)).status == "completed"


def test_a_cost_budget_needs_known_prices(asking, model):
    flow = Flow("w", budget={"max_cost_usd": 1})
    flow.llm("a", model="unpriced", prompt="x")
    done = asking.run(flow)
    assert (done.status, done.error_type) == ("failed", "BudgetExceeded")
    assert "the price of 'unpriced' is not known" in done.error
    assert model.asked == []


def test_a_projects_budget_counts_all_its_executions(ledger, model):
    engine = ExecutionEngine(
        ledger,
        endpoints={"default": Endpoint(base_url=model.url)},
        prices=TARIFF,
        project_budgets={"p": ProjectBudget(max_tokens=60, per="day")},
    )
    flow = Flow("w")
    flow.llm("a", model="m", prompt="x" * 100)
    used = [engine.run(flow, project_id="p") for _ in range(2)]
    assert [one.status for one in used] == ["completed", "failed"]
    assert used[1].error == (f"step 'a': project 'p' (day) has used {used[0].token_usage.total} of 60 tokens")
    assert engine.run(flow, project_id="q").status == "completed"


def test_a_projects_budget_sees_what_runs_elsewhere(ledger, model):
    service = ExecutionHistoryService(ledger)
    service.save_execution(
        "p", {"id": "other", "status": "running", "startedAt": _now(), "tokenUsage": {"input": 90, "output": 10}}
    )
    service.save_execution(
        "p", {"id": "old", "status": "completed", "startedAt": "2020-01-01T00:00:00Z", "tokenUsage": {"input": 9000}}
    )
    endpoints = {"default": Endpoint(base_url=model.url)}
    flow = Flow("w")
    flow.llm("a", model="m", prompt="x")
    for per, limit, expected in (("month", 100, "failed"), ("month", 101, "completed"), ("total", 9000, "failed")):
        budgets = {"p": ProjectBudget(max_tokens=limit, per=per)}
        engine = ExecutionEngine(service, endpoints=endpoints, project_budgets=budgets, prices=TARIFF)
        assert engine.run(flow, project_id="p").status == expected


def _now():
    return datetime.now(UTC).isoformat()


def test_code_of_a_step_belongs_to_the_execution(ledger, engine):
    execlog.configure(ledger)
    try:

        def work():
            execlog.current_run().usage("m", input=10, output=5)
            current_step().usage("n", input=100, output=1)
            current_step().check_budget("m")
            with execlog.run("inner", kind="job") as run:
                return run.id

        flow = Flow("w")
        flow.python("a", work)
        done = engine.run(flow)
    finally:
        execlog.configure(ledger)
    assert done.status == "completed", done.error
    assert done.step("a").token_usage.total == 116
    assert done.models["m"].cost_usd is None  # told without its price, and without a provider
    assert done.models["n"].cost_usd == Decimal("0.000304")
    ledger.flush()
    inner = ledger.store.get(done.output, kind="job")
    assert inner.parent_id == done.id


def test_outputs_go_on_as_they_are_and_are_recorded_as_they_can_be(engine):
    class Thing:
        def __repr__(self):
            return "<thing>"

    flow = Flow("w")
    flow.python("a", Thing)
    flow.python("b", lambda value: isinstance(value, Thing), input={"value": "{{ steps.a.output }}"})
    done = engine.run(flow)
    assert done.output is True
    assert saved(engine, done).step("a").output == "<thing>"
    assert done.step("a").data["reusable"] is False


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


def test_a_step_that_ends_its_process_fails_its_step_only(engine):
    flow = Flow("w", on_failure="continue")
    flow.python("a", lambda: sys.exit(3))
    flow.python("b", give, input={"value": 1})
    done = engine.run(flow)
    assert statuses(done) == {"a": "failed", "b": "completed"}


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
