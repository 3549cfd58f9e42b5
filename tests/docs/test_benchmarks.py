"""The page about benchmarks says what the results say, and every program is run."""

from __future__ import annotations

import re
import runpy
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]
BENCHMARKS = ROOT / "benchmarks"


def test_the_page_its_picture_and_the_readme_are_what_the_results_make_of_them(monkeypatch):
    monkeypatch.setattr(sys, "path", [str(BENCHMARKS), *sys.path])
    written = runpy.run_path(str(BENCHMARKS / "write_page.py"))["write"]()
    assert len(written) == 3
    for path, text in written.items():
        assert path.read_text() == text, f"{path.name}: write it anew: python benchmarks/write_page.py"


def test_the_readme_has_a_place_for_its_table():
    assert (ROOT / "README.md").read_text().count("<!-- measured -->\n") == 1


def test_every_program_is_run_and_nothing_else():
    listed = re.search(r'all="([^"]*)"', (ROOT / ".ci" / "bench").read_text())
    assert listed is not None
    programs = {path.stem for path in BENCHMARKS.glob("*.py") if "Report(" in path.read_text()} - {"report"}
    assert set(listed[1].split()) == programs
