"""A run said from everywhere: threads, signal handlers, generators, after its end; and nothing of it is lost."""

from __future__ import annotations

import asyncio
import contextvars
import logging
import signal
import sys
import threading
from decimal import Decimal

import pytest

import execlog
from execlog.core.filter import Filter
from execlog.core.model import Event, Status, Usage
from execlog.ledger import Ledger
from execlog.recorder.run import current_run
from execlog.store.base import WHOLE


@pytest.fixture
def ledger(tmp_path):
    with Ledger.open("memory://", home=tmp_path) as opened:
        execlog.configure(opened)
        yield opened


def found(ledger: Ledger, id: str):
    assert ledger.flush()
    return ledger.store.get(id)


def test_threads_add_up_what_one_run_used(ledger):
    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    try:
        with ledger.run("a", id="a") as run:

            def work(name: int) -> None:
                for number in range(200):
                    run.usage("model", input=1, output=2, cost="0.001")
                    run.rows(1)
                    run.log(f"{name}:{number}")
                    run.note(**{f"t{name}": number})

            threads = [threading.Thread(target=work, args=(name,)) for name in range(4)]
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join()
    finally:
        sys.setswitchinterval(interval)
    execution = found(ledger, "a")
    assert (execution.tokens, execution.cost_nano, execution.rows) == ((800, 1600), 800_000_000, 800)
    assert len(execution.logs) == 800
    assert execution.metadata == {f"t{name}": 199 for name in range(4)}


def test_what_is_said_last_holds_even_while_the_run_is_open(ledger):
    with ledger.run("a", id="a") as run:
        for number in range(50):
            run.usage("model", input=1)
            run.note(step=number)
        execution = found(ledger, "a")
        assert execution.usage["model"].input == 50
        assert execution.metadata == {"step": 49}


def test_a_signal_handler_may_talk_about_the_run_it_interrupts(ledger):
    said = 0

    def handle(*_):
        nonlocal said
        run.log("interrupted")
        run.usage("model", input=1)
        said += 1

    before = signal.signal(signal.SIGALRM, handle)
    try:
        with ledger.run("a", id="a") as run:
            signal.setitimer(signal.ITIMER_REAL, 0.001, 0.001)
            while said < 50:
                run.usage("model", input=0)
                run.rows(1)
            signal.setitimer(signal.ITIMER_REAL, 0)
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
    assert len(found(ledger, "a").logs) == said


def test_what_threads_say_after_the_end_changes_no_outcome(ledger):
    with ledger.run("a", id="a") as run:
        run.rows(1)
    run.log("late")
    run.say_item(execlog.current_run() or run._items.get("x") or _item())
    execution = found(ledger, "a")
    assert execution.status is Status.SUCCEEDED
    assert [line.message for line in execution.logs] == ["late"]
    assert [item.key for item in execution.items] == ["late"]


def _item():
    from execlog.core.model import Item

    return Item(key="late", status=Status.SUCCEEDED)


def test_leaving_in_another_context_still_records_the_outcome(ledger):
    run = ledger.run("a", id="a")
    contextvars.copy_context().run(run.__enter__)
    run.__exit__(None, None, None)
    assert found(ledger, "a").status is Status.SUCCEEDED
    assert current_run() is None


def test_a_suspended_generator_is_not_its_callers_run(ledger):
    @execlog.track(name="stream")
    def stream():
        with execlog.run("inside"):
            yield current_run().id
        got = yield 2
        yield got

    first, second = stream(), stream()
    next(first)
    next(second)
    assert current_run() is None
    with ledger.run("between", id="between"):
        pass
    assert next(first) == 2
    assert first.send("x") == "x"
    assert list(first) == []
    second.close()
    assert current_run() is None
    assert found(ledger, "between").parent_id is None
    streams = ledger.store.find(Filter(name="stream", sort="oldest")).entries
    assert [entry.status for entry in streams] == [Status.SUCCEEDED, Status.CANCELLED]
    insides = ledger.store.find(Filter(name="inside", sort="oldest"), parts=WHOLE).entries
    assert [entry.parent_id for entry in insides] == [entry.id for entry in streams]


