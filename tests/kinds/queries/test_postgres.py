"""The gateway on a real PostgreSQL."""

from __future__ import annotations

import threading
import time
import tracemalloc
from contextlib import suppress

import psycopg
import pytest

import servers
from execlog.core.errors import ConflictError, NotFoundError
from execlog.core.model import Status
from execlog.kinds.queries.connections import connection_of
from execlog.kinds.queries.connectors.base import Statement
from execlog.kinds.queries.gateway import Gateway, Query
from servers import wait_until

pytestmark = pytest.mark.postgres
SLEEP = "select pg_sleep(60)"


@pytest.fixture
def tables(empty_postgres_url):
    with psycopg.connect(empty_postgres_url, autocommit=True) as connection:
        connection.execute("create table t as select n as a, 'v' || n as b from generate_series(1, 2500) as n")
    return {
        "pg": {"type": "postgres", "url": empty_postgres_url},
        "desk": {"type": "postgres", "url": empty_postgres_url, "read_only": False, "database_type": "desk"},
    }


@pytest.fixture
def ask(gateway):
    return lambda query, **said: gateway.execute(Query(query=query, **{"connection": "pg", **said}))


@pytest.fixture
def count(empty_postgres_url):
    """How many statements run or wait in this database, beside the one that asks."""

    def ask():
        with psycopg.connect(empty_postgres_url) as connection:
            return connection.execute(
                "select count(*) from pg_stat_activity where datname = current_database() and state = 'active' "
                "and pid <> pg_backend_pid()"
            ).fetchone()[0]

    return ask


def test_a_page_of_a_result(ask, recorded):
    outcome = ask("select a, b from t order by a;", page=2, page_size=1000, user_id="ann")
    part = outcome.part
    assert part.values() == [[n, f"v{n}"] for n in range(2001, 2501)]
    assert (part.columns, part.column_types, part.total_rows) == (("a", "b"), ("int4", "text"), 2500)
    kept = recorded(outcome.execution_id)
    assert (kept.status, kept.rows, kept.engine) == (Status.SUCCEEDED, 2500, "postgres")


def test_parameters_are_bound_by_number_or_name(ask):
    assert ask("select $1::text || '%' || $2::int", params=["'; drop table t; --", 7]).part.values() == [
        ["'; drop table t; --%7"]
    ]
    assert ask("select b from t where a = %(a)s", params={"a": 7}).part.values() == [["v7"]]
    assert ask("select count(*) from t where b like 'v1%'").part.values() == [[1111]]


@pytest.mark.parametrize("connection", ["pg", "desk"])
@pytest.mark.parametrize(
    ("query", "params"),
    [
        ("select a, b from t where false order by a", None),
        ("select a, b from t where a = $1 -- nobody's", [-1]),
        ("select a, b from t where b like 'x%%' and a = %(a)s", {"a": 1}),
        ("with x as (select * from t) table x limit 0", None),
    ],
)
def test_a_result_without_rows_has_columns(ask, connection, query, params):
    part = ask(query, params=params, connection=connection).part
    assert (part.columns, part.column_types, part.total_rows) == (("a", "b"), ("int4", "text"), 0)


def test_a_parameter_that_is_missing_is_the_query_s_fault(ask):
    outcome = ask("select a from t where a = $1")
    assert (outcome.status, outcome.trouble.kind) == (Status.FAILED, "ProtocolViolation")


def test_rows_are_counted_up_to_the_cap_without_reading_more(make_gateway, tables, count):
    gateway = make_gateway(tables, max_rows=5000)
    before = time.monotonic()
    part = gateway.execute(Query(query="select x.a from t x, t y, t z", connection="pg")).part
    assert (part.total_rows, part.truncated, len(part.rows)) == (5000, "rows", 100)
    assert time.monotonic() - before < 10
    wait_until(lambda: count() == 0, 5, "the server stopping")
    assert gateway.execute(Query(query="select 1", connection="pg")).part.values() == [[1]]


def test_large_rows_are_not_held_while_they_are_counted(ask):
    tracemalloc.start()
    try:
        part = ask("select repeat('x', 1000000) from generate_series(1, 100)").part
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert (part.total_rows, part.truncated, len(part.rows)) == (100, "bytes", 10)
    assert peak < 30e6  # the page and a few rows of the hundred


