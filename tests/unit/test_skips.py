"""A skip that CI does not expect fails the run, in one process and with workers."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

import skips

SUITE = """
import pytest

@pytest.mark.skip(reason="no such server")
def test_left_out(): ...

@pytest.mark.xfail(reason="known", strict=True)
def test_known(): raise AssertionError

def test_runs(): ...
"""


def run_suite(folder: Path, expected: str, *words: str) -> subprocess.CompletedProcess[str]:
    folder.joinpath("test_suite.py").write_text(SUITE)
    folder.joinpath("conftest.py").write_text(
        "import skips\n"
        "def pytest_configure(config):\n"
        "    if not hasattr(config, 'workerinput'):\n"
        f"        config.pluginmanager.register(skips.Watch({expected!r}))\n"
    )
    return subprocess.run(
        [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", "-p", "no:valkey", *words],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": str(Path(skips.__file__).parent)},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


@pytest.mark.parametrize("words", [[], ["-n", "2"]], ids=["alone", "workers"])
def test_an_unexpected_skip_fails_the_run_and_is_named(tmp_path, words):
    done = run_suite(tmp_path, "test_suite.py::test_other: no such server", *words)
    assert done.returncode == pytest.ExitCode.TESTS_FAILED
    assert "test_suite.py::test_left_out: no such server" in done.stdout
    assert "1 passed, 1 skipped, 1 xfailed" in done.stdout


@pytest.mark.parametrize("words", [[], ["-n", "2"]], ids=["alone", "workers"])
def test_an_expected_skip_passes(tmp_path, words):
    done = run_suite(tmp_path, "# why\ntest_suite.py::*: no such *", *words)
    assert done.returncode == pytest.ExitCode.OK, done.stdout


def test_a_skipped_module_counts(tmp_path):
    tmp_path.joinpath("test_module.py").write_text("import pytest; pytest.importorskip('no_such_module')")
    done = run_suite(tmp_path, "test_suite.py::*: no such *")
    assert done.returncode == pytest.ExitCode.TESTS_FAILED
    assert "test_module.py: could not import 'no_such_module'" in done.stdout


def test_patterns_take_brackets_literally():
    (pattern,) = skips.parse("test_a.py::test_b[1-*]: why")
    assert pattern.fullmatch("test_a.py::test_b[1-x]: why")
    assert not pattern.fullmatch("test_a.py::test_b1: why")
