"""SQL of the stores, kept as SQL: a folder per database, files of named queries, and migrations applied in order.

A named query is everything between `-- name: the_name` and the next such line; comments above the first name belong to
the file.
"""

from __future__ import annotations

import re
from functools import cache
from pathlib import Path

_FOLDER = Path(__file__).parent
_NAME = re.compile(r"^-- name: (\w+)\n", re.MULTILINE)
_MIGRATION = re.compile(r"(\d{3})_\w+\.sql")


@cache
def queries(database: str, file: str) -> dict[str, str]:
    """The named queries of a file such as ("sqlite", "read"), by name, in the order they are written."""
    pieces = _NAME.split((_FOLDER / database / f"{file}.sql").read_text("utf-8"))
    return {name: text.strip().removesuffix(";") for name, text in zip(pieces[1::2], pieces[2::2], strict=True)}


@cache
def migrations(database: str) -> tuple[tuple[int, str], ...]:
    """The migrations of a database as (version, SQL), in order, without a gap from 1."""
    found = sorted(path for path in (_FOLDER / database / "migrations").iterdir() if _MIGRATION.fullmatch(path.name))
    return tuple((number, path.read_text("utf-8")) for number, path in enumerate(found, 1))


def files(database: str) -> list[str]:
    """The names of the files of named queries of a database."""
    return sorted(path.stem for path in (_FOLDER / database).glob("*.sql") if path.stem != "schema")


def schema(database: str) -> str:
    """The whole schema as it is after all migrations: what people read, and what the migrations are proven equal to."""
    return (_FOLDER / database / "schema.sql").read_text("utf-8")