@pytest.mark.parametrize(
    "query",
    [
        "delete from t",
        "with gone as (delete from t returning a) select * from gone",
        "select * into u from t",
        "explain analyze delete from t",
        "select 1; delete from t",
    ],
)
def test_writing_is_refused_before_the_server_and_by_the_server(ask, gateway, monkeypatch, query):
    assert ask(query).trouble.kind in {"NotReadOnly", "SeveralStatements"}
    connector = gateway.connections["pg"].connector
    monkeypatch.setattr(type(connector), "check", lambda self, query, read_only: query)
    outcome = ask(query)
    assert outcome.status is Status.FAILED
    assert outcome.trouble.kind in {"ReadOnlySqlTransaction", "SyntaxError"}
    monkeypatch.undo()
    assert ask("select count(*) from t").part.values() == [[2500]]


def test_functions_that_write_are_refused_by_the_server(ask, tables):
    with psycopg.connect(tables["pg"]["url"], autocommit=True) as connection:
        connection.execute("create function wipe() returns int language sql as 'delete from t; select 1'")
        connection.execute("create sequence s")
    for query in (
        "select wipe()",
        "select nextval('s')",
        "select set_config('transaction_read_only', 'off', false), wipe()",
    ):
        assert ask(query).status is Status.FAILED
    assert ask("select count(*) from t").part.values() == [[2500]]


@pytest.mark.parametrize(
    "call",
    [
        "pg_cancel_backend(pid)",
        'pg_catalog."pg_terminate_backend"  /* all */ (pid)',
        'u&"pg\\005fcancel_backend"(pid)',
        "query_to_xml('select pg_cancel_backend(' || pid || ')', true, true, '')",
        "ts_stat('select to_tsvector(pg_cancel_backend(' || pid || ')::text)')",
        "ts_rewrite('a', 'select ''a''::tsquery, pg_cancel_backend(' || pid || ')::text::tsquery')",
        "pg_advisory_lock(pid)",
    ],
)
def test_who_may_read_does_not_act_on_the_sessions_of_others(gateway, ask, count, call):
    running = gateway.submit(Query(query=SLEEP, connection="pg", user_id="ann"))
    wait_until(lambda: count() == 1, 5, "beginning")
    outcome = ask(f"select {call} from pg_stat_activity where state = 'active' and pid <> pg_backend_pid()")
    assert (outcome.status, outcome.trouble.kind) == (Status.FAILED, "NotReadOnly")
    assert not running.future.done()
    gateway.cancel(running.id)
    assert ask("select 1 as pg_cancel_backend, 'pg_cancel_backend(1)'").status is Status.SUCCEEDED


def test_a_connection_may_be_allowed_to_write(ask):
    outcome = ask("update t set b = 'x' where a <= 10", connection="desk")
    assert (outcome.part.affected_rows, outcome.part.total_rows) == (10, 0)
    returned = ask("insert into t values (0, 'zero') returning a, b", connection="desk")
    assert returned.part.values() == [[0, "zero"]]
    assert ask("select count(*) from t where b in ('x', 'zero')").part.values() == [[11]]
    failed = ask("insert into t select 1, 1 / 0", connection="desk")
    assert (failed.status, failed.trouble.kind) == (Status.FAILED, "DivisionByZero")
    assert ask("select count(*) from t").part.values() == [[2501]]


@pytest.mark.parametrize("query", ["copy t to stdout", "COPY t (a) FROM STDIN"])
def test_rows_are_not_copied_through_the_gateway(ask, query):
    outcome = ask(query, connection="desk")
    assert (outcome.status, outcome.trouble.kind) == (Status.FAILED, "NotSupported")


