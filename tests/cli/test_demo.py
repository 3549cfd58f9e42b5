"""`execlog demo`: all four families over real prices, and what it says about them."""

from __future__ import annotations

import json
import re
import shlex
import signal
import subprocess
import sys

import pytest

import known

RAN = {
    "job": ["11", "7", "4", "FetchError:"],
    "pipeline": ["2", "1", "1", "GOOG/1mo:"],
    "workflow": ["8", "6", "2", "LookupError:"],
    "query": ["10", "6", "3", "1"],
}
"""The summary's figures by family, with polars and DuckDB: ran, succeeded, then what there is of the other ends."""


HIDING = """
import importlib.util
find = importlib.util.find_spec
importlib.util.find_spec = lambda name, package=None: None if name in ("polars", "duckdb") else find(name, package)
"""
"""A Python in which two extras are not to be found."""


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
        status = r"partial +backfill \d+ .* 4/5 " if year < 2004 else r"succeeded +backfill \d+ .* 5/5"
        assert re.search(status.replace(r"\d+", str(year)), done.stdout), year
    rows = {line[0]: line[1:5] for line in map(str.split, done.stdout.splitlines()) if line[:1] and line[0] in RAN}
    assert rows == RAN
    assert "no rows for GOOG between 2000-01-01 and 2000-12-31" in done.stdout
    assert "no model is asked" in done.stdout
    assert "11 jobs: 7 succeeded, 4 partial, 0 failed" in done.stdout
    assert "55 fetches, 560 rows" in done.stdout
    assert done.stdout.count("\n  curl -s ") == 5
    home = tmp_path / ".execlog-demo"
    partial = execlog(home, "list", "--kind", "job", "--status", "partial", "--no-header").stdout.splitlines()
    assert sorted(line.split("\t")[4] for line in partial) == [f"backfill-{year}" for year in range(2000, 2004)]
    assert len(execlog(home, "failures", "--kind", "job", "--no-header").stdout.splitlines()) == 1
    lines = re.findall(r"^  (.*-m execlog .*)$", done.stdout, re.MULTILINE)
    assert len(lines) == 4
    for line in lines:
        subprocess.run(shlex.split(line), cwd=tmp_path, env=known.environment(), check=True, capture_output=True)


def test_it_is_made_anew_and_never_in_a_real_home(execlog, tmp_path):
    assert demo("--once", cwd=tmp_path).returncode == 0
    assert demo("--once", cwd=tmp_path).returncode == 0
    assert len(execlog(tmp_path / ".execlog-demo", "list", "--kind", "job", "--no-header").stdout.splitlines()) == 11
    execlog(tmp_path / "real", "run", "--", "true")
    done = demo("--once", "--home", "real", cwd=tmp_path)
    assert (done.returncode, "is not a demo's" in done.stderr) == (1, True)
    assert demo("--once", cwd=tmp_path, EXECLOG_HOME=str(tmp_path / "real")).returncode == 0
    assert (tmp_path / "real-demo").is_dir()
    assert len(execlog(tmp_path / "real", "list", "--no-header").stdout.splitlines()) == 1


@pytest.mark.parametrize("how", ["environment", "option"])
def test_its_lines_find_the_history_wherever_it_is(tmp_path, how):
    other = f"sqlite:///{tmp_path / 'other.db'}"
    named, more = ((), {"EXECLOG_STORE": other}) if how == "environment" else (("--store", other), {})
    done = demo("--once", *named, cwd=tmp_path, **more)
    assert (done.returncode, done.stderr) == (0, "")
    assert "stays at http://127.0.0.1:8321:" in done.stdout
    line = re.search(r"^  (.*-m execlog .* list --status partial)$", done.stdout, re.MULTILINE)[1]
    found = subprocess.run(
        shlex.split(line), cwd=tmp_path, env=known.environment(**more), check=True, capture_output=True, text=True
    )
    assert "backfill-2003" in found.stdout
    if how == "option":
        again = demo("--once", *named, cwd=tmp_path)
        assert (again.returncode, "a demo needs an empty store" in again.stderr) == (1, True)


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
        assert (again.returncode, "no rows for GOOG" in again.stdout) == (1, True), again.stdout + again.stderr
        beside = demo("--once", "--home", str(tmp_path / "home"), cwd=tmp_path)
        assert (beside.returncode, "a demo is running in" in beside.stderr) == (1, True)
        os.kill(terminal.pid, number)
        assert terminal.wait() == 0
        assert "Traceback" not in terminal.output


def test_without_an_extra_it_says_what_is_left_out(tmp_path):
    hidden = tmp_path / "hidden"
    hidden.mkdir()
    (hidden / "sitecustomize.py").write_text(HIDING)
    done = demo("--once", cwd=tmp_path, PYTHONPATH=f"{hidden}:{known.SOURCE}")
    assert (done.returncode, done.stderr) == (0, "")
    assert "computes no features without polars: pip install 'execlog[frames]'" in done.stdout
    assert "It asks SQLite only without duckdb: pip install 'execlog[duckdb]'" in done.stdout
    assert re.search(r"^pipeline +2 +1 +1 ", done.stdout, re.MULTILINE)
    assert re.search(r"^query +6 +3 +2 +1 ", done.stdout, re.MULTILINE)
