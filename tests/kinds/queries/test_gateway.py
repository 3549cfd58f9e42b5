"""Running queries: pages, caps, time-outs, cancelling, ids, and a record of everything."""

from __future__ import annotations

import threading
import time
import tracemalloc

import pytest

from execlog.core.errors import ConflictError, InvalidError, NotFoundError, StoreError
from execlog.core.model import Status
from execlog.kinds.queries.gateway import Query
from servers import wait_until

from .conftest import ROWS, SLOW

READERS = ["file", "duck"]


@pytest.mark.parametrize("connection", READERS)
def test_a_page_of_a_result(gateway, recorded, connection):
    asked = Query(
        query="select a, b from t order by a;",
        connection=connection,
        page=2,
        page_size=1000,
        user_id="ann",
        conversation_id="talk",
        metadata={"ip": "10.0.0.1"},
    )
    outcome = gateway.execute(asked)
    part = outcome.part
    assert part.columns == ("a", "b")
    assert part.column_types[0] == "INTEGER"
    assert part.values() == [[n, f"v{n}"] for n in range(2001, 2501)]
    assert (part.total_rows, part.truncated) == (ROWS, None)
    kept = recorded(outcome.execution_id)
    assert (kept.status, kept.actor, kept.engine, kept.subject) == (
        Status.SUCCEEDED, "ann", gateway.connections[connection].database_type, connection,
    )  # fmt: skip
    assert (kept.rows, kept.input, kept.duration) == (ROWS, "select a, b from t order by a;", outcome.seconds)
    assert kept.metadata["returned_rows"] == 500
    assert (kept.metadata["page"], kept.metadata["page_size"]) == (2, 1000)
    assert kept.metadata["conversation_id"] == "talk"
    assert kept.metadata["request_metadata"] == {"ip": "10.0.0.1"}
    assert kept.metadata["connection_params"]["connection"] == connection


@pytest.mark.parametrize("connection", READERS)
@pytest.mark.parametrize(
    ("page", "size", "first", "count"),
    [
        (0, 100, 1, 100),
        (24, 100, 2401, 100),
        (25, 100, None, 0),
        (0, 2500, 1, 2500),
        (1, 999, 1000, 999),
        (7, 333, 2332, 169),
    ],
)
def test_pages_meet(gateway, connection, page, size, first, count):
    part = gateway.execute(
        Query(query="select a from t order by a", connection=connection, page=page, page_size=size)
    ).part
    values = [value for (value,) in part.values()]
    assert len(values) == count
    assert values[:1] == ([] if first is None else [first])
    assert part.total_rows == ROWS


def test_a_page_without_a_size_fits_the_connection(make_gateway, tables, recorded):
    outcome = make_gateway(tables, max_page_size=20).execute(Query(query="select a from t", connection="file"))
    assert (len(outcome.part.rows), outcome.page_size) == (20, 20)
    assert recorded(outcome.execution_id).metadata["page_size"] == 20
    with pytest.raises(InvalidError):
        make_gateway(tables, max_page_size=20).submit(Query(query="select 1", connection="file", page_size=21))


@pytest.mark.parametrize("connection", READERS)
def test_rows_are_counted_up_to_the_cap(make_gateway, tables, connection):
    gateway = make_gateway(tables, max_rows=1500)
    asked = Query(query="select a from t order by a", connection=connection, page=1, page_size=1000)
    part = gateway.execute(asked).part
    assert (part.total_rows, part.truncated, len(part.rows)) == (1500, "rows", 500)
    exact = make_gateway(tables, max_rows=ROWS).execute(asked).part
    assert (exact.total_rows, exact.truncated) == (ROWS, None)


@pytest.mark.parametrize("connection", READERS)
def test_a_page_ends_before_it_has_too_many_bytes(make_gateway, tables, connection):
    gateway = make_gateway(tables, max_bytes=5000)
    part = gateway.execute(Query(query="select a, b from t order by a", connection=connection, page_size=2000)).part
    assert part.truncated == "bytes"
    assert 0 < sum(len(bytes(row)) for row in part.rows) == part.bytes <= 5000
    assert part.total_rows == ROWS


@pytest.mark.parametrize("connection", READERS)
def test_large_rows_are_not_held_while_they_are_counted(gateway, connection):
    large = "hex(zeroblob(500000))" if connection == "file" else "repeat('x', 1000000)"
    tracemalloc.start()
    try:
        part = gateway.execute(Query(query=f"select {large} from t where a <= 100", connection=connection)).part
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert (part.total_rows, part.truncated, len(part.rows)) == (100, "bytes", 10)
    assert peak < 30e6  # the page and a few rows of the hundred