def test_a_session_is_as_good_as_before(make_gateway, tables):
    gateway = make_gateway(tables | {"desk": tables["desk"] | {"search_path": "pg_catalog, public"}}, max_concurrent=1)

    def value(query, connection):
        return gateway.execute(Query(query=query, connection=connection)).part.values()[0][0]

    with psycopg.connect(tables["pg"]["url"], autocommit=True) as connection:
        connection.execute("create function hold() returns text language sql as 'select pg_advisory_lock(42)::text'")
    locks = "select count(*) from pg_locks where locktype = 'advisory' and pid = pg_backend_pid()"
    for connection in ("pg", "desk"):
        same = value("select pg_backend_pid()", connection)
        assert value("select hold()", connection) == ""
        assert value(locks, connection) == 0
        assert value("select pg_backend_pid()", connection) == same
    for query in (
        "set search_path = nowhere", "create temp table mine(a int)", "listen x", "set role pg_monitor",
        "prepare mine as select 1", "create sequence public.numbers", "select nextval('public.numbers')",
    ):  # fmt: skip
        assert gateway.execute(Query(query=query, connection="desk")).status is Status.SUCCEEDED
    assert value("show search_path", "desk") == "pg_catalog, public"
    assert value("select to_regclass('mine')", "desk") is None
    assert value("select current_user = session_user", "desk") is True
    assert value("select pg_backend_pid()", "desk") == same
    assert value("select count(*) from pg_prepared_statements", "desk") == 0
    assert gateway.execute(Query(query="select lastval()", connection="desk")).status is Status.FAILED
    for _ in range(8):  # more often than it takes psycopg to prepare a statement
        assert value("select count(*) from t", "desk") == 2500


def test_a_time_out_stops_the_server(ask, recorded, count):
    before = time.monotonic()
    outcome = ask(SLEEP, timeout=0.3)
    assert outcome.status is Status.TIMED_OUT
    assert time.monotonic() - before < 2
    wait_until(lambda: count() == 0, 2, "the server stopping")
    assert recorded(outcome.execution_id).status is Status.TIMED_OUT


def test_the_server_knows_the_time_out_too(gateway, count):
    import execlog.kinds.queries.connectors.postgres as connector

    session = gateway.connections["pg"].connector.open()
    before = time.monotonic()
    with pytest.raises(psycopg.errors.QueryCanceled) as stopped:
        session.run(Statement(SLEEP, None, 0.3 - connector._SECONDS_LONGER))
    assert time.monotonic() - before < 2
    assert gateway.connections["pg"].connector.trouble(stopped.value).status is Status.TIMED_OUT
    session.close()


@pytest.mark.parametrize("read_only", [True, False])
def test_a_shorter_limit_of_the_role_holds(make_gateway, tables, recorded, read_only):
    url = tables["pg"]["url"] + "?options=-c%20statement_timeout%3D300ms"
    gateway = make_gateway({"pg": {**tables["pg"], "url": url, "read_only": read_only}})
    for _ in range(2):
        outcome = gateway.execute(Query(query=SLEEP, timeout=10))
        assert (outcome.status, outcome.trouble.kind) == (Status.TIMED_OUT, "QueryCanceled")
        assert outcome.seconds < 5
    assert recorded(outcome.execution_id).error.message == "canceling statement due to statement timeout"


@pytest.mark.parametrize("setting", ["transaction_timeout", "lock_timeout"])
def test_other_limits_of_the_server_are_time_outs_too(make_gateway, tables, setting):
    url = tables["pg"]["url"]
    gateway = make_gateway({"pg": {"type": "postgres", "url": f"{url}?options=-c%20{setting}%3D300ms"}})
    with psycopg.connect(url) as connection:
        connection.execute("lock table t in access exclusive mode")
        outcome = gateway.execute(Query(query="select pg_sleep(5) from t"))
    assert outcome.status is Status.TIMED_OUT
    assert "timeout" in outcome.trouble.message


def test_hanging_up_wakes_the_thread_that_waits_and_frees_nothing_under_it(gateway, count, monkeypatch):
    """libpq works on a connection without a lock: closing it from another thread meanwhile ends the whole process."""
    closed_by: list[threading.Thread] = []
    close = psycopg.Connection.close
    session = gateway.connections["pg"].connector.open()

    def noted(connection):
        closed_by.append(threading.current_thread())
        close(connection)

    def wait():
        with pytest.raises(psycopg.OperationalError):
            session.run(Statement(SLEEP))
        session.close()

    waiting = threading.Thread(target=wait)
    waiting.start()
    wait_until(lambda: count() == 1, 5, "beginning")
    monkeypatch.setattr(psycopg.Connection, "close", noted)
    session.hang_up()
    waiting.join(5)
    assert not waiting.is_alive()
    assert closed_by == [waiting]
    session.hang_up()
    session.close()


def test_a_query_is_cancelled_by_its_id(gateway, recorded, count):
    running = gateway.submit(Query(query=SLEEP, connection="pg", execution_id="slow"))
    wait_until(lambda: count() == 1, 5, "beginning")
    gateway.cancel("slow")
    assert running.future.result(5).status is Status.CANCELLED
    wait_until(lambda: count() == 0, 2, "the server stopping")
    assert recorded("slow").error.type == "Cancelled"


