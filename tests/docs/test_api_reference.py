"""The page about the API says what the route table says."""

from __future__ import annotations

import runpy
from pathlib import Path

REFERENCE = Path(__file__).parents[2] / "docs" / "reference"


def test_the_page_is_what_the_table_makes_of_it():
    written = runpy.run_path(str(REFERENCE / "write_api.py"))["write"]()
    kept = (REFERENCE / "api.md").read_text()
    assert written == kept, "write it anew: python docs/reference/write_api.py"
