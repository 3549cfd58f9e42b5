"""A home with known executions in a real SQLite store, and the real command line on it."""

from __future__ import annotations

import subprocess
import sys

import pytest

import known
import terminals


@pytest.fixture(scope="session")
def known_home(tmp_path_factory):
    """A home with the executions of `known.events`; only to be read."""
    home = tmp_path_factory.mktemp("known") / "home"
    known.fill(home)
    return home


@pytest.fixture
def home(tmp_path):
    """A home of this test's own with the executions of `known.events`."""
    known.fill(tmp_path / "home")
    return tmp_path / "home"


def command(home, *arguments: str) -> list[str]:
    return [sys.executable, "-m", "execlog.cli.main", "--home", str(home), *arguments]


@pytest.fixture
def execlog():
    """Runs the command line in a pipe: `execlog(home, "list", code=0)` gives the finished process."""

    def run(home, *arguments: str, code: int = 0, **more) -> subprocess.CompletedProcess[str]:
        done = subprocess.run(
            command(home, *arguments),
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
            env=known.environment(),
            **more,
        )
        assert done.returncode == code, f"{done.returncode}: {done.stdout}{done.stderr}"
        assert "Traceback" not in done.stderr
        return done

    return run


@pytest.fixture
def on_terminal():
    """Starts the command line on a terminal of its own: `with on_terminal(home, "list") as terminal`."""

    def start(home, *arguments: str, **more) -> terminals.Terminal:
        return terminals.Terminal(command(home, *arguments), known.environment(), **more)

    return start
