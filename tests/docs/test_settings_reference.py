"""The page about settings has every setting, with the default it really has, and every table of the file."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

import pytest

from execlog.core.settings import SECTIONS, Settings

PAGE = (Path(__file__).parents[2] / "docs" / "reference" / "settings.md").read_text()
ROWS = dict(re.findall(r"^\| `(\w+)` \| (.+?) \| .+ \|$", PAGE, re.MULTILINE))
IN_WORDS = {"home": "the user's data folder", "store": "SQLite in the home"}


@pytest.mark.parametrize("name", Settings.__struct_fields__)
def test_a_setting_is_documented_with_its_default(name):
    default = getattr(Settings(), name)
    told = ROWS.get(name, "no row of the page")
    if name in IN_WORDS:
        assert told == IN_WORDS[name]
    elif told == "none":
        assert default in ((), {})
    else:
        assert tomllib.loads(f"value = {told.strip('`')}")["value"] == default


def test_nothing_else_is_documented_as_a_setting():
    assert set(ROWS) == set(Settings.__struct_fields__)


def test_the_tables_of_the_file_are_those_that_are_read():
    assert {name.partition(".")[0] for name in re.findall(r"^\| `\[([\w.]+)\]` \|", PAGE, re.MULTILINE)} == SECTIONS
