"""The gateway on any DB API module; here the standard library's sqlite3, and psycopg in a role it has not elsewhere."""

from __future__ import annotations

import time

import pytest

from execlog.core.errors import SettingsError
from execlog.core.model import Status
from execlog.kinds.queries.connections import connection_of
from execlog.kinds.queries.gateway import Query

from .conftest import ROWS, SLOW


@pytest.fixture
def tables(sqlite_file):
    connect = {"database": str(sqlite_file), "check_same_thread": False}
    reading = {"type": "dbapi", "module": "sqlite3", "connect": connect, "dialect": "sqlite"}
    return {
        "lib": {**reading, "setup": ["pragma query_only = on"]},
        "desk": {**reading, "read_only": False},
        "none": {**reading, "module": "no_such_module_here"},
    }


def test_a_page_of_a_result(gateway, recorded):
    asked = Query(query="select a, b from t where a > ? order by a", params=[10], connection="lib", page=1, page_size=3)
    outcome = gateway.execute(asked)
    assert outcome.part.values() == [[14, "v14"], [15, "v15"], [16, "v16"]]
    assert (outcome.part.columns, outcome.part.total_rows) == (("a", "b"), ROWS - 10)
    assert recorded(outcome.execution_id).engine == "dbapi"


@pytest.mark.parametrize(
    ("query", "kind"), [("select * from nowhere", "OperationalError"), ("delete from t", "NotReadOnly")]
)
def test_refusals(gateway, query, kind):
    outcome = gateway.execute(Query(query=query, connection="lib"))
    assert (outcome.status, outcome.trouble.kind) == (Status.FAILED, kind)


@pytest.mark.parametrize(
    ("module", "language"), [("pymysql", "mysql"), ("mysql.connector", "mysql"), ("psycopg2", "postgres")]
)
def test_a_known_module_has_its_dialect(module, language):
    connector = connection_of("x", {"type": "dbapi", "module": module}).connector
    assert connector.language == language
    said = connection_of("x", {"type": "dbapi", "module": module, "dialect": "standard"}).connector
    assert said.language == ""


def test_an_unknown_module_needs_a_dialect():
    with pytest.raises(SettingsError, match="dialect"):
        connection_of("x", {"type": "dbapi", "module": "some_driver"})


def test_setup_turns_the_second_lock(gateway, monkeypatch):
    monkeypatch.setattr(type(gateway.connections["lib"].connector), "check", lambda self, query, read_only: query)
    assert gateway.execute(Query(query="delete from t", connection="lib")).status is Status.FAILED
    assert gateway.execute(Query(query="select count(*) from t", connection="lib")).part.values() == [[ROWS]]


def test_writing_is_kept_or_undone(gateway):
    assert gateway.execute(Query(query="update t set b = 'x' where a < 5", connection="desk")).part.affected_rows == 4
    assert gateway.execute(Query(query="select count(*) from t where b = 'x'", connection="lib")).part.values() == [[4]]


def test_a_time_out_stops_it(gateway):
    before = time.monotonic()
    outcome = gateway.execute(Query(query=SLOW, connection="lib", timeout=0.2))
    assert outcome.status is Status.TIMED_OUT
    assert time.monotonic() - before < 1.5
    assert gateway.execute(Query(query="select 1", connection="lib")).part.values() == [[1]]


def test_a_query_of_a_module_without_a_way_to_cancel_is_given_up(gateway, monkeypatch):
    from execlog.kinds.queries.connectors import dbapi

    monkeypatch.setattr(dbapi, "_CANCELLING", ())
    before = time.monotonic()
    outcome = gateway.execute(Query(query=SLOW, connection="lib", timeout=0.2))
    assert outcome.status is Status.TIMED_OUT
    assert time.monotonic() - before < 4
    assert gateway.execute(Query(query="select 1", connection="lib")).part.values() == [[1]]


def test_a_module_that_is_not_installed_is_an_error_of_the_gateway(gateway):
    outcome = gateway.execute(Query(query="select 1", connection="none"))
    assert outcome.status is Status.CRASHED
    assert "no_such_module_here" in outcome.trouble.message


@pytest.mark.postgres
def test_psycopg_works_as_a_module_too(make_gateway, postgres_url):
    gateway = make_gateway(
        {"pg": {"type": "dbapi", "module": "psycopg", "connect": {"conninfo": postgres_url}, "dialect": "postgres"}}
    )
    assert gateway.execute(Query(query="select %s::int", params=[7])).part.values() == [[7]]
    assert gateway.execute(Query(query="select pg_sleep(30)", timeout=0.2)).status is Status.TIMED_OUT


@pytest.mark.postgres
def test_a_module_without_a_way_to_cancel_is_hung_up_on_where_it_tells_its_descriptor(
    make_gateway, postgres_url, monkeypatch
):
    from execlog.kinds.queries.connectors import dbapi

    monkeypatch.setattr(dbapi, "_CANCELLING", ())
    gateway = make_gateway(
        {"pg": {"type": "dbapi", "module": "psycopg", "connect": {"conninfo": postgres_url}, "dialect": "postgres"}},
        grace=60,
    )
    before = time.monotonic()
    assert gateway.execute(Query(query="select pg_sleep(30)", timeout=0.2)).status is Status.TIMED_OUT
    assert time.monotonic() - before < 20