def test_exceptions_thrown_into_a_generator_are_its_own_to_handle(ledger):
    @execlog.track(name="stream")
    def stream():
        try:
            yield 1
        except LookupError:
            yield "handled"
        return "returned"

    body = stream()
    next(body)
    assert body.throw(LookupError("x")) == "handled"
    with pytest.raises(StopIteration) as stopped:
        next(body)
    assert stopped.value.value == "returned"
    body = stream()
    next(body)
    with pytest.raises(ValueError, match="not mine"):
        body.throw(ValueError("not mine"))
    assert ledger.flush()
    statuses = [entry.status for entry in ledger.store.find(Filter(name="stream", sort="oldest")).entries]
    assert statuses == [Status.SUCCEEDED, Status.FAILED]


def test_asynchronous_generators_too(ledger):
    @execlog.track(name="stream")
    async def stream(fail: bool):
        got = yield current_run().id
        await asyncio.sleep(0)
        if fail:
            raise LookupError("x")
        yield got

    async def main() -> None:
        body = stream(False)
        first = await anext(body)
        assert current_run() is None
        assert first is not None
        assert await body.asend("sent") == "sent"
        assert [value async for value in body] == []
        failing = stream(True)
        await anext(failing)
        with pytest.raises(LookupError):
            await anext(failing)
        left = stream(False)
        await anext(left)
        await left.aclose()

    asyncio.run(main())
    assert ledger.flush()
    statuses = [entry.status for entry in ledger.store.find(Filter(name="stream", sort="oldest")).entries]
    assert statuses == [Status.SUCCEEDED, Status.FAILED, Status.CANCELLED]


def test_executions_still_open_are_known_until_they_end(ledger):
    run = ledger.run("a").begin()
    assert ledger.recorder.open == {run.key}
    run.end()
    assert ledger.recorder.open == set()


class Number:
    """As the integers of an array are: a number, though no `int`."""

    def __index__(self):
        return 5


def test_numbers_of_arrays_are_counted(ledger):
    with ledger.run("a", id="a") as run:
        run.rows(Number())
        run.usage("model", input=Number(), output=Number())
        for item in run.items(["x"]):
            with item:
                item.rows(Number())
    execution = found(ledger, "a")
    assert (execution.rows, execution.tokens, execution.status) == (10, (5, 5), Status.SUCCEEDED)
    assert execution.items[0].rows == 5


class Mute:
    """What has no text."""

    def __str__(self):
        raise RuntimeError("no text")

    __repr__ = __str__


ODD = {
    "usage": (lambda run: run.usage("m", input=None, output="x", cost=float("nan")), {"usage": {"m": Usage()}}, 3),
    "a cost": (lambda run: run.usage("m", input=1, cost="free"), {"usage": {"m": Usage(input=1)}}, 1),
    "rows": (lambda run: (run.rows(None), run.rows("5"), run.rows(Decimal(2))), {"rows": 7}, 1),
    "a failure": (lambda run: run.fail(None), {"status": Status.FAILED}, 1),
    "a reason": (lambda run: run.fail(5), {"status": Status.FAILED}, 1),
    "an outcome": (
        lambda run: run.decide("weird"),
        {"status": Status.FAILED},
        1,
    ),
    "a family's word": (lambda run: run.decide("success"), {"status": Status.SUCCEEDED}, 1),
    "no outcome": (lambda run: run.decide("running"), {"status": Status.FAILED}, 1),
    "metadata": (lambda run: setattr(run, "metadata", 5), {"metadata": {"data": 5}}, 1),
    "a key of metadata": (lambda run: run.metadata.update({1: 2}), {"metadata": {"1": 2}}, 0),
}


@pytest.mark.parametrize(("say", "holds", "odd"), ODD.values(), ids=ODD)
def test_what_a_run_cannot_take_is_mended_and_counted(ledger, say, holds, odd):
    with ledger.run("a", id="a") as run:
        say(run)
    execution = found(ledger, "a")
    assert {name: getattr(execution, name) for name in holds} == holds
    assert (execution.error is not None) == (execution.status is Status.FAILED)
    assert (ledger.stats().mended.get("field", 0), ledger.stats().refused) == (odd, {})


