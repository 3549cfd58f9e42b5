"""What a read-only connection runs: one statement that reads, by the gateway's lock and by the database's own."""

from __future__ import annotations

import apsw
import pytest

from execlog.core.model import Status
from execlog.kinds.queries.gateway import Query

from .conftest import ROWS

READERS = ["file", "duck"]


@pytest.mark.parametrize("connection", READERS)
@pytest.mark.parametrize(
    ("query", "kind"),
    [
        ("select 1; select 2", "SeveralStatements"),
        ("delete from t", "NotReadOnly"),
        ("with x as (select 1) insert into t select 1, 'x'", "NotReadOnly"),
        ("create table u(a integer)", "NotReadOnly"),
        ("attach 'other.db' as other", "NotReadOnly"),
        (";", "EmptyQuery"),
        ("select 'open", "SyntaxError"),
    ],
)
def test_what_may_not_be_run_is_refused_and_recorded(gateway, recorded, connection, query, kind):
    outcome = gateway.execute(Query(query=query, connection=connection, user_id="ann"))
    assert (outcome.status, outcome.trouble.kind) == (Status.FAILED, kind)
    kept = recorded(outcome.execution_id)
    assert (kept.status, kept.error.type, kept.input, kept.actor) == (Status.FAILED, kind, query, "ann")


@pytest.mark.parametrize("connection", READERS)
@pytest.mark.parametrize("begins", ["selec", "update", "42", "explain drop"])
def test_who_mistypes_a_statement_is_told_how_those_begin_that_read(gateway, connection, begins):
    message = gateway.execute(Query(query=f"{begins} a from t", connection=connection)).trouble.message
    assert message.endswith(f"begins with SELECT, WITH or the like, not with {begins.split()[-1]!r}")


@pytest.mark.parametrize(
    ("connection", "query"),
    [
        ("file", "pragma journal_mode = delete"),
        ("file", "pragma writable_schema = 1"),
        ("file", "select load_extension('x')"),
        ("duck", "select * from read_csv('/etc/passwd')"),
        ("duck", "select * from glob('/*')"),
    ],
)
def test_the_database_s_own_lock_is_turned_too(gateway, connection, query):
    assert gateway.execute(Query(query=query, connection=connection)).status is Status.FAILED


@pytest.mark.parametrize(
    "query",
    [
        "select nextval('s')",
        "select 's'.nextval()",
        "select \"NextVal\" ('s')",
        "from checkpoint()",
        "select * from truncate_duckdb_logs()",
        "from query('from checkpoint()')",
        "create table u as pivot t on a",
    ],
)
def test_functions_of_duckdb_that_do_something_are_refused(gateway, query):
    outcome = gateway.execute(Query(query=query, connection="duck"))
    assert (outcome.status, outcome.trouble.kind) == (Status.FAILED, "NotReadOnly")


NESTED = "with a as (" * 7 + "select 1 1 1" + ") select * from a" * 7


@pytest.mark.parametrize("query", [NESTED, "with a as (" * 300, "select * from (" + NESTED + ")"])
def test_what_duckdb_would_read_for_hours_does_not_reach_it(gateway, query):
    outcome = gateway.execute(Query(query=query, connection="duck", timeout=300))
    assert (outcome.status, outcome.trouble.kind) == (Status.FAILED, "TooComplex")
    flat = (
        "with "
        + ", ".join(f"a{n} as (with b as (select {n} as x) from b)" for n in range(30))
        + " select a29.x from a29"
    )
    assert gateway.execute(Query(query=flat, connection="duck")).part.values() == [[29]]


def test_others_go_on_while_duckdb_reads(make_gateway, tables):
    gateway = make_gateway(tables, grace=0.05)
    gateway.execute(Query(query="select 1", connection="duck"))
    # DuckDB takes seconds to read it. Were nobody else to run meanwhile, neither would what ends it.
    outcome = gateway.execute(Query(query="select " + "- " * 2_000, connection="duck", timeout=0.1))
    assert outcome.status is Status.TIMED_OUT


def test_what_duckdb_takes_long_to_read_is_refused(gateway, monkeypatch):
    monkeypatch.setattr("execlog.kinds.queries.connectors.duckdb.SECONDS_TO_READ", 0.0)
    outcome = gateway.execute(Query(query=f"select {'1 + ' * 200} 1", connection="duck"))
    assert (outcome.status, outcome.trouble.kind) == (Status.FAILED, "TooComplex")
    assert gateway.execute(Query(query="select max(abs(a)) from t", connection="duck")).part.values() == [[ROWS]]


