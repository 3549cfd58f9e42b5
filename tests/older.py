"""SQLite databases as the schema version before this one left them."""

from __future__ import annotations

from typing import Any

import apsw

from execlog.store.sql import migrations

LATEST = len(migrations("sqlite"))


def make_older(connection: Any) -> None:
    """Take back what the latest migration did, so that the next who opens the database does it again."""
    assert LATEST == 5, "say here what the latest migration added"
    before = apsw.Connection(":memory:")
    for _, sql in migrations("sqlite")[: LATEST - 1]:
        before.execute(sql).fetchall()
    (made,) = before.execute("select sql from sqlite_master where name = 'buckets'").fetchall()[0]
    connection.execute("begin immediate; alter table buckets rename to later").fetchall()
    connection.execute(made).fetchall()
    connection.execute(
        "insert into buckets select * from later "
        "where resolution < 86400 or series = 'all' or series glob 'kind' || char(31) || '*'"
    ).fetchall()
    connection.execute("drop table later").fetchall()
    connection.pragma("user_version", LATEST - 1)
    connection.execute("commit").fetchall()