def test_a_line_without_a_text_is_kept(ledger):
    with ledger.run("a", id="a") as run:
        run.log(Mute(), 20, item=7)
    assert [(line.level, line.item) for line in found(ledger, "a").logs] == [("info", "7")]
    assert ledger.stats().mended == {"field": 1}


def test_levels_are_those_of_logging_by_name_or_number(ledger):
    with ledger.run("a", id="a") as run:
        for level in (logging.ERROR, "WARNING", "debug", 35, "notice"):
            run.log("line", level)
    assert [line.level for line in found(ledger, "a").logs] == ["error", "warning", "debug", "level 35", "notice"]


def test_items_are_told_with_what_callers_have(ledger):
    with ledger.run("a", id="a") as run:
        run.fail_item(5, "no answer")
        run.fail_item("none", None)
        run.succeed_item("number", rows=Decimal(5))
        run.succeed_item("odd", rows="many", bogus=1)
        for item in run.items([{"id": 7}], key=lambda value: value["id"]):
            with item:
                item.data = "text"
        list(run.items([{"id": 8}], key=lambda value: value["name"]))
        run.item(9).succeed()
    execution = found(ledger, "a")
    stand = {item.key: (item.status, item.rows, item.data) for item in execution.items}
    assert stand == {
        "5": (Status.FAILED, None, None),
        "none": (Status.FAILED, None, None),
        "number": (Status.SUCCEEDED, 5, None),
        "odd": (Status.SUCCEEDED, None, {"rows": "many", "bogus": 1}),
        "7": (Status.SUCCEEDED, None, {"data": "text"}),
        "{'id': 8}": (Status.SUCCEEDED, None, None),
        "9": (Status.SUCCEEDED, None, None),
    }
    assert (execution.status, execution.counts.total) == (Status.PARTIAL, 7)
    assert ledger.stats().mended == {"field": 5}


def test_a_run_that_is_begun_with_an_outcome_ends_all_the_same(ledger):
    with ledger.run("a", id="a", status="failed", ended_at=5):
        assert found(ledger, "a").status is Status.RUNNING
    assert found(ledger, "a").status is Status.SUCCEEDED


def test_what_the_drain_leaves_out_is_counted(ledger):
    with ledger.run("a", id="a") as run:
        ledger.append(Event(id="a", kind="task", at=ledger.recorder.stamp(), tags=5, actor="ann"))
    assert found(ledger, "a").actor == "ann"
    assert ledger.stats().mended == {"left_out": 1}
    assert run.status is Status.SUCCEEDED


@pytest.mark.parametrize("given", [(), (0,), (None,)], ids=repr)
def test_an_exit_without_complaint_is_a_success(ledger, given):
    @execlog.track(name="main")
    def main():
        with execlog.current_run().item("last"):
            sys.exit(*given)

    def loop():
        with ledger.run("loop") as run:
            for _ in run.items(["first", "second"]):
                sys.exit(*given)

    def fail():
        with ledger.run("failed") as run:
            run.fail_item("first", "no answer")
            sys.exit(*given)

    for function in (main, loop, fail):
        with pytest.raises(SystemExit):
            function()
    assert ledger.flush()
    one = {one.name: one for one in ledger.store.find(Filter(), parts=WHOLE).entries}
    assert (one["main"].status, one["main"].error, one["main"].items[0].status) == ("succeeded", None, "succeeded")
    assert [(item.key, item.status) for item in one["loop"].items] == [("first", "succeeded")]
    assert (one["loop"].status, one["failed"].status) == ("succeeded", "failed")


@pytest.mark.parametrize(("code", "message"), [(3, "exit code 3"), ("no disk", "no disk")])
def test_an_exit_with_a_complaint_is_a_failure_that_says_so(ledger, code, message):
    with pytest.raises(SystemExit), ledger.run("a", id="a"):
        sys.exit(code)
    error = found(ledger, "a").error
    assert error is not None
    assert (error.type, error.message) == ("SystemExit", message)
