"""Resuming what was killed or interrupted: the process is gone, the history and what its steps wrote are there."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import textwrap
import time
from pathlib import Path

import pytest

from execlog.kinds.workflows import ExecutionEngine, ExecutionHistoryService
from execlog.ledger import Ledger

ROOT = Path(__file__).parents[3]
PROGRAM = """
    import os, sys, time
    from execlog.kinds.workflows import ExecutionEngine
    from execlog.ledger import Ledger

    STEPS = [
        {"id": "load", "type": "shell", "command": ["sh", "-c", "echo once >> $MARKS; echo 42"],
         "env": {"MARKS": "{{ input.marks }}"}},
        {"id": "wait", "type": "shell", "command": ["sh", "-c", "test -e $GATE || { echo $$ > $GATE.pid; sleep 60; }"],
         "env": {"GATE": "{{ input.gate }}"}, "needs": ["load"]},
        {"id": "last", "type": "shell", "command": ["echo", "{{ steps.load.output }}"], "needs": ["wait"]},
    ]
    given = {"marks": sys.argv[1], "gate": sys.argv[2]}
    engine = ExecutionEngine(Ledger.open())
    engine.run({"name": "killed", "steps": STEPS}, given, project_id="p", execution_id="victim")
"""


@pytest.mark.crash
def test_killed_in_the_middle_it_is_failed_and_can_be_resumed(tmp_path, file_store):
    marks, gate = tmp_path / "marks", tmp_path / "gate"
    environment = os.environ | {
        "PYTHONPATH": str(ROOT / "src"),
        "EXECLOG_HOME": str(tmp_path / "home"),
        "EXECLOG_STORE": file_store,
    }
    program = tmp_path / "program.py"
    program.write_text(textwrap.dedent(PROGRAM))
    with Ledger.open(file_store, home=tmp_path / "home", drains_home=True) as ledger:
        process = subprocess.Popen([sys.executable, program, marks, gate], env=environment, start_new_session=True)
        service = ExecutionHistoryService(ledger)
        try:
            _until(lambda: _step(service, "wait") == "running" and _pid(gate), process)
        finally:
            os.kill(process.pid, signal.SIGKILL)
            process.wait()
        os.killpg(_pid(gate), signal.SIGKILL)  # a command outlives the process that began it
        _until(lambda: service.get_execution("p", "victim").status == "failed")
        found = service.get_execution("p", "victim")
        assert "gone" in found.error
        assert _statuses(found) == {"load": "completed", "wait": "failed", "last": "skipped"}
        last = found.step("last")
        assert (last.completed_at, last.error, last.error_type) == (None, None, None), "it never began"
        assert found.step("load").output == "42"
        gate.touch()
        done = ExecutionEngine(service).resume("p", "victim")
        assert (done.status, done.output, done.retry_of) == ("completed", "42", "victim")
        assert marks.read_text() == "once\n"


@pytest.mark.crash
def test_killed_it_can_be_resumed_at_once_where_no_server_watches(tmp_path, file_store):
    marks, gate, home = tmp_path / "marks", tmp_path / "gate", tmp_path / "home"
    environment = os.environ | {"PYTHONPATH": str(ROOT / "src"), "EXECLOG_HOME": str(home), "EXECLOG_STORE": file_store}
    program = tmp_path / "program.py"
    program.write_text(textwrap.dedent(PROGRAM))
    process = subprocess.Popen([sys.executable, program, marks, gate], env=environment)
    try:
        _until(lambda: _pid(gate), process)
    finally:
        process.kill()
        process.wait()
    gate.touch()
    with Ledger.open(file_store, home=home) as ledger:
        done = ExecutionEngine(ledger).resume("p", "victim")
    assert (done.status, done.output, done.step("load").data["reusedFrom"]) == ("completed", "42", "victim")
    assert marks.read_text() == "once\n"


@pytest.mark.crash
def test_interrupted_it_is_cancelled(tmp_path, file_store):
    environment = os.environ | {
        "PYTHONPATH": str(ROOT / "src"),
        "EXECLOG_HOME": str(tmp_path / "home"),
        "EXECLOG_STORE": file_store,
    }
    program = tmp_path / "program.py"
    program.write_text(textwrap.dedent(PROGRAM))
    marks, gate = tmp_path / "marks", tmp_path / "gate"
    process = subprocess.Popen(
        [sys.executable, program, marks, gate], env=environment, stderr=subprocess.PIPE, start_new_session=True
    )
    _until(lambda: _pid(gate), process)
    process.send_signal(signal.SIGINT)
    _, stderr = process.communicate(timeout=30)
    assert b"KeyboardInterrupt" in stderr
    with Ledger.open(file_store, home=tmp_path / "home") as ledger:
        found = ExecutionHistoryService(ledger).get_execution("p", "victim")
    assert (found.status, _statuses(found)) == (
        "cancelled",
        {"load": "completed", "wait": "cancelled", "last": "skipped"},
    )
    _until(lambda: not Path(f"/proc/{_pid(gate)}").exists())


@pytest.fixture
def file_store(tmp_path):
    """A store that two processes can use."""
    return f"sqlite:///{tmp_path / 'history.db'}"


def _pid(gate):
    file = gate.with_suffix(".pid")
    return file.exists() and int(file.read_text() or 0)


def _step(service, step_id):
    found = service.get_execution("p", "victim")
    return found and found.step(step_id).status


def _until(happened, process=None, seconds=30):
    deadline = time.monotonic() + seconds
    while not happened():
        assert time.monotonic() < deadline
        assert process is None or process.poll() is None
        time.sleep(0.02)


def _statuses(execution):
    return {step.id: step.status for step in execution.steps}