@pytest.mark.parametrize(
    ("query", "count"),
    [
        ("pivot (from t limit 3) on b using count(*)", 3),
        ("from (pivot (from t limit 3) on b using count(*))", 3),
        ("unpivot (select 1 as x, 2 as y) on x, y into name n value v", 2),
        ("select a as nextval from t where a = 1", 1),
    ],
)
def test_what_reads_in_duckdb_s_own_words_is_read(gateway, query, count):
    assert gateway.execute(Query(query=query, connection="duck")).part.total_rows == count


def test_the_second_lock_holds_without_the_first(gateway, monkeypatch):
    for name in READERS:
        connector = gateway.connections[name].connector
        monkeypatch.setattr(type(connector), "check", lambda self, query, read_only: query)
        pivot = "create table u as pivot t on a"
        for query in ("insert into t values (1, 'x')", "drop table t", "select 1; drop table t", pivot):
            assert gateway.execute(Query(query=query, connection=name)).status is Status.FAILED
        assert gateway.execute(Query(query="select count(*) from t", connection=name)).part.values() == [[ROWS]]


@pytest.mark.parametrize("before", ["", "/* mine */ ", "-- mine\n"])
def test_pragmas_that_only_tell_something_are_answered(gateway, before):
    part = gateway.execute(Query(query=f"{before}pragma table_info(t)", connection="file")).part
    assert [row[1] for row in part.values()] == ["a", "b"]


def test_a_full_text_index_of_sqlite_is_read(gateway, sqlite_file):
    with apsw.Connection(str(sqlite_file)) as database:
        database.execute("create virtual table found using fts5(x); insert into found values ('a word'), ('other')")
    database.close()
    query = "select x, highlight(found, 0, '[', ']') from found where found match 'wor*'"
    assert gateway.execute(Query(query=query, connection="file")).part.values() == [["a word", "a [word]"]]


def test_a_text_of_sqlite_that_is_not_utf_8_is_said_to_be(gateway):
    outcome = gateway.execute(Query(query="select 'ok', cast(x'4aff' as text)", connection="file"))
    assert (outcome.status, outcome.trouble.kind) == (Status.FAILED, "UnicodeDecodeError")
    assert "byte 2 of one, 0xff, is not" in outcome.trouble.message
    read = gateway.execute(Query(query="select cast(cast(x'4aff' as text) as blob)", connection="file"))
    assert read.part.values() == [["Sv8="]]


@pytest.mark.parametrize("kind", ["sqlite", "duckdb"])
def test_what_was_changed_is_counted_and_no_row_of_a_result(make_gateway, tmp_path, recorded, kind):
    gateway = make_gateway({"desk": {"type": kind, "path": str(tmp_path / "written.db"), "read_only": False}})
    gateway.execute(Query(query="create table t(a integer)"))
    for query, affected, rows in (
        ("insert into t values (1), (2), (3)", 3, []),
        ("update t set a = a + 1 where a > 1", 2, []),
        ("delete from t where a = 17", 0, []),
        ("delete from t where a = 1 returning a", None, [[1]]),
        ("begin", 0, []),
        ("drop table t", 0, []),
    ):
        outcome = gateway.execute(Query(query=query))
        part = outcome.part
        assert (part.affected_rows, part.values(), part.total_rows) == (affected, rows, len(rows)), query
        assert recorded(outcome.execution_id).rows == len(rows)


def test_a_connection_may_be_allowed_to_write(gateway, recorded):
    outcome = gateway.execute(Query(query="update t set b = 'x' where a <= 10", connection="desk"))
    assert (outcome.status, outcome.part.affected_rows, outcome.part.total_rows) == (Status.SUCCEEDED, 10, 0)
    assert recorded(outcome.execution_id).metadata["response_metadata"]["affected_rows"] == 10
    assert gateway.execute(Query(query="select b from t where a = 3", connection="file")).part.values() == [["x"]]


@pytest.mark.parametrize("left", ["begin", "create temp table t as select 0 as a"])
@pytest.mark.parametrize("kind", ["sqlite", "duckdb", "dbapi"])
def test_what_a_writer_leaves_in_its_session_is_not_there_for_the_next(make_gateway, tmp_path, kind, left):
    path = str(tmp_path / "written.db")
    table = {"module": "sqlite3", "connect": {"database": path}} if kind == "dbapi" else {"path": path}
    gateway = make_gateway({"desk": {"type": kind, "read_only": False, **table}}, max_concurrent=1)

    def values(query):
        return gateway.execute(Query(query=query)).part.values()

    values("create table t(a integer)")
    gateway.execute(Query(query=left))
    values("insert into t values (1), (2)")
    gateway.execute(Query(query="rollback"))
    assert values("select count(*) from t") == [[2]]
