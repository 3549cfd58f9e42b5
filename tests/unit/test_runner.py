"""Executions in flight: items side by side, time-outs, cancellation, and workers that die."""

import os
import time

import pytest
from msgspec.structs import replace

from chores import gate, seen, state, wait_for
from execlog.core.model import Status
from execlog.core.settings import load
from execlog.ledger import Ledger
from execlog.runner.job import Call, Job
from execlog.runner.launcher import ThreadLauncher, WorkerDiedError
from execlog.runner.order import Order
from execlog.runner.processes import ProcessLauncher
from execlog.runner.runner import Runner
from flights import order


def call(function, *stocks, args=None, **fields):
    return order(Call(f"chores:{function}", args or {}), stocks, **fields)


def test_every_item_has_its_outcome_and_the_execution_is_said_in_two_events(runner, sink):
    result = runner.run(call("double", "A", "B"))
    assert result.status is Status.SUCCEEDED
    assert [(item.key, item.output) for item in result.items] == [("A", "AA"), ("B", "BB")]
    assert [event.status for event in sink.said] == [Status.RUNNING, Status.SUCCEEDED]
    execution = sink.execution()
    assert (execution.subject, execution.name, execution.total, execution.counts.succeeded) == ("j", "J", 2, 2)
    assert execution.origin == "boot:journal"
    assert execution.duration >= 0


def test_an_item_that_raises_fails_alone_and_the_others_go_on(runner, sink):
    result = runner.run(call("fail_on_b", "A", "B", "C"))
    assert result.status is Status.PARTIAL
    assert result.unsuccessful == ("B",)
    error = sink.execution().items[1].error
    assert (error.type, error.message) == ("ValueError", "no b here")
    assert "chores.py" in error.frames[0]


def test_all_items_failing_fail_the_execution_with_the_first_error(runner):
    result = runner.run(call("fail_on_b", "B"))
    assert (result.status, result.error.message) == (Status.FAILED, "no b here")


def test_items_run_side_by_side_up_to_the_limit(runner):
    state.update(running=0, most=0)
    result = runner.run(call("measure", *"ABCDEFGH", concurrency=3))
    assert result.status is Status.SUCCEEDED
    assert state["most"] == 3


def test_a_stuck_item_times_out_and_stalls_nobody(runner):
    gate.clear()
    began = time.monotonic()
    result = runner.run(call("stick_on_b", *"ABCDE", concurrency=1, item_timeout=0.2))
    gate.set()
    assert time.monotonic() - began < 5
    assert result.status is Status.PARTIAL
    assert [item.status for item in result.items] == [Status.SUCCEEDED, Status.TIMED_OUT] + [Status.SUCCEEDED] * 3
    assert result.items[1].error.message == "Timeout after 0.2s"


def test_more_stuck_items_than_workers_do_not_stop_the_launcher(sink):
    gate.clear()
    launcher = ThreadLauncher(limit=2)
    runner = Runner(sink, launchers={"threads": launcher})
    for _ in range(4):
        assert runner.run(call("stick_on_b", "B", item_timeout=0.05)).status is Status.TIMED_OUT
    assert runner.run(call("stick_on_b", "A", "C")).status is Status.SUCCEEDED
    assert launcher.lost == 4
    gate.set()
    wait_for(lambda: launcher.lost == 0)
    runner.close()


def test_the_whole_job_has_a_time_limit(runner):
    gate.clear()
    result = runner.run(call("stick_on_b", "A", "B", "C", concurrency=1, timeout=0.2))
    gate.set()
    assert result.status is Status.TIMED_OUT
    assert result.error.message == "Timeout after 0.2s (the whole job)"
    assert [item.status for item in result.items] == [Status.SUCCEEDED, Status.TIMED_OUT, Status.TIMED_OUT]


def test_a_function_without_items_gives_the_output(runner, sink):
    result = runner.run(order(Call("operator:add", {}), ()))
    assert (result.status, result.items) == (Status.FAILED, ())
    assert "add" in result.error.message
    assert runner.run(order(Call("platform:python_version"))).output.startswith("3.")


