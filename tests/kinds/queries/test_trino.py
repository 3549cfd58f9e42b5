"""The gateway on Trino and Starburst: the real client against a peer that speaks the coordinator's protocol."""

from __future__ import annotations

import time

import pytest

from execlog.core.model import Status
from execlog.kinds.queries.gateway import Query
from servers import free_port, wait_until

from .trino_peer import Rows, TrinoPeer

TRADES = Rows(
    [("sym", "varchar"), ("price", "decimal(38,4)"), ("size", "bigint")],
    [[[f"S{n}", f"{n}.1000", n] for n in range(start, start + 500)] for start in range(0, 2500, 500)],
)
VALUES = Rows(
    [
        ("b", "boolean"), ("big", "bigint"), ("d", "double"), ("inf", "double"), ("dec", "decimal(38,20)"),
        ("day", "date"), ("at", "timestamp(3)"), ("atz", "timestamp(3) with time zone"), ("raw", "varbinary"),
        ("list", "array(bigint)"), ("nothing", "varchar"), ("id", "uuid"),
    ],
    [[[
        True, 2**60, "NaN", "Infinity", "12345678901234567890.12345678901234567890", "2024-02-29",
        "2024-01-01 12:00:00.123", "2024-01-01 12:00:00.123 +02:00", "3q2+7w==", [1, None], None,
        "12151fd2-7586-11e9-8f9e-2a86e4085a59",
    ]]],
)  # fmt: skip


@pytest.fixture
def peer():
    made = TrinoPeer(
        {
            "select * from trade": TRADES,
            "select values": VALUES,
            "select nothing": Rows([("a", "bigint")], [[]]),
            "select endless": None,
            "EXECUTE IMMEDIATE 'select * from trade where size = ?' USING 7": Rows([("size", "bigint")], [[[7]]]),
            "select late": {
                "errorName": "EXCEEDED_TIME_LIMIT", "errorType": "INSUFFICIENT_RESOURCES", "errorCode": 131075,
                "message": "Query exceeded maximum run time limit of 1.00s",
            },
            "select bug": {"errorName": "GENERIC_INTERNAL_ERROR", "errorType": "INTERNAL_ERROR", "message": "oops"},
            "select killed": {"errorName": "ADMINISTRATIVELY_KILLED", "errorType": "USER_ERROR", "message": "no"},
            "insert into t values 1": Rows([("rows", "bigint")], [[[1]]], update="INSERT", count=1),
        }
    )  # fmt: skip
    yield made
    made.close()


@pytest.fixture
def tables(peer):
    table = {"type": "starburst", "host": "127.0.0.1", "port": peer.port, "user": "execlog", "catalog": "lake"}
    return {
        "lake": {**table, "schema": "market", "session": {"task_concurrency": "4"}},
        "desk": {**table, "type": "trino", "read_only": False},
    }


@pytest.fixture
def ask(gateway):
    return lambda query, **said: gateway.execute(Query(query=query, **{"connection": "lake", **said}))


def test_a_page_of_a_result_that_comes_in_pages(ask, peer, recorded):
    outcome = ask("select * from trade;", page=1, page_size=600, user_id="ann")
    part = outcome.part
    assert part.values()[0] == ["S600", "600.1000", 600]
    assert (part.total_rows, len(part.rows), part.columns) == (2500, 600, ("sym", "price", "size"))
    assert part.column_types == ("varchar", "decimal(38,4)", "bigint")
    query = peer.queries[0]
    assert (query.text, query.state, query.fetched) == ("select * from trade", "FINISHED", 5)
    headers = {name.lower(): value for name, value in query.headers.items()}
    assert (headers["x-trino-user"], headers["x-trino-catalog"], headers["x-trino-schema"]) == (
        "execlog", "lake", "market",
    )  # fmt: skip
    assert "task_concurrency=4" in headers["x-trino-session"]
    assert "query_max_run_time=35s" in headers["x-trino-session"]
    kept = recorded(outcome.execution_id)
    assert (kept.engine, kept.subject, kept.rows) == ("starburst", "lake", 2500)


def test_times_keep_all_their_digits_and_months(ask, peer):
    peer.answers["select times"] = Rows(
        [("at", "timestamp(12)"), ("day", "date"), ("age", "interval year to month")],
        [[["2024-01-01 12:00:00.123456789012", "+10000-01-01", "1-2"], [None, None, None]]],
    )
    part = ask("select times").part
    assert part.values() == [["2024-01-01T12:00:00.123456789012", "+10000-01-01", "P1Y2M"], [None, None, None]]