@pytest.mark.parametrize("connection", READERS)
def test_a_row_larger_than_a_page_is_said_to_be(make_gateway, tables, connection):
    gateway = make_gateway(tables, max_bytes=5000)
    wide = "substr('" + "x" * 6000 + "', 1, case when a = 2 then 6000 else 10 end)"
    asked = f"select a, {wide} from t where a <= 4 order by a"
    part = gateway.execute(Query(query=asked, connection=connection)).part
    assert ([row[0] for row in part.values()], part.total_rows, part.truncated) == ([1], 4, "bytes")
    outcome = gateway.execute(Query(query=asked, connection=connection, page=1, page_size=1))
    assert (outcome.status, outcome.trouble.kind) == (Status.FAILED, "RowTooLarge")
    assert "row 2 alone" in outcome.trouble.message
    past = gateway.execute(Query(query=asked, connection=connection, page=1, page_size=2)).part
    assert [row[0] for row in past.values()] == [3, 4]


def test_sqlite_makes_no_value_that_no_page_could_show(gateway):
    outcome = gateway.execute(Query(query="select length(hex(zeroblob(20000000)))", connection="file"))
    assert (outcome.status, outcome.trouble.kind) == (Status.FAILED, "TooBigError")


@pytest.mark.parametrize("connection", READERS)
def test_parameters_are_bound(gateway, connection, recorded):
    named = "select $x || b from t where a = $y" if connection == "duck" else "select :x || b from t where a = :y"
    listed = gateway.execute(Query(query="select b from t where a = ?", connection=connection, params=[7]))
    assert listed.part.values() == [["v7"]]
    by_name = gateway.execute(Query(query=named, connection=connection, params={"x": "'; drop table t; --", "y": 7}))
    assert by_name.part.values() == [["'; drop table t; --v7"]]
    assert recorded(listed.execution_id).params == {"positional": [7]}
    lacking = gateway.execute(Query(query=named, connection=connection, params={"y": 7}))
    assert lacking.status is Status.FAILED
    assert "parameter" in recorded(lacking.execution_id).error.message


@pytest.mark.parametrize("connection", READERS)
def test_what_the_database_refuses_is_failed_in_its_words(gateway, recorded, connection):
    outcome = gateway.execute(Query(query="select * from nowhere", connection=connection))
    assert outcome.status is Status.FAILED
    kept = recorded(outcome.execution_id)
    assert "nowhere" in kept.error.message
    assert kept.error.type in {"SQLError", "CatalogException"}


@pytest.mark.parametrize("connection", READERS)
def test_a_time_out_stops_the_database(gateway, recorded, connection):
    before = time.monotonic()
    outcome = gateway.execute(Query(query=SLOW, connection=connection, timeout=0.2))
    assert outcome.status is Status.TIMED_OUT
    assert time.monotonic() - before < 1.5
    assert recorded(outcome.execution_id).error.message == "the query was stopped after 0.2 s"
    # It stopped indeed: the same connection answers at once, and as it should.
    again = gateway.execute(Query(query="select count(*) from t", connection=connection, timeout=5))
    assert again.part.values() == [[ROWS]]
    assert again.seconds < 1


@pytest.mark.parametrize("connection", READERS)
def test_a_query_is_cancelled_by_its_id(gateway, recorded, connection):
    running = gateway.submit(Query(query=SLOW, connection=connection, execution_id="slow", user_id="ann"))
    wait_until(lambda: running.began is not None and running._session is not None, 5, "beginning")
    assert recorded("slow").status is Status.RUNNING
    with pytest.raises(NotFoundError):
        gateway.cancel("slow", user_id="bob")
    gateway.cancel("slow", user_id="ann", by="ann")
    outcome = running.future.result(5)
    assert (outcome.status, outcome.trouble.message) == (Status.CANCELLED, "cancelled by ann")
    kept = recorded("slow")
    assert (kept.status, kept.error.type) == (Status.CANCELLED, "Cancelled")
    with pytest.raises(NotFoundError):
        gateway.cancel("slow")


def test_the_longest_time_out_is_the_connection_s(make_gateway, tables):
    gateway = make_gateway(tables, max_timeout=0.2)
    assert gateway.execute(Query(query=SLOW, connection="file", timeout=3600)).status is Status.TIMED_OUT


def test_an_id_is_one_query_s(gateway, make_gateway, tables, recorded):
    running = gateway.submit(Query(query=SLOW, connection="file", execution_id="same"))
    with pytest.raises(ConflictError):
        gateway.submit(Query(query="select 1", connection="file", execution_id="same"))
    gateway.cancel("same")
    running.future.result(5)
    with pytest.raises(ConflictError):  # its record may not be in the store yet
        gateway.submit(Query(query="select 1", connection="file", execution_id="same", user_id="bob"))
    assert recorded("same").status is Status.CANCELLED
    with pytest.raises(ConflictError):
        make_gateway(tables).submit(Query(query="select 1", connection="file", execution_id="same"))
    assert gateway.execute(Query(query="select 1", connection="file", execution_id="other")).status is Status.SUCCEEDED


def test_an_id_of_our_own_is_not_looked_up(gateway, monkeypatch):
    monkeypatch.setattr(gateway._taken, "take", None)
    assert gateway.execute(Query(query="select 1", connection="file")).status is Status.SUCCEEDED


