"""Where work runs: threads and processes, and what becomes of those that are stuck."""

import os

import pytest

from chores import gate, in_a_pool, wait_for
from execlog.runner.launcher import ThreadLauncher
from execlog.runner.processes import ProcessLauncher, _Slot


def test_the_start_of_a_worker_process_is_no_time_of_its_work(monkeypatch):
    begun = []

    def connected(slot):
        connection = connect(slot)
        begun.append(slot.work.started_at)
        return connection

    connect = _Slot._connected
    monkeypatch.setattr(_Slot, "_connected", connected)
    launcher = ProcessLauncher(limit=1)
    work = launcher.submit(os.getpid)
    assert work.result(30) != os.getpid()
    assert begun == [None]
    assert work.started_at is not None
    launcher.shutdown()


def test_a_worker_process_that_has_nothing_to_do_ends(monkeypatch):
    monkeypatch.setattr("execlog.runner.processes.IDLE_SECONDS", 0.05)
    launcher = ProcessLauncher(limit=2)
    first = launcher.submit(os.getpid).result(30)
    wait_for(lambda: not launcher._slots)
    assert launcher.submit(os.getpid).result(30) != first
    launcher.shutdown()


@pytest.mark.parametrize("method", ["fork", "spawn", "forkserver"])
def test_work_in_a_process_may_have_processes_of_its_own(method):
    launcher = ProcessLauncher(limit=1, method=method)
    assert launcher.submit(in_a_pool, [-1, -2]).result(60) == [1, 2]
    launcher.shutdown()


def test_threads_wait_for_each_other_only_up_to_the_limit():
    launcher = ThreadLauncher(limit=1)
    gate.clear()
    first, second = launcher.submit(gate.wait, 30), launcher.submit(int, "7")
    wait_for(lambda: first.started_at is not None)
    assert second.started_at is None
    gate.set()
    assert second.result(10) == 7
    launcher.shutdown()


def test_giving_up_on_stuck_work_makes_room_for_what_waits():
    launcher = ThreadLauncher(limit=1)
    gate.clear()
    stuck, waiting, dropped = launcher.submit(gate.wait, 30), launcher.submit(int, "7"), launcher.submit(int, "8")
    wait_for(lambda: stuck.started_at is not None)
    launcher.abandon(dropped)
    launcher.abandon(stuck)
    assert waiting.result(10) == 7
    assert dropped.cancelled()
    gate.set()
    launcher.shutdown()
    with pytest.raises(RuntimeError):
        launcher.submit(int)