def test_values_are_safe(ask):
    assert ask("select values").part.values() == [[
        True, "1152921504606846976", "NaN", "Infinity", "12345678901234567890.12345678901234567890", "2024-02-29",
        "2024-01-01T12:00:00.123", "2024-01-01T10:00:00.123Z", "3q2+7w==", [1, None], None,
        "12151fd2-7586-11e9-8f9e-2a86e4085a59",
    ]]  # fmt: skip


def test_a_result_without_rows_has_columns(ask):
    part = ask("select nothing").part
    assert (part.columns, part.total_rows, part.values()) == (("a",), 0, [])


def test_parameters_are_bound(ask):
    assert ask("select * from trade where size = ?", params=[7]).part.values() == [[7]]
    assert ask("select * from trade where size = ?", params={"a": 7}).trouble.kind == "TypeError"


def test_rows_are_counted_up_to_the_cap_and_the_rest_is_cancelled(make_gateway, tables, peer):
    gateway = make_gateway(tables, max_rows=700)
    part = gateway.execute(Query(query="select * from trade", connection="lake")).part
    assert (part.total_rows, part.truncated) == (700, "rows")
    assert peer.queries[0].fetched < 5
    assert peer.queries[0].state == "FAILED"
    assert peer.requests[-1][0] == "DELETE"


@pytest.mark.parametrize(
    ("query", "status", "kind"),
    [
        ("select * from nowhere", Status.FAILED, "TABLE_NOT_FOUND"),
        ("select late", Status.TIMED_OUT, "EXCEEDED_TIME_LIMIT"),
        ("select bug", Status.CRASHED, "GENERIC_INTERNAL_ERROR"),
        ("select killed", Status.CANCELLED, "ADMINISTRATIVELY_KILLED"),
        ("drop table t", Status.FAILED, "NotReadOnly"),
        ("explain analyze insert into t values 1", Status.FAILED, "NotReadOnly"),
        ("select 1; select 2", Status.FAILED, "SeveralStatements"),
    ],
)
def test_errors_keep_their_names(ask, recorded, query, status, kind):
    outcome = ask(query)
    assert (outcome.status, outcome.trouble.kind) == (status, kind)
    assert recorded(outcome.execution_id).error.type == kind


def test_a_connection_may_be_allowed_to_write(ask):
    part = ask("insert into t values 1", connection="desk").part
    assert (part.affected_rows, part.total_rows, part.columns) == (1, 0, ())


def test_a_time_out_deletes_the_query(ask, peer):
    before = time.monotonic()
    outcome = ask("select endless", timeout=0.3)
    assert outcome.status is Status.TIMED_OUT
    assert time.monotonic() - before < 2.5
    wait_until(lambda: peer.queries[0].state == "FAILED", 5, "the server stopping")
    assert ask("select nothing").status is Status.SUCCEEDED


def test_a_query_is_cancelled_by_its_id(gateway, peer):
    running = gateway.submit(Query(query="select endless", connection="lake", execution_id="slow"))
    wait_until(lambda: peer.queries != [] and peer.queries[0].state == "RUNNING", 5, "beginning")
    gateway.cancel("slow")
    assert running.future.result(5).status is Status.CANCELLED
    wait_until(lambda: peer.queries[0].state == "FAILED", 5, "the server stopping")


def test_a_query_that_has_no_id_yet_is_cancelled_when_it_has(gateway, peer):
    peer.slow_start.clear()
    running = gateway.submit(Query(query="select endless", connection="lake", timeout=0.1))
    wait_until(lambda: peer.requests != [], 5, "asking")
    time.sleep(0.2)  # its time is up, and the coordinator has not answered
    peer.slow_start.set()
    assert running.future.result(5).status is Status.TIMED_OUT
    wait_until(lambda: peer.queries[0].state == "FAILED", 5, "the server stopping")


def test_a_coordinator_that_is_busy_for_a_moment_is_asked_again(ask, peer):
    peer.breaking = 1
    assert ask("select nothing", timeout=20).status is Status.SUCCEEDED


def test_nobody_there_is_an_error(make_gateway, tables):
    gateway = make_gateway({"gone": {**tables["lake"], "port": free_port()}})
    outcome = gateway.execute(Query(query="select 1"))
    assert (outcome.status, outcome.trouble.kind) == (Status.CRASHED, "TrinoConnectionError")


def test_a_password_is_not_sent_without_tls(make_gateway, tables, recorded):
    gateway = make_gateway({"bare": {**tables["lake"], "password": "s3cret"}})
    outcome = gateway.execute(Query(query="select nothing"))
    assert outcome.status is Status.CRASHED
    assert "TLS" in outcome.trouble.message
    assert "s3cret" not in repr(recorded(outcome.execution_id))
