"""Model calls in workflows: tokens, cost, budgets."""

from __future__ import annotations

import asyncio
import math
import threading
import time
from contextvars import copy_context
from datetime import UTC, datetime
from decimal import Decimal

import pytest

import execlog
from execlog.core.errors import InvalidError
from execlog.core.model import Status
from execlog.kinds.workflows import (
    Endpoint,
    ExecutionEngine,
    ExecutionHistoryService,
    Flow,
    Limits,
    ProjectBudget,
    current_step,
)
from execlog.kinds.workflows.models.standin import Fault, StandIn


def saved(engine, execution):
    return engine.history.get_execution(execution.project_id, execution.id)


def statuses(execution):
    return {step.id: step.status for step in execution.steps}


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


def test_an_answer_in_json(ledger, tariff):
    answers = iter(['```json\n{"score": 3}\n```', "none today", '{"score": 4}'])
    with StandIn(lambda asked: next(answers)) as model:
        engine = ExecutionEngine(ledger, endpoints={"default": Endpoint(base_url=model.url)}, prices=tariff)
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


def test_a_step_may_try_again_later_than_an_endpoint_waits(asking, model):
    model.faults.append(Fault(status=429, retry_after="3600"))
    flow = Flow("w")
    flow.llm("a", model="m", prompt="x", retry={"attempts": 2, "delay": 0})
    done = asking.run(flow)
    assert (done.status, done.step("a").attempt, len(model.asked)) == ("completed", 2, 2)


def test_a_budget_may_be_written_as_a_workflows_is(asking, model):
    flow = Flow("w")
    flow.llm("a", model="m", prompt="x")
    for budget in ({"max_tokens": 0}, {"maxTokens": 0}, Limits(max_tokens=0)):
        assert "has used 0 of 0 tokens" in asking.run(flow, budget=budget).error
    assert model.asked == []


@pytest.mark.parametrize(
    "budget", [{"max_token": 5}, {"max_tokens": -1}, {"max_cost_usd": "much"}, {"max_cost_usd": math.inf}, 7]
)
def test_a_budget_that_cannot_be_is_refused_before_anything_runs(asking, model, budget):
    flow = Flow("w")
    flow.llm("a", model="m", prompt="x")
    with pytest.raises(InvalidError, match="budget"):
        asking.run(flow, budget=budget)
    assert (model.asked, asking.history.list_executions("default").total) == ([], 0)


@pytest.mark.parametrize("wrong", [{"per": "week"}, {"max_tokens": -1}, {"max_cost_usd": math.nan}])
def test_a_projects_budget_that_cannot_be_is_refused(wrong):
    with pytest.raises(InvalidError):
        ProjectBudget(**wrong)


def test_a_cost_budget_needs_known_prices(asking, model):
    flow = Flow("w", budget={"max_cost_usd": 1})
    flow.llm("a", model="unpriced", prompt="x")
    done = asking.run(flow)
    assert (done.status, done.error_type) == ("failed", "BudgetExceeded")
    assert "the price of 'unpriced' is not known" in done.error
    assert model.asked == []


def test_a_projects_budget_counts_all_its_executions(ledger, model, tariff):
    engine = ExecutionEngine(
        ledger,
        endpoints={"default": Endpoint(base_url=model.url)},
        prices=tariff,
        project_budgets={"p": ProjectBudget(max_tokens=60, per="day")},
    )
    flow = Flow("w")
    flow.llm("a", model="m", prompt="x" * 100)
    used = [engine.run(flow, project_id="p") for _ in range(2)]
    assert [one.status for one in used] == ["completed", "failed"]
    assert used[1].error == (f"step 'a': project 'p' (day) has used {used[0].token_usage.total} of 60 tokens")
    assert engine.run(flow, project_id="q").status == "completed"


