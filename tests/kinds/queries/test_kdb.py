"""The gateway on kdb+, as far as that goes without one: a peer that speaks its protocol (kdb_peer)."""

from __future__ import annotations

import threading
import time

import pytest

from execlog.core.model import Status
from execlog.kinds.queries.connectors.qipc import values as q
from execlog.kinds.queries.gateway import Query
from servers import free_port, wait_until

from .kdb_peer import KdbPeer

TRADES = q.table(
    {
        "time": q.vector(q.TIMESTAMP, [757_382_400_000_000_000 + n for n in range(2_500)]),
        "sym": q.Vector(q.SYMBOL, [("AAPL", "", "MSFT")[n % 3] for n in range(2_500)]),
        "price": q.vector(q.FLOAT, [n / 4 for n in range(2_500)]),
        "size": q.vector(q.LONG, [n if n % 5 else -(2**63) for n in range(2_500)]),
    }
)


@pytest.fixture
def peer():
    hold = threading.Event()

    def slow(*_):
        hold.wait(30)
        return q.NULL

    answers = {
        "select from trade": TRADES,
        "1+1": q.long(2),
        "`a`b!1 2": q.Dictionary(q.Vector(q.SYMBOL, ["a", "b"]), q.vector(q.LONG, [1, 2])),
        "1 2 3": q.vector(q.LONG, [1, 2, 3]),
        '"text"': q.string("text"),
        '("a";1)': q.Mixed((q.string("a"), q.long(1))),
        "::": q.NULL,
        "{x+y}": lambda x, y: q.long(x.raw + y.raw),
        "keyed": q.Dictionary(
            q.table({"sym": q.Vector(q.SYMBOL, ["A", "B"])}), q.table({"price": q.vector(q.LONG, [10, 20])})
        ),
        "update price:0 from `t": q.symbol("t"),
        "slow": slow,
        "late": q.QError("stop"),
    }
    made = KdbPeer(answers, user="ann", password="s3cret")
    yield made
    hold.set()
    made.close()


@pytest.fixture
def tables(peer):
    table = {"type": "kdb", "host": "127.0.0.1", "port": peer.port, "user": "ann", "password": "s3cret"}
    return {"kdb": table, "desk": {**table, "database_type": "desk", "read_only": False, "server_timeout": True}}


@pytest.fixture
def ask(gateway):
    return lambda query, **said: gateway.execute(Query(query=query, **{"connection": "kdb", **said}))


def test_a_page_is_cut_out_and_counted_by_the_server(ask, peer, recorded):
    outcome = ask("select from trade ", page=2, page_size=1000, user_id="ann")
    part = outcome.part
    assert (part.total_rows, len(part.rows), part.truncated) == (2500, 500, None)
    assert part.columns == ("time", "sym", "price", "size")
    assert part.column_types == ("timestamp", "symbol", "float", "long")
    assert part.values()[0] == ["2024-01-01T00:00:00.000002000", "MSFT", 500.0, None]
    assert part.values()[2] == ["2024-01-01T00:00:00.000002002", None, 500.5, 2002]
    assert peer.asked == [("reval", "select from trade")]
    kept = recorded(outcome.execution_id)
    assert (kept.engine, kept.rows, kept.status) == ("kdb", 2500, Status.SUCCEEDED)
    assert kept.metadata["connection_params"] == {
        "connection": "kdb", "host": "127.0.0.1", "port": str(peer.port), "user": "ann",
    }  # fmt: skip


@pytest.mark.parametrize(
    ("query", "columns", "rows"),
    [
        ("1+1", ("value",), [[2]]),
        ("1 2 3", ("value",), [[1], [2], [3]]),
        ("`a`b!1 2", ("key", "value"), [["a", 1], ["b", 2]]),
        ('"text"', ("value",), [["text"]]),
        ('("a";1)', ("value",), [["a"], [1]]),
        ("keyed", ("sym", "price"), [["A", 10], ["B", 20]]),
        ("::", (), []),
    ],
)
def test_what_is_not_a_table_becomes_one(ask, query, columns, rows):
    part = ask(query).part
    assert (part.columns, part.values(), part.total_rows) == (columns, rows, len(rows))


def test_parameters_are_arguments(ask, peer):
    assert ask("{x+y}", params=[40, 2]).part.values() == [[42]]
    assert peer.asked == [("reval", "{x+y}", 40, 2)]
    assert ask("{x+y}", params={"x": 1}).trouble.kind == "TypeError"
    assert ask("{x+y}", params=[[1], 2]).trouble.kind == "TypeError"


