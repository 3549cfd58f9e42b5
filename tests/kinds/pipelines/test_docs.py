"""The page and the example say what the code does."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from execlog.kinds.pipelines.features import DEFAULT, FORMULAS

ROOT = Path(__file__).parents[3]


def test_the_page_has_every_feature_with_its_formula_and_source():
    page = (ROOT / "docs/how-to/backfill-and-freshness.md").read_text("utf-8")
    rows = re.findall(r"^\| `([a-z_]+?)(_N)?` \| (.+) \| (.+) \|$", page, flags=re.MULTILINE)
    assert {name: (bool(window), formula, source) for name, window, formula, source in rows} == {
        name: (bool(one.shortest), one.formula, one.source) for name, one in FORMULAS.items()
    }
    *most, last = (f"`{name}`" for name in DEFAULT)
    assert f"{', '.join(most)} and {last}" in " ".join(page.split())


def test_the_example_does_the_rest_the_second_time(tmp_path):
    pytest.importorskip("polars")
    environment = os.environ | {"EXECLOG_HOME": str(tmp_path), "PYTHONPATH": str(ROOT / "src")}
    command = [sys.executable, str(ROOT / "examples/pipelines/nightly.py")]
    first, second = (subprocess.check_output(command, env=environment, text=True, timeout=60) for _ in range(2))
    assert "partial: 0 done before, 8 now, 8 failed\ndegraded\n" in first
    assert "succeeded: 8 done before, 8 now, 0 failed\nhealthy\n" in second