def test_a_cancellation_never_hits_the_next_query(make_gateway, tables):
    gateway = make_gateway(tables, max_concurrent=1)
    for number in range(30):
        running = gateway.submit(Query(query="select pg_sleep(0.01)", connection="pg", execution_id=f"q{number}"))
        following = gateway.submit(Query(query="select count(*) from t", connection="pg"))
        time.sleep(0.001 * (number % 20))
        with suppress(NotFoundError, ConflictError):  # it may have ended
            gateway.cancel(f"q{number}")
        assert running.future.result(5).status in {Status.CANCELLED, Status.SUCCEEDED}
        assert following.future.result(5).status is Status.SUCCEEDED


def test_what_the_server_refuses_is_failed_in_its_words(ask):
    outcome = ask("select * from nowhere")
    assert (outcome.status, outcome.trouble.kind) == (Status.FAILED, "UndefinedTable")
    assert "nowhere" in outcome.trouble.message


@pytest.mark.parametrize("asked", ["pg", "desk"])
def test_a_connection_that_was_lost_while_idle_is_made_anew(ask, tables, asked):
    assert ask("select 1", connection=asked).status is Status.SUCCEEDED
    with psycopg.connect(tables["pg"]["url"], autocommit=True) as connection:
        connection.execute(
            "select pg_terminate_backend(pid, 5000) from pg_stat_activity where application_name = 'execlog' "
            "and datname = current_database()"
        )
    assert ask("select 2", connection=asked).part.values() == [[2]]


@pytest.mark.parametrize("before", [False, True])
def test_a_connection_that_breaks_in_a_query_is_an_error(gateway, tables, recorded, count, before):
    if before:  # then its session is a kept one
        gateway.execute(Query(query="select 1", connection="pg"))
    running = gateway.submit(Query(query=SLEEP, connection="pg"))
    wait_until(lambda: count() == 1, 5, "beginning")
    time.sleep(1.1)  # longer than it takes to miss a server
    with psycopg.connect(tables["pg"]["url"], autocommit=True) as connection:
        connection.execute(
            "select pg_terminate_backend(pid) from pg_stat_activity where application_name = 'execlog' "
            "and datname = current_database()"
        )
    outcome = running.future.result(5)
    assert (outcome.status, outcome.trouble.kind) == (Status.CRASHED, "AdminShutdown")
    assert recorded(outcome.execution_id).status is Status.CRASHED


def test_nobody_there_is_an_error(make_gateway):
    gateway = make_gateway(
        {"pg": {"type": "postgres", "url": f"postgresql://postgres@127.0.0.1:{servers.free_port()}/x"}}
    )
    outcome = gateway.execute(Query(query="select 1"))
    assert (outcome.status, outcome.trouble.kind) == (Status.CRASHED, "OperationalError")


def test_a_server_that_stands_still_does_not_hold_the_answer(ledger):
    """Everything of the server is stopped: it answers neither the query nor the request to cancel it."""
    with servers.Postgres() as server:
        connections = {"pg": connection_of("pg", {"type": "postgres", "url": server.url})}
        with Gateway(ledger, connections, grace=0.3) as gateway:
            assert gateway.execute(Query(query="select 1")).status is Status.SUCCEEDED
            answers = []
            server.execute("select 1")
            frozen = _freeze(server)
            try:
                before = time.monotonic()
                asking = threading.Thread(
                    target=lambda: answers.append(gateway.execute(Query(query=SLEEP, timeout=0.3)))
                )
                asking.start()
                asking.join(10)
                assert answers[0].status is Status.TIMED_OUT
                assert time.monotonic() - before < 3
            finally:
                frozen()
            assert gateway.execute(Query(query="select 2")).part.values() == [[2]]


def _freeze(server):
    """Stop the server and its children; the function that lets them go on."""
    import os
    import signal
    from pathlib import Path

    pid = server.process.pid
    everyone = [pid, *map(int, Path(f"/proc/{pid}/task/{pid}/children").read_text().split())]
    for one in everyone:
        with suppress(ProcessLookupError):  # a worker that had done its part
            os.kill(one, signal.SIGSTOP)

    def go_on():
        for one in everyone:
            with suppress(ProcessLookupError):  # the backend of a client that had left
                os.kill(one, signal.SIGCONT)

    return go_on
