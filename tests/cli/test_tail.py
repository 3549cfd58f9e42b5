"""Following what happens: `execlog tail`."""

from __future__ import annotations

import json
import os
import select
import signal
import subprocess
import sys

import known
import servers
from execlog.ledger import Ledger


def test_ctrl_c_ends_a_tail_quietly(on_terminal, known_home):
    with on_terminal(known_home, "tail", "-f", "-n", "1") as terminal:
        terminal.expect("features")
        terminal.type("\x03")
        assert terminal.wait() == 130
        assert "Traceback" not in terminal.output


def test_a_tail_follows_what_starts_and_ends(home, on_terminal):
    follow = ("tail", "-f", "-n", "1", "--kind", "task", "--no-color")
    with Ledger.open(home=home) as ledger, on_terminal(home, *follow) as terminal:
        terminal.expect("nightly.*\n")
        with ledger.run("live") as run:
            ledger.record("other", kind="query")
            ledger.flush()
            terminal.expect(r"running +live")
            run.log("a change that is no news")
            run.fail("broken")
        ledger.flush()
        terminal.expect(r"failed +live .*broken")
        assert "other" not in terminal.output
        os.kill(terminal.pid, signal.SIGINT)
        assert terminal.wait() == 130


def test_a_tail_in_a_pipe_is_flushed_line_by_line(home):
    command = [sys.executable, "-m", "execlog.cli.main", "--home", str(home), "tail", "-f", "-n", "0", "--json"]
    with (
        subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=known.environment()) as process,
        Ledger.open(home=home) as ledger,
    ):
        try:

            def followed() -> bool:
                ledger.record("again")
                return bool(select.select([process.stdout], [], [], 0.2)[0])

            servers.wait_until(followed, 20, "a line of the tail")
            assert json.loads(process.stdout.readline())["name"] == "again"
        finally:
            process.kill()