@pytest.mark.parametrize("hangs", [False, True])
def test_a_store_that_does_not_answer_does_not_hold_up_a_query_with_an_id(gateway, ledger, monkeypatch, hangs):
    release = threading.Event()

    def get(*_, **__):
        if hangs:
            release.wait(30)
        raise StoreError("down", retry=True)

    monkeypatch.setattr(ledger.store, "get", get)
    before = time.monotonic()
    outcome = gateway.execute(Query(query="select 1", connection="file", execution_id="mine"))
    release.set()
    assert outcome.status is Status.SUCCEEDED
    assert time.monotonic() - before < 10


def test_so_many_run_so_many_wait_and_the_rest_is_turned_away(make_gateway, tables, recorded):
    gateway = make_gateway(tables, max_concurrent=2, max_waiting=1)
    busy = [gateway.submit(Query(query=SLOW, connection="file", execution_id=f"busy{n}")) for n in range(2)]
    waiting = gateway.submit(Query(query="select 7", connection="file", execution_id="waiting"))
    assert recorded("waiting").status is Status.QUEUED
    refused = gateway.execute(Query(query="select 1", connection="file"))
    assert (refused.status, refused.trouble.kind) == (Status.CRASHED, "Overloaded")
    assert recorded(refused.execution_id).error.type == "Overloaded"
    other = gateway.execute(Query(query="select 1", connection="duck"))
    assert other.status is Status.SUCCEEDED
    gateway.cancel("busy0")
    assert waiting.future.result(5).part.values() == [[7]]
    kept = recorded("waiting")
    assert kept.queued_at < kept.started_at
    gateway.cancel("busy1")
    assert [running.future.result(5).status for running in busy] == [Status.CANCELLED] * 2


def test_waiting_counts_against_the_time_out_and_can_be_cancelled(make_gateway, tables, recorded):
    gateway = make_gateway(tables, max_concurrent=1)
    busy = gateway.submit(Query(query=SLOW, connection="file"))
    late = gateway.execute(Query(query="select 1", connection="file", timeout=0.1))
    assert (late.status, late.seconds) == (Status.TIMED_OUT, 0.0)
    assert "waited" in recorded(late.execution_id).error.message
    cancelled = gateway.submit(Query(query="select 1", connection="file"))
    gateway.cancel(cancelled.id)
    assert cancelled.future.result(1).status is Status.CANCELLED
    gateway.cancel(busy.id)
    busy.future.result(5)
    assert gateway.execute(Query(query="select 1", connection="file")).status is Status.SUCCEEDED


def test_a_connection_that_cannot_be_made_is_an_error_of_the_gateway(make_gateway, recorded, tmp_path):
    gateway = make_gateway({"gone": {"type": "sqlite", "path": str(tmp_path / "missing" / "x.db")}})
    outcome = gateway.execute(Query(query="select 1"))
    assert (outcome.status, outcome.trouble.kind) == (Status.CRASHED, "CantOpenError")
    assert recorded(outcome.execution_id).status is Status.CRASHED


def test_the_only_fitting_connection_is_found(gateway):
    assert gateway.find(Query(query="", database_type="duckdb")).name == "duck"
    assert gateway.find(Query(query="", database_type="desk")).name == "desk"
    for asked in (
        Query(query=""),
        Query(query="", connection="nowhere"),
        Query(query="", database_type="oracle"),
        Query(query="", connection="duck", database_type="sqlite"),
    ):
        with pytest.raises(InvalidError):
            gateway.find(asked)
    with pytest.raises(InvalidError, match="'duck' is of type 'duckdb', not 'sqlite'"):
        gateway.find(Query(query="", connection="duck", database_type="sqlite"))


def test_many_at_once_are_each_recorded_once(gateway, ledger, recorded):
    from execlog.core.filter import Filter

    outcomes = []
    lock = threading.Lock()

    def ask(number):
        for turn in range(20):
            outcome = gateway.execute(Query(query=f"select {number * 100 + turn}", connection=READERS[turn % 2]))
            with lock:
                outcomes.append((outcome.part.values(), number * 100 + turn))

    threads = [threading.Thread(target=ask, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert len(outcomes) == 160
    assert all(values == [[expected]] for values, expected in outcomes)
    assert ledger.flush()
    assert ledger.store.count(Filter(kind="query", statuses=(Status.SUCCEEDED,))) == 160


def test_what_was_said_once_is_not_said_again_unless_it_was_lost(gateway, ledger, recorded, monkeypatch):
    said = []
    taken = [True]
    append = ledger.append

    def watch(event):
        said.append(event)
        return append(event) if taken[0] else False

    monkeypatch.setattr(gateway, "_record", watch)
    first = gateway.execute(Query(query="select 1", connection="file", user_id="ann"))
    assert [event.input for event in said if event.status is not None] == ["select 1", None]
    kept = recorded(first.execution_id)
    assert (kept.input, kept.actor, kept.engine, kept.status) == ("select 1", "ann", "sqlite", Status.SUCCEEDED)
    said.clear()
    taken[0] = False
    gateway.execute(Query(query="select 2", connection="file"))
    assert [event.input for event in said if event.status is not None] == ["select 2", "select 2"]