def test_a_coroutine_is_run_to_its_end(runner):
    assert [item.output for item in runner.run(call("later", "A")).items] == ["later A"]


@pytest.mark.parametrize(("code", "status"), [(0, Status.SUCCEEDED), (3, Status.FAILED)])
def test_leaving_the_interpreter_ends_the_item_only(runner, code, status):
    assert runner.run(call("leave", args={"code": code})).status is status


def test_a_function_that_is_not_there_fails_with_its_name(runner):
    result = runner.run(call("nothing_here", "A"))
    assert result.status is Status.FAILED
    assert "chores:nothing_here" in result.error.message


def test_cancelling_ends_at_once_and_tells_the_function(runner):
    seen.clear()
    ended = []
    runner.start(call("wait_politely"), lambda _order, result: ended.append(result))
    wait_for(lambda: seen["began"])
    runner.cancel("e", "cancelled by ada")
    wait_for(lambda: ended)
    assert (ended[0].status, ended[0].error.message) == (Status.CANCELLED, "cancelled by ada")
    wait_for(lambda: seen["polite"])
    runner.cancel("e", "again")


def test_cancelling_drops_what_has_not_begun(runner):
    gate.clear()
    ended = []
    runner.start(call("stick_on_b", "A", "B", "C", concurrency=1), lambda _order, result: ended.append(result))
    wait_for(lambda: runner.running)
    runner.cancel("e", "enough")
    wait_for(lambda: ended)
    gate.set()
    assert ended[0].status is Status.CANCELLED
    assert ended[0].items[-1].status is Status.CANCELLED


def test_progress_of_a_long_execution_is_told_while_it_runs(runner, sink):
    gate.clear()
    ended = []
    runner.start(call("stick_on_b", *"ACDEFGB", concurrency=2), lambda _order, result: ended.append(result))
    runner.start(
        Order(execution_id="other", job=Job(id="j", name="J", run=Call("chores:double"), stocks=("A",))),
        lambda *_: None,
    )
    wait_for(lambda: len(runner.running) == 1)
    time_limit = time.monotonic() + 5
    while not any(event.status is None and event.items for event in sink.said) and time.monotonic() < time_limit:
        gate.wait(0.05)
    gate.set()
    wait_for(lambda: ended)
    assert ended[0].status is Status.SUCCEEDED
    assert sum(len(event.items) for event in sink.said if event.id == "e") == 7


def test_a_dead_worker_process_is_a_crashed_item_not_a_hung_job(runner):
    result = runner.run(call("die_on_b", *"ABC", launcher="processes", concurrency=2))
    assert result.status is Status.PARTIAL
    assert result.items[1].status is Status.CRASHED
    assert "killed by SIGKILL" in result.items[1].error.message
    assert os.getpid() not in {item.output for item in result.items}


def test_a_stuck_worker_process_is_killed_at_its_timeout(sink):
    launcher = ProcessLauncher(limit=1)
    runner = Runner(sink, launchers={"processes": launcher})
    result = runner.run(call("spin_on_b", *"ABC", launcher="processes", concurrency=1, item_timeout=5))
    runner.close()
    assert [item.status.value for item in result.items] == ["succeeded", "timed_out", "succeeded"]


def test_what_cannot_come_back_from_a_process_fails_its_item(runner):
    result = runner.run(call("unpicklable", "A", launcher="processes"))
    assert result.status is Status.SUCCEEDED
    assert "function unpicklable" in result.items[0].output


@pytest.mark.parametrize("method", ["spawn", "forkserver"])
def test_processes_start_by_either_method(method):
    launcher = ProcessLauncher(limit=1, method=method)
    first, second = (launcher.submit(os.getpid) for _ in range(2))
    assert first.result(30) == second.result(30) != os.getpid()
    broken = launcher.submit(os._exit, 7)
    with pytest.raises(WorkerDiedError, match="exit code 7"):
        broken.result(30)
    assert launcher.submit(os.getpid).result(30) != first.result()
    waiting = launcher.submit(lambda: None)
    with pytest.raises(Exception, match="pickle"):
        waiting.result(30)
    launcher.shutdown()
    with pytest.raises(RuntimeError):
        launcher.submit(os.getpid)


