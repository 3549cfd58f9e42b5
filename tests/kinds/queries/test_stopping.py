"""Stopping: a gateway that closes, and databases that do not stop when they are told to."""

from __future__ import annotations

import threading

import apsw
import pytest

from execlog.core.errors import ConflictError
from execlog.core.model import Status
from execlog.kinds.queries.gateway import Query
from servers import wait_until

from .conftest import SLOW


class Deaf:
    """A session that does not let go before it is released."""

    def __init__(self):
        self.release, self.hung = threading.Event(), threading.Event()
        self.hung_up = False
        self.closed_by: threading.Thread | None = None

    def run(self, statement):
        self.user = threading.current_thread()
        self.hung.set()
        self.release.wait(30)
        raise RuntimeError("woke up much later")

    def finish(self, *, succeeded):
        return True

    def cancel(self):
        pass

    def hang_up(self):
        self.hung_up = True

    def close(self):
        self.closed_by = threading.current_thread()


def test_a_database_that_does_not_let_go_does_not_hold_the_answer(make_gateway, tables, recorded, monkeypatch):
    gateway = make_gateway(tables, max_concurrent=1, grace=0.1)
    deaf = Deaf()
    with monkeypatch.context() as patched:
        patched.setattr(type(gateway.connections["file"].connector), "open", lambda self: deaf)
        outcome = gateway.execute(Query(query="select 1", connection="file", timeout=0.1))
    assert deaf.hung.is_set()
    assert outcome.status is Status.TIMED_OUT
    wait_until(lambda: deaf.hung_up, 5, "hanging up")
    # Its place is free again, and its late error changes nothing.
    assert gateway.execute(Query(query="select 1", connection="file", timeout=5)).status is Status.SUCCEEDED
    assert deaf.closed_by is None  # its driver is still at work in the other thread
    deaf.release.set()
    wait_until(lambda: deaf.closed_by is not None, 5, "closing")
    assert deaf.closed_by is deaf.user
    assert recorded(outcome.execution_id).status is Status.TIMED_OUT


def test_queries_that_go_on_after_they_were_stopped_do_not_pile_up(make_gateway, tables, monkeypatch):
    gateway = make_gateway(tables, max_concurrent=1, grace=0.05)
    deaf = [Deaf() for _ in range(2)]
    with monkeypatch.context() as patched:
        sessions = iter(deaf)
        patched.setattr(type(gateway.connections["file"].connector), "open", lambda self: next(sessions))
        for _ in deaf:
            assert gateway.execute(Query(query="select 1", connection="file", timeout=0.1)).status is Status.TIMED_OUT
        refused = gateway.execute(Query(query="select 1", connection="file"))
    assert (refused.status, refused.trouble.kind) == (Status.CRASHED, "Overloaded")
    assert "2 queries on 'file' were stopped and go on" in refused.trouble.message
    assert gateway.execute(Query(query="select 1", connection="duck")).status is Status.SUCCEEDED
    deaf[0].release.set()
    wait_until(lambda: gateway.execute(Query(query="select 1", connection="file")).part is not None, 5, "a free place")
    deaf[1].release.set()


def test_a_database_that_does_not_close_keeps_no_other_open(make_gateway, tables, monkeypatch):
    gateway = make_gateway({name: tables[name] for name in ("duck", "file")})
    assert gateway.execute(Query(query="select 1", connection="file")).status is Status.SUCCEEDED
    kept = gateway._places["file"].sessions._idle[0][1]

    def refuse(_connector):
        raise RuntimeError("busy with another call")

    monkeypatch.setattr(type(gateway.connections["duck"].connector), "close", refuse)
    gateway.close()
    with pytest.raises(apsw.ConnectionClosedError):
        kept._connection.execute("select 1")


def test_closing_cancels_what_runs(make_gateway, tables, recorded):
    gateway = make_gateway(tables)
    running = gateway.submit(Query(query=SLOW, connection="file"))
    gateway.close()
    assert running.future.result(0).status is Status.CANCELLED
    assert recorded(running.id).error.message == "the gateway is shutting down"
    with pytest.raises(ConflictError):
        gateway.submit(Query(query="select 1", connection="file"))


@pytest.mark.parametrize("name", ["file", "duck"])
def test_stopping_a_session_that_was_closed_meanwhile_is_nothing(gateway, name):
    session = gateway.connections[name].connector.open()
    session.close()
    session.cancel()
    session.hang_up()
    session.close()


def test_closing_ends_its_threads(make_gateway, tables):
    before = set(threading.enumerate())
    gateway = make_gateway(tables)
    assert gateway.execute(Query(query="select 1", connection="file", timeout=20)).status is Status.SUCCEEDED
    started = [thread for thread in threading.enumerate() if thread not in before and thread.name != "execlog-drain"]
    assert {"execlog-deadlines", "execlog-query-file"} <= {thread.name for thread in started}
    gateway.close()
    for thread in started:
        thread.join(5)
    assert not [thread.name for thread in started if thread.is_alive()]
