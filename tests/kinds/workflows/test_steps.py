"""What steps do: functions, commands, tools."""

from __future__ import annotations

import asyncio
import functools
import sys
import time
from datetime import date
from decimal import Decimal
from pathlib import Path

import pytest

import execlog
from execlog.core.errors import InvalidError
from execlog.kinds.workflows import (
    ExecutionEngine,
    Flow,
    current_step,
    parse_workflow,
)
from execlog.kinds.workflows.steps.commands import MAX_OUTPUT


def saved(engine, execution):
    return engine.history.get_execution(execution.project_id, execution.id)


def statuses(execution):
    return {step.id: step.status for step in execution.steps}


def give(value=None):
    return value


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


def test_values_of_any_type_go_into_commands_and_prompts(asking, model):
    flow = Flow("w")
    flow.python("load", lambda: {"on": date(2024, 1, 2), "rate": Decimal("1.10"), "half": "\ud83c"})
    flow.shell("args", ["printf", "%s|", "{{ steps.load.output.on }}", "{{ steps.load.output.rate }}"])
    flow.shell("given", ["cat"], stdin="{{ steps.load.output }}")
    flow.llm("asks", model="m", prompt="Rates: {{ steps.load.output }}")
    done = asking.run(flow)
    assert done.status == "completed", done.error
    assert done.output["args"] == "2024-01-02|1.10|"
    assert done.output["given"] == '{"on": "2024-01-02", "rate": "1.10", "half": "?"}'
    assert 'Rates: {"on": "2024-01-02", "rate": "1.10", "half": "?"}' in done.output["asks"]


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


@pytest.mark.parametrize(("size", "kept"), [(5_000_000, 5_000_000), (MAX_OUTPUT + 7, MAX_OUTPUT)])
def test_a_command_that_writes_very_much(engine, size, kept):
    flow = Flow("w", output="{{ steps.count.output }}")
    flow.shell("a", ["sh", "-c", f"head -c {size} /dev/zero | tr '\\0' x"])
    flow.python("count", len, input={"obj": "{{ steps.a.output }}"})
    done = engine.run(flow)
    assert (done.status, done.output) == ("completed", kept)
    assert [line.message for line in done.logs] == (
        [f"it wrote {size} bytes, the first {kept} are handed on"] if size > kept else []
    )
    assert len(saved(engine, done).step("a").output) < 300_000


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
    assert done.models["m"].cost_usd == Decimal("0.00002"), "told without its price: the tariff knows it by its name"
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


class Odd:
    """Raises whatever is asked of it."""

    __hash__ = None

    def _raise(self, *_):
        raise RuntimeError("odd")

    __str__ = __repr__ = __bool__ = __eq__ = _raise
    part = property(_raise)


DEEP = functools.reduce(lambda inner, _: [inner], range(5_000), [])


@pytest.mark.parametrize(
    ("value", "fields", "said"),
    [
        (Odd(), {"command": ["echo", "{{ steps.a.output.part }}"]}, "RuntimeError: odd"),
        (Odd(), {"command": ["echo", "x {{ steps.a.output }}"]}, "RuntimeError: odd"),
        (Odd(), {"command": ["echo", "{{ steps.a.output }}"]}, "odd"),
        (Odd(), {"command": ["true"], "when": "steps.a.output"}, "RuntimeError: odd"),
        (Odd(), {"command": ["true"], "when": "steps.a.output == 3"}, "RuntimeError: odd"),
        (DEEP, {"command": ["echo", "x {{ steps.a.output }}"]}, "RecursionError"),
        (2**100_000, {"command": ["echo", "x {{ steps.a.output }}"]}, "4300 digits"),
    ],
    ids=["part", "text", "argument", "condition", "comparison", "deep", "digits"],
)
def test_a_value_that_cannot_be_looked_at_fails_the_step_that_does(engine, value, fields, said):
    flow = Flow("w")
    flow.python("a", lambda: value)
    flow.shell("b", **fields, needs=["a"])
    flow.shell("tidy", ["true"], needs=["b"], join="always")
    done = engine.run(flow)
    assert statuses(done) == {"a": "completed", "b": "failed", "tidy": "completed"}
    assert said in done.error
    assert (saved(engine, done).error, statuses(saved(engine, done))) == (done.error, statuses(done))


def test_an_output_that_cannot_be_looked_at_fails_the_workflow(engine):
    flow = Flow("w", output="{{ steps.a.output.part }}")
    flow.python("a", Odd)
    done = engine.run(flow)
    assert (done.status, statuses(done)) == ("failed", {"a": "completed"})
    assert "RuntimeError: odd" in done.error


def test_a_step_that_ends_its_process_fails_its_step_only(engine):
    flow = Flow("w", on_failure="continue")
    flow.python("a", lambda: sys.exit(3))
    flow.python("b", give, input={"value": 1})
    done = engine.run(flow)
    assert statuses(done) == {"a": "failed", "b": "completed"}
