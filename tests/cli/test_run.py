"""`execlog run`: the command as if alone, and its record."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

import known
import servers


@pytest.fixture
def home(tmp_path):
    return tmp_path / "home"


@pytest.fixture
def latest(execlog, home):
    """The newest execution, whole."""

    def find() -> dict:
        found = json.loads(execlog(home, "list", "-n", "1", "--json").stdout)["executions"][0]
        return json.loads(execlog(home, "show", found["id"], "--json").stdout)

    return find


def test_a_command_that_goes_well(execlog, latest, home):
    done = execlog(home, "run", "--tag", "host=db1", "--", "echo", "--home", "hello")
    assert (done.stdout, done.stderr) == ("--home hello\n", "")
    one = latest()
    assert (one["status"], one["kind"], one["subject"], one["name"]) == ("succeeded", "command", "echo", "echo")
    assert one["params"] == {"command": ["echo", "--home", "hello"], "cwd": str(Path.cwd())}
    assert one["output"] == {"exit_code": 0, "bytes": 13, "tail": "--home hello\n"}
    assert one["tags"] == {"host": "db1"}
    assert one["duration"] > 0


def test_a_command_that_fails_says_why(execlog, latest, home):
    done = execlog(home, "run", "--name", "import", "--", "sh", "-c", "echo out; echo 'bad date' >&2; exit 3", code=3)
    assert (done.stdout, done.stderr) == ("out\n", "bad date\n")
    one = latest()
    assert (one["status"], one["subject"]) == ("failed", "import")
    assert (one["error"]["type"], one["error"]["message"]) == ("ExitCode", "exit code 3: bad date")
    assert one["output"]["tail"] in {"out\nbad date\n", "bad date\nout\n"}


def test_without_dashes_too(execlog, home):
    assert execlog(home, "run", "--name", "x", "echo", "-n", "hi").stdout == "hi"


def test_a_command_killed_by_a_signal(execlog, latest, home):
    execlog(home, "run", "--", "sh", "-c", "kill -9 $$", code=137)
    assert latest()["error"]["message"] == "killed by SIGKILL"


@pytest.mark.parametrize(("command", "code"), [("no-such-command-at-all", 127), ("/etc/passwd", 126)])
def test_a_command_that_cannot_be_started(execlog, latest, home, command, code):
    done = execlog(home, "run", "--", command, code=code)
    assert done.stderr.startswith(f"execlog: {command}: ")
    one = latest()
    assert (one["status"], one["error"]["type"]) == ("failed", "NotStarted")
    assert one["output"]["exit_code"] == code


def test_a_command_whose_time_is_up(execlog, latest, home):
    execlog(home, "run", "--timeout", "200ms", "--", "sleep", "60", code=124)
    one = latest()
    assert (one["status"], one["error"]["message"]) == ("timed_out", "it was still running after 200 ms")


def test_a_command_stopped_from_outside_is_cancelled(home, latest):
    command = [
        sys.executable,
        "-m",
        "execlog",
        "--home",
        str(home),
        "run",
        "--",
        "sh",
        "-c",
        "echo ready; exec sleep 60",
    ]
    with subprocess.Popen(command, stdout=subprocess.PIPE, env=known.environment()) as process:
        assert process.stdout.readline() == b"ready\n"
        process.send_signal(signal.SIGTERM)
        assert process.wait(timeout=20) == 143
    one = latest()
    assert (one["status"], one["error"]["message"]) == ("cancelled", "stopped with SIGTERM")


def test_secrets_do_not_get_into_the_history(execlog, home):
    execlog(home, "run", "--", "sh", "-c", "echo token=abcdef123; exit 1", "--", "--password=hunter22", code=1)
    everything = execlog(home, "export").stdout
    assert "hunter22" not in everything
    assert "abcdef123" not in everything
    stored = b"".join(path.read_bytes() for path in home.rglob("*") if path.is_file())
    assert b"hunter22" not in stored
    assert b"abcdef123" not in stored


def test_a_run_inside_a_run_is_its_child(execlog, home):
    inner = f"{sys.executable} -m execlog --home {home} run --name inner -- true"
    execlog(home, "run", "--name", "outer", "--", "sh", "-c", inner)
    lines = [line.split("\t") for line in execlog(home, "list", "--no-header").stdout.splitlines()]
    outer = next(line[0] for line in lines if line[4] == "outer")
    assert execlog(home, "list", "--parent", outer, "--no-header").stdout.split("\t")[4] == "inner"
    assert "Children\n" in execlog(home, "show", outer).stdout


def test_when_nothing_can_be_recorded_the_command_runs(execlog, tmp_path):
    (tmp_path / "file").write_text("")
    done = execlog(tmp_path / "file" / "home", "run", "--", "sh", "-c", "echo fine; exit 5", code=5)
    assert done.stdout == "fine\n"
    (tmp_path / "execlog.toml").write_text("nonsense = 1")
    done = execlog(tmp_path, "run", "--", "echo", "fine")
    assert (done.stdout, done.stderr.startswith("execlog: not recorded: ")) == ("fine\n", True)


def test_a_command_runs_in_a_folder_that_is_gone(latest, home, tmp_path):
    gone = tmp_path / "gone"
    gone.mkdir()
    command = [sys.executable, "-m", "execlog.cli.main", "--home", str(home), "run", "--", "true"]
    done = subprocess.run(
        ["sh", "-c", 'rmdir "$PWD"; exec "$@"', "sh", *command],
        cwd=gone, env=known.environment(), capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    assert (done.returncode, done.stderr) == (0, "")
    one = latest()
    assert (one["status"], one["params"]) == ("succeeded", {"command": ["true"], "cwd": None})


@pytest.mark.parametrize("name", ["bad\udcff", "p%20q"])
def test_a_home_of_an_odd_name_does_not_keep_the_command_from_running(execlog, tmp_path, name):
    done = execlog(tmp_path / name, "run", "--", "echo", "hello")
    assert done.stdout == "hello\n"
    assert ("not recorded: home: " in done.stderr) == (name == "bad\udcff")


def test_with_the_store_down_it_is_recorded_later(execlog, tmp_path, home):
    blocked = tmp_path / "folder"
    blocked.write_text("in the way")
    store = f"sqlite:///{blocked}/execlog.db"
    assert execlog(home, "--store", store, "run", "--name", "later", "--", "echo", "fine").stdout == "fine\n"
    blocked.unlink()
    blocked.mkdir()
    assert execlog(home, "--store", store, "list", "--no-header").stdout.split("\t")[3:5] == ["succeeded", "later"]


def test_a_killed_run_is_crashed(execlog, home):
    command = [sys.executable, "-m", "execlog", "--home", str(home), "run", "--name", "victim", "--"]
    command += ["sh", "-c", "echo $$; exec sleep 60"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, env=known.environment()) as process:
        child = int(process.stdout.readline())
        process.kill()
    os.kill(child, signal.SIGKILL)

    def crashed() -> bool:
        line = execlog(home, "list", "--no-header").stdout
        return line.split("\t")[3:5] == ["crashed", "victim"]

    servers.wait_until(crashed, 15, "the end of the victim")


def test_on_a_terminal_the_command_has_it(on_terminal, latest, home):
    with on_terminal(
        home, "run", "--", "sh", "-c", "test -t 0 && test -t 1 && test -t 2 && tput cols", columns=91
    ) as terminal:
        terminal.expect("^91\n")
        assert terminal.wait() == 0
    assert latest()["output"]["tail"] == "91\n"


def test_ctrl_c_on_a_terminal_cancels_the_command(on_terminal, latest, home):
    with on_terminal(home, "run", "--name", "long", "--", "sh", "-c", "echo ready; exec sleep 60") as terminal:
        terminal.expect("ready")
        terminal.type("\x03")
        assert terminal.wait() == 130
    one = latest()
    assert (one["status"], one["error"]["message"]) == ("cancelled", "stopped with SIGINT")