@pytest.mark.parametrize(("name", "kind"), [("processes", ProcessLauncher), ("threads", ThreadLauncher)])
def test_a_job_of_stuck_items_leaves_room_for_others(sink, name, kind):
    runner = Runner(sink, launchers={name: kind(limit=2)})
    hung = Job(id="h", name="H", run=Call("chores:spin"), stocks=tuple("ABC"), concurrency=3, launcher=name)
    runner.start(Order(execution_id="h", job=hung), lambda *_: None)
    assert runner.run(call("double", "A", launcher=name)).status is Status.SUCCEEDED
    assert runner.running == ("h",)
    runner.close(timeout=5)


def test_a_job_s_time_begins_with_its_first_item(sink):
    launcher = ThreadLauncher(limit=1)
    runner, ended, began = Runner(sink, launchers={"threads": launcher}), [], time.monotonic()
    gate.clear()
    launcher.submit(gate.wait, 30)
    runner.start(call("double", "A", timeout=0.2), lambda _, result: ended.append(result))
    wait_for(lambda: time.monotonic() - began > 0.5)
    assert not ended
    gate.set()
    wait_for(lambda: ended)
    assert ended[0].status is Status.SUCCEEDED
    runner.close(timeout=5)


def test_closing_cancels_what_runs(sink):
    runner = Runner(sink)
    ended = []
    runner.start(call("wait_politely"), lambda _order, result: ended.append(result))
    wait_for(lambda: runner.running)
    runner.close(timeout=5)
    assert ended[0].status is Status.CANCELLED
    with pytest.raises(RuntimeError):
        runner.start(call("double", "A"), lambda *_: None)


class RefusingLauncher(ThreadLauncher):
    """A launcher that takes so many pieces of work and then none any more, as a system without threads left."""

    def __init__(self, room):
        super().__init__()
        self.room = room

    def submit(self, fn, /, *args, **kwargs):
        self.room -= 1
        if self.room < 0:
            raise RuntimeError("can't start new thread")
        return super().submit(fn, *args, **kwargs)


@pytest.mark.parametrize("room", [0, 1, 3])
def test_an_execution_that_cannot_begin_or_go_on_ends_as_failed(sink, room):
    runner = Runner(sink, launchers={"threads": RefusingLauncher(room)})
    result = runner.run(call("double", *"ABCDEF", concurrency=2))
    runner.close(timeout=5)
    assert result.status is Status.FAILED
    assert "can't start new thread" in result.error.message
    told = sink.execution()
    assert (told.status, told.subject, runner.running) == (Status.FAILED, "j", ())


def test_context_is_not_told_where_the_settings_say_so(tmp_path):
    with Ledger.open(settings=load(store="memory://", home=str(tmp_path), capture_context=False)) as ledger:
        runner = Runner(ledger.recorder)
        runner.run(call("double", "A"))
        runner.close(timeout=5)
        assert ledger.flush()
        assert ledger.store.get("e", kind="job", namespace="").context is None


@pytest.mark.parametrize(("function", "output"), [("counting", "counted A"), ("counting_later", None)])
def test_a_generator_is_run_to_its_end_and_its_values_counted(runner, function, output):
    seen.clear()
    result = runner.run(call(function, "A"))
    assert (result.status, result.items[0].output, result.items[0].rows) == (Status.SUCCEEDED, output, 3)
    assert seen[function] == ["A"]


@pytest.mark.parametrize("stocks", [(), ("C",)])
def test_an_order_whose_items_the_job_has_no_more_is_cancelled(runner, sink, stocks):
    seen.clear()
    result = runner.run(replace(call("counting", *stocks), items=("A", "B")))
    assert (result.status, result.items, seen["counting"]) == (Status.CANCELLED, (), [])
    assert "stocks" in sink.execution().error.message
