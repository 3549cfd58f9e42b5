"""POST /v3/execute and its neighbours over HTTP."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

import httpx
import msgspec
import pytest

from execlog.cli.families import open_families
from execlog.core.filter import Filter
from execlog.core.model import Status
from execlog.kinds.queries.routes import query_kind
from execlog.web.server import Server
from servers import wait_until

from .conftest import ROWS, SLOW


def test_a_page_has_exactly_the_contract_s_fields_and_a_few_more(client):
    answer = client.post(
        "/v3/execute",
        json={"query": "select a, b from t order by a", "database_type": "duckdb", "page": 1, "page_size": 2},
    )
    assert answer.status_code == 200
    body = answer.json()
    assert body.pop("execution_id")
    assert body.pop("execution_time") > 0
    assert body == {
        "status": "success", "columns": ["a", "b"], "column_types": ["INTEGER", "VARCHAR"],
        "rows": [[3, "v3"], [4, "v4"]], "total_rows": ROWS, "returned_rows": 2, "page": 1, "page_size": 2,
        "connection": "duck", "database_type": "duckdb", "truncated": None, "affected_rows": None, "cached": False,
    }  # fmt: skip


def test_what_was_asked_is_in_the_user_s_history(client, ledger):
    said = {
        "query": "select 1",
        "connection": "file",
        "user_id": "ann",
        "conversation_id": "talk",
        "metadata": {"a": 1},
    }
    execution_id = client.post("/v3/execute", json=said).json()["execution_id"]
    refused = client.post("/v3/execute", json=said | {"query": "select * from nowhere"}).json()["execution_id"]
    assert ledger.flush()
    rows = {row["execution_id"]: row for row in client.get("/api/v1/executions/ann").json()["executions"]}
    assert rows[execution_id] | {
        "query": "select 1", "database_type": "sqlite", "status": "success", "total_rows": 1, "returned_rows": 1,
        "conversation_id": "talk", "request_metadata": {"a": 1}, "page": 0, "page_size": 100,
    } == rows[execution_id]  # fmt: skip
    assert rows[execution_id]["connection_params"]["connection"] == "file"
    assert (rows[refused]["status"], rows[refused]["error_type"]) == ("failed", "SQLError")
    assert "nowhere" in rows[refused]["error_message"]


@pytest.mark.parametrize(
    ("said", "status", "word", "kind"),
    [
        ({"query": "select * from nowhere"}, 422, "failed", "SQLError"),
        ({"query": "drop table t"}, 422, "failed", "NotReadOnly"),
        ({"query": "select 1\0, 2"}, 422, "failed", "SyntaxError"),
        ({"query": SLOW, "timeout": 0.1}, 504, "timeout", "TimeoutError"),
    ],
)
def test_a_query_without_a_result_is_a_problem_that_names_the_execution(client, recorded, said, status, word, kind):
    answer = client.post("/v3/execute", json={"connection": "file", "execution_id": "mine", **said})
    assert answer.status_code == status
    assert answer.headers["content-type"].startswith("application/problem+json")
    body = answer.json()
    assert (body["execution_id"], body["status"], body["query_status"], body["error_type"]) == (
        "mine",
        status,
        word,
        kind,
    )
    assert body["error_message"]
    assert recorded("mine").error.message == body["error_message"]


def test_a_broken_connection_is_a_502_and_an_error_in_the_history(ledger, make_gateway, tmp_path):
    from starlette.testclient import TestClient

    from execlog.kinds.queries.routes import query_kind
    from execlog.web.app import create_app

    gateway = make_gateway({"gone": {"type": "sqlite", "path": str(tmp_path / "no" / "x.db")}})
    with TestClient(create_app(ledger, [query_kind(ledger, gateway)]), base_url="http://localhost") as client:
        answer = client.post("/v3/execute", json={"query": "select 1", "user_id": "ann"})
        assert answer.status_code == 502
        assert answer.json()["query_status"] == "error"
        assert ledger.flush()
        assert client.get("/api/v1/executions/ann?status=error").json()["count"] == 1


@pytest.mark.parametrize(
    "said",
    [
        {},
        {"query": ""},
        {"query": 7},
        {"query": "select 1", "connection": "nowhere"},
        {"query": "select 1"},
        {"query": "select 1", "connection": "file", "page": -1},
        {"query": "select 1", "connection": "file", "page_size": 0},
        {"query": "select 1", "connection": "file", "page_size": 50_000},
        {"query": "select 1", "connection": "file", "timeout": 0},
        {"query": "select 1", "connection": "file", "timeout": -3},
        {"query": "select 1", "connection": "file", "execution_id": "../x"},
        {"query": "select 1", "connection": "file", "execution_id": "x" * 101},
        {"query": "select 1", "connection": "file", "user_id": "a/b"},
        {"query": "select 1", "connection": "file", "user_id": ".."},
        {"query": "select 1", "connection": "file", "params": "x"},
        {"query": "select 1", "connection": "file", "metadata": []},
        {"query": "x" * 500_001, "connection": "file"},
    ],
)
def test_a_request_that_cannot_be_is_a_422(client, said):
    assert client.post("/v3/execute", json=said).status_code == 422


@pytest.mark.parametrize("params", [[1, 2, 3], {"x": 1}, [[1]], [{"a": 1}]])
def test_parameters_that_do_not_fit_are_a_refusal(client, params):
    answer = client.post(
        "/v3/execute", json={"query": "select a from t where a = ?", "connection": "file", "params": params}
    )
    assert answer.status_code == 422
    assert answer.json()["execution_id"]


def test_an_id_that_a_query_has_already_is_a_409(client, ledger):
    said = {"query": "select 1", "connection": "file", "user_id": "ann", "execution_id": "mine"}
    assert client.post("/v3/execute", json=said).status_code == 200
    answer = client.post("/v3/execute", json=said | {"user_id": "bob"})
    assert (answer.status_code, "mine" in answer.json()["detail"]) == (409, True)
    assert ledger.flush()
    assert client.get("/api/v1/executions/ann").json()["count"] == 1
    assert client.get("/api/v1/executions/bob").json()["count"] == 0


def test_a_query_whose_client_hangs_up_is_cancelled(ledger, gateway):
    settings = msgspec.structs.replace(ledger.settings, port=0)
    with Server(ledger, [query_kind(ledger, gateway)], settings).in_thread() as url:
        said = {"query": SLOW, "connection": "file", "execution_id": "long", "timeout": 60}
        with pytest.raises(httpx.ReadTimeout):
            httpx.post(f"{url}/v3/execute", json=said, timeout=0.5)
        wait_until(lambda: not gateway.running(), 10, "the query being cancelled")
        answer = httpx.post(f"{url}/v3/execute", json=said | {"query": "select 1", "execution_id": "next"})
        assert answer.json()["rows"] == [[1]]
    assert ledger.flush()
    ended = ledger.store.get("long", kind="query")
    assert (ended.status, ended.error.message) == (Status.CANCELLED, "cancelled by its client, which hung up")


def test_a_query_is_cancelled_over_http(client, gateway):
    answers = []
    said = {"query": SLOW, "connection": "file", "execution_id": "slow", "timeout": 60}
    asking = threading.Thread(target=lambda: answers.append(client.post("/v3/execute", json=said)))
    asking.start()
    wait_until(lambda: any(event.id == "slow" for event in gateway.running()), 5, "beginning")
    answer = client.post("/v3/execute/slow/cancel")
    assert (answer.status_code, answer.json()) == (202, {"execution_id": "slow", "status": "cancelling"})
    asking.join(10)
    assert (answers[0].status_code, answers[0].json()["error_type"]) == (409, "Cancelled")
    assert client.post("/v3/execute/slow/cancel").status_code == 404


def test_connections_are_listed_without_where_they_lead(client, sqlite_file):
    answer = client.get("/v3/connections")
    assert [one["name"] for one in answer.json()["connections"]] == ["file", "desk", "duck"]
    assert str(sqlite_file) not in answer.text


def test_a_limited_caller_asks_in_their_own_name(guarded, recorded, gateway):
    alice = guarded("operator:alice")
    said = {"query": "select 1", "connection": "file"}
    mine = alice.post("/v3/execute", json=said)
    assert mine.status_code == 200
    assert recorded(mine.json()["execution_id"]).actor == "alice"
    assert alice.post("/v3/execute", json=said | {"user_id": "bob"}).status_code == 403


def test_a_limited_caller_cancels_their_own_only(guarded, gateway):
    from execlog.kinds.queries.gateway import Query

    theirs = gateway.submit(Query(query=SLOW, connection="file", execution_id="theirs", user_id="bob"))
    assert guarded("operator:alice").post("/v3/execute/theirs/cancel").status_code == 404
    assert guarded("operator").post("/v3/execute/theirs/cancel").status_code == 202
    assert theirs.future.result(5).status.value == "cancelled"


def test_reading_does_not_allow_asking(guarded):
    assert guarded("viewer").post("/v3/execute", json={"query": "select 1", "connection": "file"}).status_code == 403
    assert guarded("viewer").get("/v3/connections").status_code == 200


def test_recording_never_fails_the_query(client, ledger, monkeypatch):
    monkeypatch.setattr(ledger.recorder, "_append", lambda *_: (_ for _ in ()).throw(OSError("disk full")))
    answer = client.post("/v3/execute", json={"query": "select 1", "connection": "file"})
    assert answer.status_code == 200
    assert ledger.stats().refused["journal"] >= 1


@contextmanager
def alone(ledger):
    yield [query_kind(ledger)]


@contextmanager
def as_the_command_line_has_it(ledger):
    with open_families(ledger, schedule=False) as (kinds, _):
        yield kinds


@pytest.mark.parametrize("open_kinds", [alone, as_the_command_line_has_it])
def test_a_server_that_stops_cancels_what_runs_and_says_so(ledger, sqlite_file, open_kinds):
    ledger.settings.home.mkdir(exist_ok=True)
    (ledger.settings.home / "execlog.toml").write_text(f'[connections.file]\ntype = "sqlite"\npath = "{sqlite_file}"\n')
    settings = msgspec.structs.replace(ledger.settings, port=0)
    with (
        ThreadPoolExecutor(1) as pool,
        open_kinds(ledger) as kinds,
        Server(ledger, kinds, settings).in_thread() as url,
    ):
        said = {"query": SLOW, "execution_id": "long", "timeout": 60}
        answer = pool.submit(httpx.post, f"{url}/v3/execute", json=said, timeout=30)
        running = Filter(kind="query", origin=ledger.recorder.origin, statuses=(Status.RUNNING,))
        wait_until(lambda: ledger.flush() and ledger.store.count(running) == 1, 10, "the query is known to run here")
    problem = answer.result()
    assert (problem.status_code, problem.json()["execution_id"]) == (409, "long")
    assert ledger.flush()
    ended = ledger.store.get("long", kind="query")
    assert (ended.status, ended.error.message) == (Status.CANCELLED, "the gateway is shutting down")
