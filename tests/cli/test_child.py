"""A command run through `Child` behaves as without it: on pipes, on a terminal, under signals."""

from __future__ import annotations

import json
import os
import shlex
import signal
import subprocess
import sys
import textwrap

import pytest

import known
import servers
import terminals
from chores import wait_for

RUNNER = textwrap.dedent("""
    import json, os, sys
    from execlog.cli.child import Child, waiting_signals, why_not
    report, timeout, *command = sys.argv[1:]
    with waiting_signals():
        child = Child(command, dict(os.environ), keep=100)
        try:
            ending = child.run(timeout=float(timeout) or None)
        except OSError as error:
            code, message = why_not(command[0], error)
            print(message, file=sys.stderr)
            sys.exit(code)
    with open(report, "w") as file:
        json.dump({**ending._asdict(), "tail": child.tail.text(), "total": child.tail.total,
                   "last": child.errors.last_line()}, file)
    sys.exit(ending.code)
""")


@pytest.fixture
def wrapped(tmp_path):
    """The command line that runs a command through `Child`."""

    def make(*command: str, timeout: float = 0) -> list[str]:
        return [sys.executable, "-c", RUNNER, str(tmp_path / "report"), str(timeout), *command]

    return make


@pytest.fixture
def report(tmp_path):
    return lambda: json.loads((tmp_path / "report").read_text())


@pytest.fixture
def run(wrapped):
    """What became of a command run on pipes."""

    def run_it(*command: str, timeout: float = 0, **more) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            wrapped(*command, timeout=timeout),
            env=known.environment(),
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
            **more,
        )

    return run_it


def python(code: str) -> tuple[str, str, str]:
    return sys.executable, "-uc", textwrap.dedent(code)


def test_output_errors_and_code_pass_through_apart(run, report):
    done = run("sh", "-c", "echo out; echo err >&2; exit 3")
    assert (done.returncode, done.stdout, done.stderr) == (3, "out\n", "err\n")
    assert report()["last"] == "err"


def test_input_passes_through(run):
    assert run("tr", "a-z", "A-Z", input="hello\n").stdout == "HELLO\n"


def test_bytes_that_are_no_text_pass_through(wrapped, report):
    done = subprocess.run(
        wrapped("printf", r"\377\000\n"), env=known.environment(), capture_output=True, timeout=60, check=False
    )
    assert done.stdout == b"\xff\x00\n"
    assert report()["tail"] == "\ufffd\0\n"


def test_large_output_is_whole_and_its_end_is_kept_in_whole_lines(run, report):
    done = run("seq", "200000")
    assert done.stdout == "".join(f"{number}\n" for number in range(1, 200001))
    assert report()["total"] == len(done.stdout)
    assert report()["tail"].splitlines() == [str(number) for number in range(199987, 200001)]


def test_a_command_that_does_not_exist_or_cannot_be_run(run, tmp_path):
    plain = tmp_path / "plain"
    plain.write_text("no program")
    assert run("no-such-command-here").returncode == 127
    assert run(str(tmp_path / "missing")).returncode == 127
    assert run(str(plain)).returncode == 126
    assert run(str(tmp_path)).returncode == 126
    plain.chmod(0o755)
    done = run(str(plain))
    assert (done.returncode, done.stderr) == (126, f"{plain}: not a program (no #! line?)\n")


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGSEGV, signal.SIGTERM])
def test_a_command_killed_by_a_signal_gives_128_and_the_number(run, report, number):
    assert run("sh", "-c", f"kill -{number.value} $$").returncode == 128 + number
    assert report()["signal"] == number
    assert report()["forwarded"] == []


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGUSR1, signal.SIGQUIT])
def test_signals_are_handed_on(wrapped, report, number):
    catching = python(f"""
        import signal, sys
        signal.signal({number.value}, lambda number, frame: sys.exit(40 + number))
        print("ready")
        while True: signal.pause()
    """)
    with subprocess.Popen(wrapped(*catching), stdout=subprocess.PIPE, text=True, env=known.environment()) as process:
        assert process.stdout.readline() == "ready\n"
        process.send_signal(number)
        assert process.wait(timeout=20) == 40 + number
    assert report()["forwarded"] == [number]


def test_the_command_begins_with_no_signal_blocked_and_sigpipe_as_usual(run):
    status = run("grep", "-E", "^(SigBlk|SigIgn)", "/proc/self/status").stdout.split()
    assert int(status[1], 16) == 0
    assert not int(status[3], 16) & (1 << (signal.SIGPIPE - 1))


def test_when_nobody_reads_the_command_learns_of_it(wrapped):
    first = subprocess.Popen(wrapped("yes"), stdout=subprocess.PIPE, env=known.environment())
    subprocess.run(["head", "-1"], stdin=first.stdout, check=True, capture_output=True)
    first.stdout.close()
    assert first.wait(timeout=20) == 128 + signal.SIGPIPE


def test_a_descendant_left_in_the_background_is_not_waited_for_and_goes_on_writing(wrapped, tmp_path):
    gate, out, errors = tmp_path / "gate", tmp_path / "out", tmp_path / "errors"
    os.mkfifo(gate)
    later = f"(read go < {gate}; echo later; echo more; echo trouble >&2; echo whole > {tmp_path}/end) & echo done"
    with out.open("wb") as one, errors.open("wb") as other:
        subprocess.run(
            wrapped("sh", "-c", later), stdout=one, stderr=other, env=known.environment(), check=True, timeout=60
        )
    assert out.read_text() == "done\n"
    gate.write_text("go\n")
    wait_for((tmp_path / "end").exists)
    wait_for(lambda: (out.read_text(), errors.read_text()) == ("done\nlater\nmore\n", "trouble\n"))


