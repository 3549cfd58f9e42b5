"""Commands in flight: what is kept of their output, and how they end."""

import os
import shutil
import signal
import time
from contextlib import closing
from pathlib import Path

from chores import wait_for
from execlog.core.model import Status
from execlog.runner.job import Call, Command
from execlog.runner.processes import ProcessLauncher
from execlog.runner.runner import Runner
from flights import order


def test_a_command_tells_exit_code_and_tail(runner, sink):
    result = runner.run(order(Command("echo one; echo two >&2; exit 3")))
    assert result.status is Status.FAILED
    assert result.error.message == "exit code 3: two"
    assert result.output["exit_code"] == 3
    assert result.output["tail"] == "one\ntwo"
    assert [line.message for line in sink.execution().logs] == ["one", "two"]


def test_a_command_runs_once_an_item_and_knows_it(runner):
    run = Command(("sh", "-c", 'echo "$EXECLOG_ITEM $EXECLOG_JOB_ID $EXECLOG_EXECUTION_ID $X"'), env={"X": "y"})
    result = runner.run(order(run, ["A;rm", "B"]))
    assert [item.output["tail"] for item in result.items] == ["A;rm j e y", "B j e y"]


def test_a_command_runs_in_the_folder_of_the_start_wherever_a_function_went(sink, monkeypatch, tmp_path):
    started, elsewhere = tmp_path / "started", tmp_path / "elsewhere"
    (started / "sub").mkdir(parents=True)
    elsewhere.mkdir()
    monkeypatch.chdir(started)
    with closing(Runner(sink)) as runner:
        runner.run(order(Call("os:chdir"), [str(elsewhere)]))
        assert Path.cwd() == elsewhere
        assert runner.run(order(Command("pwd"))).output["tail"] == str(started)
        assert runner.run(order(Command("pwd", cwd="sub"))).output["tail"] == str(started / "sub")
        shutil.rmtree(started)
        assert runner.run(order(Command("pwd"))).output["tail"] == str(elsewhere)


def test_functions_in_a_process_begin_in_the_folder_of_the_start(sink, monkeypatch, tmp_path):
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path)
    with closing(Runner(sink, launchers={"processes": ProcessLauncher(limit=1)})) as runner:
        runner.run(order(Call("os:chdir"), [str(tmp_path / "elsewhere")], launcher="processes"))
        assert runner.run(order(Call("os:getcwd"), launcher="processes")).output == str(tmp_path)


def test_a_command_that_is_not_there_fails_clearly(runner):
    result = runner.run(order(Command(("/no/such/command",))))
    assert (result.status, result.error.type) == (Status.FAILED, "FileNotFoundError")


def test_only_the_tail_of_much_output_is_kept(runner):
    result = runner.run(order(Command("seq 1 200000; printf 'no newline'")))
    lines = result.output["tail"].split("\n")
    assert lines[-2:] == ["200000", "no newline"]
    assert len(lines) <= 101


def test_of_one_endless_line_the_end_is_kept(runner):
    result = runner.run(order(Command("seq -s ' ' 1 20000 | tr -d '\\n'; printf ' no newline'; exit 3")))
    assert result.output["tail"].endswith("19999 20000 no newline")
    assert len(result.output["tail"]) == 16_384
    assert result.error.message.startswith("exit code 3: ")


def test_of_a_progress_bar_is_kept_what_it_said_last(runner):
    bar = "for i in $(seq 1 5000); do printf '%d of 5000 done\\r' $i; done; exit 4"
    result = runner.run(order(Command(f"printf 'one\\r\\n'; {bar}")))
    assert result.output["tail"] == "one\n5000 of 5000 done"
    assert result.error.message == "exit code 4: 5000 of 5000 done"


def test_a_timed_out_command_dies_with_its_whole_group_and_keeps_its_output(runner, tmp_path):
    pids = tmp_path / "pids"
    script = f"echo started; sleep 60 & echo $! >> {pids}; echo $$ >> {pids}; wait"
    result = runner.run(order(Command(script), timeout=0.3))
    assert (result.status, result.error.message) == (Status.TIMED_OUT, "Timeout after 0.3s")
    assert result.output["tail"] == "started"
    for pid in map(int, pids.read_text().split()):
        wait_for(lambda pid=pid: not is_alive(pid))


def test_a_command_that_ignores_sigterm_is_killed(runner, monkeypatch):
    monkeypatch.setattr("execlog.runner.commands.KILL_GRACE", 0.2)
    result = runner.run(order(Command("trap '' TERM; echo stubborn; while :; do sleep 0.05; done"), item_timeout=0.2))
    assert (result.status, result.output["exit_code"], result.output["tail"]) == (Status.TIMED_OUT, -9, "stubborn")


def test_a_cancelled_command_is_killed_and_still_tells_what_it_said(runner, tmp_path):
    ended, pid = [], tmp_path / "pid"
    runner.start(
        order(Command(f"echo $$ > {pid}.new; mv {pid}.new {pid}; echo hello; sleep 60")), lambda _o, r: ended.append(r)
    )
    wait_for(pid.exists)
    runner.cancel("e", "cancelled by hand")
    wait_for(lambda: ended)
    assert (ended[0].status, ended[0].error.message) == (Status.CANCELLED, "cancelled by hand")
    assert ended[0].output["tail"] == "hello"
    assert not is_alive(int(pid.read_text()))


def test_a_child_left_behind_does_not_hold_a_command_open(runner, tmp_path):
    began, pid = time.monotonic(), tmp_path / "pid"
    result = runner.run(order(Command(f"echo done; sleep 20 & echo $! > {pid}")))
    assert result.status is Status.SUCCEEDED
    assert time.monotonic() - began < 8
    os.kill(int(pid.read_text()), signal.SIGKILL)


def test_a_child_left_behind_goes_on_writing(runner, tmp_path):
    gate, end = tmp_path / "gate", tmp_path / "end"
    os.mkfifo(gate)
    result = runner.run(order(Command(f"(read go < {gate}; echo later; echo more; echo whole > {end}) & echo done")))
    assert result.output["tail"] == "done"
    gate.write_text("go\n")
    wait_for(end.exists)


def is_alive(pid):
    try:
        stat = Path(f"/proc/{pid}/stat").read_text()
        return stat.rsplit(")", 1)[1].split()[0] != "Z"
    except FileNotFoundError:
        return False
