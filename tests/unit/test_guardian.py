"""Commands of a process that is killed die with it; those of one that goes on are left as a shell leaves them."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from execlog.runner.commands import run_command

SHELL = "sleep 300 & echo $! > background; echo $$ > shell; mv shell ready; wait"
JOB = "import sys; from execlog.runner.commands import run_command; run_command(sys.argv[1])"
STEP = """
import sys
from execlog.kinds.workflows.engine import ExecutionEngine
step = {"id": "s", "type": "shell", "command": ["sh", "-c", sys.argv[1]]}
ExecutionEngine().run({"name": "w", "steps": [step]})
"""


def wait_until(holds, *, seconds: float = 30.0) -> None:
    end = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < end
        time.sleep(0.01)


def runs(pid: int) -> bool:
    """Whether there is such a process, and more of it than its exit code."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except (FileNotFoundError, ProcessLookupError):
        return False


@pytest.mark.skipif(sys.platform != "linux", reason="looks into /proc")
@pytest.mark.parametrize("script", [JOB, STEP], ids=["job", "step"])
def test_a_killed_process_takes_its_command_along_with_all_it_started(tmp_path, script):
    environment = {**os.environ, "EXECLOG_HOME": str(tmp_path / "home")}
    command = [sys.executable, "-c", script, SHELL]
    with subprocess.Popen(command, cwd=tmp_path, env=environment, start_new_session=True) as process:
        wait_until((tmp_path / "ready").exists)
        pids = [int((tmp_path / name).read_text()) for name in ("ready", "background")]
        assert all(map(runs, pids))
        process.send_signal(signal.SIGKILL)
    try:
        wait_until(lambda: not any(map(runs, pids)))
    finally:
        for pid in filter(runs, pids):
            os.kill(pid, signal.SIGKILL)


@pytest.mark.skipif(sys.platform != "linux", reason="looks into /proc")
def test_what_a_command_leaves_behind_goes_on(tmp_path):
    done = run_command("sleep 300 > /dev/null 2>&1 & echo $!", cwd=str(tmp_path))
    [pid] = map(int, done.tail)
    try:
        assert runs(pid)
    finally:
        os.kill(pid, signal.SIGKILL)


def test_a_command_that_cannot_be_started_says_so(tmp_path):
    with pytest.raises(FileNotFoundError):
        run_command([str(tmp_path / "nothing")])


def children() -> set[str]:
    """The processes this one has, waited for or not."""
    tasks = Path("/proc/self/task").iterdir()
    return {child for task in tasks for child in (task / "children").read_text().split()}


@pytest.mark.skipif(sys.platform != "linux", reason="looks into /proc")
def test_no_guardian_is_left(tmp_path):
    before = children()
    for _ in range(3):
        assert run_command(["true"], cwd=str(tmp_path)).exit_code == 0
    assert children() <= before
