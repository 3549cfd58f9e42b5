"""`execlog demo`: real jobs over real prices, and what it says about them."""

from __future__ import annotations

import json
import re
import shlex
import signal
import subprocess
import sys

import pytest

import known


def demo(*arguments: str, cwd, **more: str):
    return subprocess.run(
        [sys.executable, "-m", "execlog", "demo", *arguments],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
        cwd=cwd,
        env=known.environment(**more),
    )


def test_once_ends_with_the_summary_and_leaves_the_history(execlog, tmp_path):
    done = demo("--once", cwd=tmp_path)
    assert (done.returncode, done.stderr) == (0, "")
    for year in range(2000, 2011):
        status, ran = ("partial", 5) if year < 2004 else ("succeeded", 5)
        assert re.search(rf"backfill-{year} +\S {status} +{ran} ", done.stdout), year
    assert "7 succeeded, 4 partial, 0 failed; 55 fetches, 560 rows" in done.stdout
    assert "no rows for GOOG between 2000-01-01 and 2000-12-31" in done.stdout
    assert done.stdout.count("\n  curl -s ") == 3
    home = tmp_path / ".execlog-demo"
    partial = execlog(home, "list", "--status", "partial", "--no-header").stdout.splitlines()
    assert sorted(line.split("\t")[4] for line in partial) == [f"backfill-{year}" for year in range(2000, 2004)]
    assert len(execlog(home, "failures", "--no-header").stdout.splitlines()) == 1
    lines = re.findall(r"^  (.*-m execlog .*)$", done.stdout, re.MULTILINE)
    assert len(lines) == 3
    for line in lines:
        subprocess.run(shlex.split(line), cwd=tmp_path, env=known.environment(), check=True, capture_output=True)


def test_it_is_made_anew_and_never_in_a_real_home(execlog, tmp_path):
    assert demo("--once", cwd=tmp_path).returncode == 0
    assert demo("--once", cwd=tmp_path).returncode == 0
    assert len(execlog(tmp_path / ".execlog-demo", "list", "--no-header").stdout.splitlines()) == 11
    execlog(tmp_path / "real", "run", "--", "true")
    done = demo("--once", "--home", "real", cwd=tmp_path)
    assert (done.returncode, "is not a demo's" in done.stderr) == (1, True)
    assert demo("--once", cwd=tmp_path, EXECLOG_HOME=str(tmp_path / "real")).returncode == 0
    assert (tmp_path / "real-demo").is_dir()
    assert len(execlog(tmp_path / "real", "list", "--no-header").stdout.splitlines()) == 1


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_it_goes_on_until_it_is_stopped(on_terminal, tmp_path, number):
    import os
    import urllib.request

    with on_terminal(tmp_path / "home", "demo", "--port", "0", "--no-color") as terminal:
        url = terminal.expect(r"It is all at (http://127.0.0.1:\d+)")[1]
        retry = shlex.split(terminal.expect(r"\n  (.* retry \S+ --failed-items)\n")[1])
        terminal.expect(r"succeeded +tick ")
        record = json.load(urllib.request.urlopen(f"{url}/scheduler/jobs/backfill-2003/latest-execution"))
        assert (record["status"], record["failed_stocks"]) == ("partial_success", ["GOOG"])
        again = subprocess.run(retry, env=known.environment(), check=False, capture_output=True, text=True)
        assert (again.returncode, "no rows for GOOG" in again.stdout) == (1, True)
        beside = demo("--once", "--home", str(tmp_path / "home"), cwd=tmp_path)
        assert (beside.returncode, "a demo is running in" in beside.stderr) == (1, True)
        os.kill(terminal.pid, number)
        assert terminal.wait() == 0
        assert "Traceback" not in terminal.output
