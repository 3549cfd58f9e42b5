"""The reference says every setting there is, and the example runs."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from execlog.kinds.queries.connections import CONNECTORS, Limits
from execlog.kinds.queries.connectors.dbapi import DBAPIOptions
from execlog.kinds.queries.connectors.duckdb import DuckDBOptions
from execlog.kinds.queries.connectors.kdb import KdbOptions
from execlog.kinds.queries.connectors.postgres import PostgresOptions
from execlog.kinds.queries.connectors.sqlite import SqliteOptions
from execlog.kinds.queries.connectors.trino import TrinoOptions

ROOT = Path(__file__).parents[3]
PAGE = (ROOT / "docs" / "reference" / "connectors.md").read_text("utf-8")
OPTIONS = {
    "Settings of every connection": Limits,
    "sqlite": SqliteOptions,
    "duckdb": DuckDBOptions,
    "postgres": PostgresOptions,
    "trino and starburst": TrinoOptions,
    "kdb": KdbOptions,
    "dbapi": DBAPIOptions,
}


@pytest.mark.parametrize("title", OPTIONS)
def test_every_setting_is_documented(title):
    section = PAGE.partition(f"\n## {title}\n")[2].partition("\n## ")[0]
    missing = [name for name in OPTIONS[title].__struct_fields__ if f"`{name}`" not in section]
    assert section
    assert not missing


def test_every_type_is_documented():
    assert all(f"`{kind}`" in PAGE for kind in CONNECTORS)


def test_the_example_runs():
    path = ROOT / "examples" / "queries" / "ask_and_look_back.py"
    done = subprocess.run([sys.executable, str(path)], capture_output=True, text=True, check=False, timeout=60)
    assert done.returncode == 0, done.stderr
    assert "ann: " in done.stdout
    assert "timeout" in done.stdout