def test_a_projects_budget_counts_what_is_not_saved(ledger, model, tariff):
    budgets = {"p": ProjectBudget(max_tokens=60, per="month")}
    engine = ExecutionEngine(
        ledger, endpoints={"default": Endpoint(base_url=model.url)}, prices=tariff, project_budgets=budgets
    )
    flow = Flow("w")
    flow.llm("a", model="m", prompt="x" * 100)
    used = [engine.run(flow, project_id="p", save_history=False) for _ in range(3)]
    assert [one.status for one in used] == ["completed", "failed", "failed"]
    assert used[2].error == f"step 'a': project 'p' (month) has used {used[0].token_usage.total} of 60 tokens"
    assert engine.run(flow, project_id="p").status == "failed"
    with pytest.raises(InvalidError, match="needs a history"):
        ExecutionEngine(None, project_budgets=budgets)


def test_a_projects_budget_sees_what_runs_elsewhere(ledger, model, tariff):
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
        engine = ExecutionEngine(service, endpoints=endpoints, project_budgets=budgets, prices=tariff)
        assert engine.run(flow, project_id="p").status == expected


def _now():
    return datetime.now(UTC).isoformat()


def test_a_workflow_inside_another_is_paid_for_once(asking):
    inner = Flow("inner")
    inner.llm("ask", model="m", prompt="hello")
    outer = Flow("outer")
    outer.python("run", lambda: asking.run(inner, project_id="p").id)
    outer.llm("ask", model="m", prompt="good bye")
    done = asking.run(outer, project_id="p")
    child = asking.history.get_execution("p", done.step("run").output)
    assert child.parent_id == done.id
    assert done.token_usage.total == done.step("ask").token_usage.total
    assert done.step("run").token_usage is None
    total = asking.history.get_statistics("p").total_tokens
    assert total == done.token_usage.total + child.token_usage.total


def test_usage_is_counted_from_coroutines_in_the_callers_loop_too(asking):
    async def call():
        execlog.current_run().usage("m", input=3, output=4, cost="0.5", prices="mine")

    flow = Flow("w")
    flow.python("a", call)
    flow.python("b", call)
    done = asyncio.run(asking.arun(flow))
    assert done.status == "completed", done.error
    assert [step.token_usage.total for step in done.steps] == [7, 7]
    assert (done.cost_usd, done.models["m"].prices) == (Decimal(1), "mine")


@pytest.mark.parametrize("report", [lambda: current_step().usage, lambda: execlog.current_run().usage])
@pytest.mark.parametrize(
    ("said", "counted"),
    [(None, 0), ("12", 12), (1.5, 1), (-5, 0), (math.nan, 0), (math.inf, 0), ("many", 0), ([], 0), (object(), 0)],
)
def test_a_count_of_tokens_that_is_none_does_not_fail_the_step_that_paid(asking, report, said, counted):
    def call():
        report()("m", input=said, output=2, cached=said, reasoning=said)
        return "paid"

    flow = Flow("w")
    flow.python("a", call)
    done = asking.run(flow)
    assert (done.status, done.output) == ("completed", "paid")
    assert (done.token_usage.input, done.token_usage.output) == (counted, 2)
    assert done.cost_usd == Decimal(counted * 1 + 2 * 2) / 10**6
    assert asking.history.get_execution("default", done.id).to_dict() == done.to_dict()


def test_calls_from_many_threads_are_all_counted(asking):
    def call():
        run, context = execlog.current_run(), copy_context()

        def work(own):
            for _ in range(100):
                own.run(run.usage, "m", input=1, output=1, cost="0.000000001")

        threads = [threading.Thread(target=work, args=(context.copy(),)) for _ in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()

    flow = Flow("w")
    flow.python("a", call)
    done = asking.run(flow)
    assert (done.models["m"].calls, done.token_usage.total, done.cost_usd) == (800, 1600, Decimal("0.0000008"))
    assert done.step("a").token_usage.total == 1600
    assert asking.history.get_execution("default", done.id).to_dict() == done.to_dict()