def test_read_only_is_the_server_s(ask, peer):
    refused = ask("update price:0 from `t")
    assert (refused.status, refused.trouble.kind) == (Status.FAILED, "NotReadOnly")
    assert ask("\\l other.q").trouble.kind == "NotReadOnly"
    assert ask("update price:0 from `t", connection="desk", timeout=7).status is Status.SUCCEEDED
    assert peer.asked[-2:] == [("system", "T 7"), ("value", "update price:0 from `t")]


def test_errors_are_in_kdb_s_words(ask, recorded):
    outcome = ask("nowhere")
    assert (outcome.status, outcome.trouble.kind, outcome.trouble.message) == (Status.FAILED, "QError", "'nowhere")
    assert ask("late").status is Status.TIMED_OUT
    assert ask("  ").trouble.kind == "EmptyQuery"
    assert recorded(outcome.execution_id).error.message == "'nowhere"


def test_a_time_out_hangs_up_and_the_next_query_has_a_new_line(ask, peer):
    before = time.monotonic()
    assert ask("slow", timeout=0.2).status is Status.TIMED_OUT
    assert time.monotonic() - before < 1.5
    assert ask("1+1").part.values() == [[2]]


def test_a_query_is_cancelled_by_its_id(gateway, peer):
    running = gateway.submit(Query(query="slow", connection="kdb", execution_id="slow"))
    wait_until(lambda: peer.asked != [], 5, "beginning")
    gateway.cancel("slow")
    assert running.future.result(5).status is Status.CANCELLED


@pytest.mark.parametrize("connection", ["kdb", "desk"])
def test_a_line_that_was_lost_while_idle_is_made_anew(ask, peer, connection):
    assert ask("1+1", connection=connection).status is Status.SUCCEEDED
    peer.hang_up()
    assert ask("1+1", connection=connection).status is Status.SUCCEEDED


@pytest.mark.parametrize(("connection", "times"), [("kdb", 2), ("desk", 1)])
def test_only_what_reads_is_asked_again_when_the_line_is_lost(ask, peer, connection, times):
    def die():
        peer.hang_up()
        return q.NULL

    peer.answers["die"] = lambda *_: die()
    assert ask("1+1", connection=connection).status is Status.SUCCEEDED
    assert ask("die", connection=connection).status is Status.CRASHED
    assert [asked[1] for asked in peer.asked].count("die") == times


def test_a_line_whose_answer_was_not_read_is_not_used_again(make_gateway, tables, peer):
    gateway = make_gateway({"desk": {**tables["desk"], "server_timeout": False, "max_message": 1000}}, max_concurrent=1)
    for query, status in (("1+1", Status.SUCCEEDED), ("select from trade", Status.CRASHED), ("1+1", Status.SUCCEEDED)):
        assert gateway.execute(Query(query=query, page_size=2500)).status is status
    assert [asked[1] for asked in peer.asked] == ["1+1", "select from trade", "1+1"]


def test_a_process_that_dies_in_a_query_is_an_error(gateway, peer):
    running = gateway.submit(Query(query="slow", connection="kdb"))
    wait_until(lambda: peer.asked != [], 5, "beginning")
    peer.hang_up()
    outcome = running.future.result(5)
    assert (outcome.status, outcome.trouble.kind) == (Status.CRASHED, "ConnectionResetError")


def test_nobody_there_and_nobody_let_in_are_errors(make_gateway, tables):
    wrong = {**tables["kdb"], "password": "other"}
    gateway = make_gateway({"none": {**tables["kdb"], "port": free_port()}, "wrong": wrong})
    assert gateway.execute(Query(query="1+1", connection="none")).trouble.kind == "ConnectionRefusedError"
    refused = gateway.execute(Query(query="1+1", connection="wrong"))
    assert (refused.status, refused.trouble.kind) == (Status.CRASHED, "AccessError")
    assert "other" not in refused.trouble.message


def test_compressed_answers_are_read(make_gateway, tables):
    peer = KdbPeer({"select from trade": TRADES}, user="ann", password="s3cret", compress=True)
    try:
        gateway = make_gateway({"far": {**tables["kdb"], "port": peer.port}})
        part = gateway.execute(Query(query="select from trade", page_size=2500)).part
        assert (part.total_rows, len(part.rows), part.values()[-1][2]) == (2500, 2500, 2499 / 4)
    finally:
        peer.close()


def test_an_answer_that_is_too_large_is_refused(make_gateway, tables):
    gateway = make_gateway({"kdb": {**tables["kdb"], "max_message": 1000}})
    outcome = gateway.execute(Query(query="select from trade", page_size=2500))
    assert (outcome.status, outcome.trouble.kind) == (Status.CRASHED, "WireError")
    assert gateway.execute(Query(query="1+1")).part.values() == [[2]]