def test_who_reads_on_sees_the_end_when_the_last_descendant_ends(run):
    assert run("sh", "-c", "(sleep 0.2; echo later) & echo done").stdout == "done\nlater\n"


def test_time_that_is_up_ends_a_command_and_then_kills_it(run, report, monkeypatch):
    assert run("sleep", "300", timeout=0.2).returncode == 128 + signal.SIGTERM
    assert report()["timed_out"] == 0.2


def test_a_stubborn_command_is_killed_when_its_time_is_up(run):
    stubborn = python("""
        import signal
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        while True: signal.pause()
    """)
    assert run(*stubborn, timeout=0.5).returncode == 128 + signal.SIGKILL


def test_on_a_terminal_the_command_has_one_of_the_same_size(wrapped):
    ask = python(
        "import os; print([os.isatty(n) for n in range(3)], *os.get_terminal_size()); open('/dev/tty').close()"
    )
    with terminals.Terminal(wrapped(*ask), known.environment(), rows=33, columns=77) as terminal:
        terminal.expect(r"\[True, True, True\] 77 33\n")
        assert terminal.wait() == 0


def test_lines_typed_are_echoed_once_and_read(wrapped):
    with terminals.Terminal(
        wrapped("sh", "-c", "printf 'name? '; read line; echo got $line"), known.environment()
    ) as terminal:
        terminal.expect(r"^name\? ")
        terminal.type("hello\n")
        terminal.expect(r"^hello\ngot hello\n$")
        assert terminal.wait() == 0
        assert not terminal.is_raw()


def test_single_keys_reach_a_full_screen_program(wrapped):
    reader = python("""
        import sys, tty
        tty.setraw(1)
        print("ready")
        print("key", sys.stdin.read(1))
    """)
    with terminals.Terminal(wrapped(*reader), known.environment()) as terminal:
        terminal.expect("ready")
        terminal.type("x")
        terminal.expect("key x")
        assert terminal.wait() == 0


def test_ctrl_c_interrupts_the_command_once(wrapped):
    counting = python("""
        import signal, sys, time
        caught = []
        signal.signal(signal.SIGINT, lambda *_: caught.append(1))
        print("ready")
        while not caught: time.sleep(0.01)
        time.sleep(0.3)
        sys.exit(50 + len(caught))
    """)
    with terminals.Terminal(wrapped(*counting), known.environment()) as terminal:
        terminal.expect("ready")
        terminal.type("\x03")
        assert terminal.wait() == 51


@pytest.mark.parametrize("stream", [1, 2])
def test_ctrl_c_interrupts_the_command_once_when_an_output_goes_elsewhere(wrapped, stream, tmp_path):
    counting = python(f"""
        import os, signal, sys, time
        caught = []
        signal.signal(signal.SIGINT, lambda *_: caught.append(1))
        os.write({3 - stream}, b"ready %d" % os.isatty({3 - stream}))
        while not caught: time.sleep(0.01)
        time.sleep(0.3)
        sys.exit(50 + len(caught))
    """)
    with terminals.Terminal(
        wrapped(*counting), known.environment(), redirect={stream: str(tmp_path / "out")}
    ) as terminal:
        terminal.expect("ready 1")
        terminal.type("\x03")
        assert terminal.wait() == 51


def test_a_new_window_size_reaches_the_command(wrapped):
    watching = python("""
        import os, signal
        signal.signal(signal.SIGWINCH, lambda *_: None)
        signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGWINCH})  # or it may come right before the waiting
        print("ready")
        while os.get_terminal_size() != (60, 20): signal.sigwait({signal.SIGWINCH})
        print("resized")
    """)
    with terminals.Terminal(wrapped(*watching), known.environment()) as terminal:
        terminal.expect("ready")
        terminal.resize(20, 60)
        terminal.expect("resized")
        assert terminal.wait() == 0


def test_ctrl_z_stops_both_and_both_go_on(wrapped, tmp_path):
    waiting = wrapped(*python("print('ready'); input(); print('went on')"))
    script = tmp_path / "script"
    script.write_text(f"exec {shlex.join(waiting)}")
    shell = ["bash", "--norc", "-i"]
    with terminals.Terminal(shell, known.environment(PS1="$ ", HISTFILE="")) as terminal:
        terminal.expect(r"\$ ")
        terminal.type(f"sh {script}\n")
        terminal.expect("ready\n")
        terminal.type("\x1a")
        terminal.expect("Stopped")
        terminal.type("echo in the shell\n")
        terminal.expect("in the shell\n")
        terminal.type("fg\n")
        terminal.expect(f"sh {script}\n")
        terminal.type("\n")
        terminal.expect("\nwent on")
        terminal.expect(r"\$ ")
        terminal.type("exit\n")
        assert terminal.wait() == 0


@pytest.fixture
def hangups():
    """What runs the tests may ignore hang-ups (nohup does), and children inherit that."""
    before = signal.signal(signal.SIGHUP, signal.SIG_DFL)
    yield
    signal.signal(signal.SIGHUP, before)


def test_the_terminal_going_away_hangs_the_command_up(wrapped, tmp_path, hangups):
    sleeper = ("sh", "-c", f"echo $$ > {tmp_path}/pid; echo ready; exec sleep 300")
    with terminals.Terminal(wrapped(*sleeper), known.environment()) as terminal:
        terminal.expect("ready")
        pid = int((tmp_path / "pid").read_text())
        os.close(terminal.master)
        terminal.master = os.open(os.devnull, os.O_RDONLY)
        servers.wait_until(lambda: not os.path.exists(f"/proc/{pid}"), 60, "the command's end")  # noqa: PTH110 - a plain look
        servers.wait_until(lambda: os.waitpid(terminal.pid, os.WNOHANG)[0], 60, "the runner's end")
        terminal._code = 0
