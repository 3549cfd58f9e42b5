"""Databases as earlier schema versions left them."""

from __future__ import annotations

from typing import Any

import apsw

from execlog.store.sql import migrations

LATEST = len(migrations("sqlite"))
OLDER = 4
"""The version that `make_older` goes back to."""
POSTGRES = len(migrations("postgres"))
_PIPELINES, _QUERIES = (sql for _, sql in migrations("postgres")[1:3])
_VIEWS_OF_TEXTS = (
    _PIPELINES[_PIPELINES.index("create function execlog_iso") : _PIPELINES.index("-- The whole number")]
    + _PIPELINES[_PIPELINES.index("create view scheduler_execution_log") :]
    + _QUERIES
)
TAKE_BACK = {
    2: (
        "drop view feature_computation_failures, feature_freshness, symbol_computation_status; "
        "drop view scheduler_execution_log; drop function execlog_whole, execlog_iso; drop table pair_counts, pairs"
    ),
    3: "drop view user_recent_executions, execution_analytics, query_executions",
    4: "drop table firings, jobs",
    5: "delete from buckets where resolution = 86400 and series <> 'all' and not series ^@ ('kind' || chr(31))",
    6: "drop index executions_texts",
    7: (
        "drop view user_recent_executions, execution_analytics, query_executions; "
        "drop view feature_computation_failures, feature_freshness, symbol_computation_status; "
        "drop view scheduler_execution_log; drop function execlog_instant; " + _VIEWS_OF_TEXTS
    ),
    8: "delete from subjects where subject = ''",
    9: "delete from buckets where resolution in (600, 21600)",
    10: "alter table pairs drop column last_bar_at",
}
"""What takes back what each migration of PostgreSQL after the first did."""


def make_older(connection: Any) -> None:
    """Take back what the migrations after `OLDER` did, so that the next who opens the database does it again."""
    assert LATEST == 8, "say here what the latest migration added"
    before = apsw.Connection(":memory:")
    for _, sql in migrations("sqlite")[:OLDER]:
        before.execute(sql).fetchall()
    (made,) = before.execute("select sql from sqlite_master where name = 'buckets'").fetchall()[0]
    connection.execute("begin immediate; alter table buckets rename to later").fetchall()
    connection.execute(made).fetchall()
    connection.execute(
        "insert into buckets select * from later "
        "where resolution in (60, 3600) "
        "or (resolution = 86400 and (series = 'all' or series glob 'kind' || char(31) || '*'))"
    ).fetchall()
    connection.execute("drop table later; alter table pairs drop column last_bar_at").fetchall()
    for view in ("user_recent_executions", "execution_analytics", "query_executions"):
        connection.execute(f"drop view {view}").fetchall()
    connection.execute(migrations("sqlite")[2][1]).fetchall()
    connection.pragma("user_version", OLDER)
    connection.execute("commit").fetchall()


def make_older_postgres(connection: Any, version: int) -> None:
    """Take back what the migrations after this version, at least 1, did; what only they have a place for is lost."""
    assert max(TAKE_BACK) == POSTGRES, "say here how to take back the latest migration"
    for later in range(POSTGRES, version, -1):
        connection.execute(TAKE_BACK[later])
        connection.execute("delete from execlog_schema where version = %s", (later,))
