"""The workflows' routes, over the app."""

from __future__ import annotations

import asyncio
import csv
import io
import json
import time

import httpx
import pytest
from msgspec.structs import replace

from execlog.core.errors import NotFoundError, StoreError
from execlog.core.model import Event, Item, Key, LogLine, Status
from execlog.kind import Stream
from execlog.kinds.workflows import workflow_kind
from execlog.kinds.workflows.exporting import COLUMNS
from execlog.kinds.workflows.progress import Progress
from execlog.ledger import Ledger
from execlog.web.server import Server

BASE = "/api/projects/proj-123/executions"


@pytest.fixture(params=["sqlite", pytest.param("postgres", marks=pytest.mark.postgres)])
def ledger(request, tmp_path, new_store_url):
    with Ledger.open(new_store_url(request.param), home=tmp_path) as opened:
        yield opened


@pytest.fixture
def five(service, record):
    for number, status in enumerate(["completed", "failed", "running", "cancelled", "completed"]):
        service.save_execution("proj-123", record(number, status=status, error="boom" if status == "failed" else None))
    service.save_execution("elsewhere", record(0))
    assert service.list_executions("proj-123").total == 5


def test_a_page_is_as_the_contract_says(client, five):
    found = client.get(BASE, params={"limit": 2, "offset": 1, "status": "completed"})
    assert found.status_code == 200
    assert found.json() == {
        "executions": [
            {
                "id": "exec-0",
                "projectId": "proj-123",
                "status": "completed",
                "startedAt": "2024-01-01T10:00:00Z",
                "completedAt": "2024-01-01T10:00:00.500000Z",
                "duration": 500,
                "tokenUsage": {"input": 100, "output": 50, "total": 150},
                "costUSD": 0.001,
            }
        ],
        "total": 2,
    }
    fields = "id projectId status startedAt completedAt duration tokenUsage costUSD"
    assert list(found.json()["executions"][0]) == fields.split()


def test_limit_is_fifty_unless_said(client, service, record):
    for number in range(55):
        service.save_execution("proj-123", record(number))
    service.list_executions("proj-123")
    assert len(client.get(BASE).json()["executions"]) == 50
    assert client.get(f"{BASE}?limit=1000").json()["total"] == 55


@pytest.mark.parametrize(
    "query",
    [
        "limit=0",
        "limit=1001",
        "limit=x",
        "offset=-1",
        "offset=99999999",
        "status=done",
        "minCost=-1",
        "since=soon",
        "sort=best",
    ],
)
def test_nonsense_is_refused(client, query):
    assert client.get(f"{BASE}?{query}").status_code == 422


def test_stats_come_before_an_execution_of_that_name(client, five):
    assert client.get(f"{BASE}/stats").json() == {
        "totalExecutions": 5,
        "completed": 2,
        "failed": 1,
        "running": 1,
        "totalCostUSD": 0.005,
        "totalTokens": 750,
    }
    assert client.get("/api/projects/nobody/executions/stats").json()["totalExecutions"] == 0


def test_one_execution(client, five):
    found = client.get(f"{BASE}/exec-1").json()
    assert (found["status"], found["error"], found["projectId"]) == ("failed", "boom", "proj-123")
    assert client.get(f"{BASE}/nobody").status_code == 404
    assert client.get("/api/projects/elsewhere/executions/exec-1").status_code == 404


def test_an_execution_without_steps_and_lines_says_so(client, service):
    service.save_execution("proj-123", {"id": "bare", "status": "completed", "startedAt": "2024-01-01T10:00:00Z"})
    assert service.get_execution("proj-123", "bare")
    found = client.get(f"{BASE}/bare").json()
    assert (found["steps"], found["logs"]) == ([], [])


def test_deleting(client, five):
    assert client.delete(f"{BASE}/exec-1").status_code == 204
    assert client.delete(f"{BASE}/exec-1").status_code == 404
    assert client.get(f"{BASE}/exec-1").status_code == 404
    assert client.delete(BASE).json() == {"deleted": 4}
    assert client.delete(BASE).json() == {"deleted": 0}
    assert client.get(BASE).json() == {"executions": [], "total": 0}
    assert client.get("/api/projects/elsewhere/executions").json()["total"] == 1


def test_ids_that_escape_are_refused(client):
    assert client.get("/api/projects/a%2Fb/executions").status_code == 422
    assert client.get(f"{BASE}/%2e%2e%2fetc").status_code == 422


def test_filters_of_the_query(client, service, record):
    service.save_execution("proj-123", record(1, costUSD=0.5, input={"city": "北京市的天气"}, workflowId="w"))
    service.save_execution("proj-123", record(2, costUSD=0.25, tokenUsage={"input": 5, "output": 5}))
    service.list_executions("proj-123")

    def ids(**params):
        return [entry["id"] for entry in client.get(BASE, params=params).json()["executions"]]

    assert ids(minCost="0.3") == ["exec-1"]
    assert ids(maxTokens=10) == ["exec-2"]
    assert ids(search="京市的") == ["exec-1"]
    assert ids(workflowId="w") == ["exec-1"]
    assert ids(since="2024-01-01T10:00:02Z") == ["exec-2"]
    assert ids(until="2024-01-01T10:00:02Z") == ["exec-1"]
    assert ids(sort="oldest") == ["exec-1", "exec-2"]
    assert client.get(f"{BASE}/stats", params={"workflowId": "w"}).json()["totalCostUSD"] == 0.5


def test_cost_by_model(client, service, record):
    service.save_execution("proj-123", record(1, models={"gpt-4o": {"input": 3, "output": 4, "costUSD": "0.1"}}))
    service.list_executions("proj-123")
    assert client.get("/api/projects/proj-123/models").json()["executions"] == 0
    found = client.get("/api/projects/proj-123/models?since=2024-01-01").json()
    assert found["executions"] == 1
    assert found["models"]["gpt-4o"]["costUSD"] == 0.1


def test_csv_export(client, service, record):
    service.save_execution("proj-123", record(1, error="=HYPERLINK(1)", status="failed", triggeredBy='a,"b"\nc'))
    service.save_execution("proj-123", record(2, tokenUsage={"input": 1, "output": 1}, costUSD=None))
    service.list_executions("proj-123")
    found = client.get("/api/projects/proj-123/executions.csv")
    assert found.headers["content-type"].startswith("text/csv")
    assert "executions.csv" in found.headers["content-disposition"]
    lines = list(csv.DictReader(io.StringIO(found.text, newline="")))
    assert tuple(lines[0]) == COLUMNS
    assert [line["id"] for line in lines] == ["exec-2", "exec-1"]
    assert (lines[0]["costUSD"], lines[1]["costUSD"]) == ("", "0.001")
    assert lines[1]["error"] == "'=HYPERLINK(1)"
    assert [lines[1][name] for name in ("duration", "inputTokens", "totalTokens")] == ["500", "100", "150"]
    assert lines[1]["triggeredBy"] == 'a,"b"\nc'
    assert lines[1]["startedAt"] == "2024-01-01T10:00:01Z"
    assert client.get("/api/projects/proj-123/executions.csv?status=failed").text.count("\r\n") == 2


def test_json_exports_stream_everything(client, service, record):
    for number in range(120):
        service.save_execution("proj-123", record(number, steps=[{"id": "a", "output": number}]))
    service.list_executions("proj-123")
    whole = client.get("/api/projects/proj-123/executions.json").json()["executions"]
    assert [entry["id"] for entry in whole] == [f"exec-{number}" for number in range(119, -1, -1)]
    assert whole[0]["steps"][0]["output"] == 119
    lines = client.get("/api/projects/proj-123/executions.ndjson").text.splitlines()
    assert [json.loads(line) for line in lines] == whole
    assert client.get("/api/projects/nobody/executions.json").json() == {"executions": []}


def test_an_export_is_made_as_it_is_read(service, record):
    from execlog.kinds.workflows.exporting import to_ndjson
    from execlog.kinds.workflows.service import filter_of

    for number in range(30):
        service.save_execution("p", record(number))
    read = []
    find = service.store.find
    service.reader()

    def counted(*args, **kwargs):
        read.append(1)
        return find(*args, **kwargs)

    service.store.find = counted
    lines = to_ndjson(service.scan(filter_of("p"), page=10))
    next(lines)
    assert len(read) == 1
    assert sum(1 for _ in lines) == 29
    assert len(read) == 3


def test_a_limited_token_sees_its_own(guarded, service, record):
    service.save_execution("p", record(1, triggeredBy="alice"))
    service.save_execution("p", record(2, triggeredBy="bob"))
    service.list_executions("p")
    base = "/api/projects/p/executions"
    alice = guarded("viewer:alice")
    assert [entry["id"] for entry in alice.get(base).json()["executions"]] == ["exec-1"]
    assert alice.get(f"{base}/stats").json()["totalExecutions"] == 1
    assert alice.get(f"{base}/exec-2").status_code == 404
    assert alice.get("/api/projects/p/executions.ndjson").text.count("\n") == 1
    assert alice.get(f"{base}/exec-2/events").status_code == 404
    assert alice.delete(f"{base}/exec-1").status_code == 403
    admin = guarded("admin:alice")
    assert admin.delete(f"{base}/exec-2").status_code == 404
    assert admin.delete(base).json() == {"deleted": 1}
    assert guarded("viewer").get(base).json()["total"] == 1


def test_progress_of_an_execution_that_is_over(client, five):
    text = client.get(f"{BASE}/exec-1/events").text
    assert [line for line in text.splitlines() if line.startswith("event")] == ["event: execution", "event: end"]
    assert client.get(f"{BASE}/nobody/events").status_code == 404


def test_progress_has_room_for_so_many(ledger, service, record):
    service.save_execution("p", record(1))
    service.list_executions("p")

    async def play() -> None:
        progress = Progress(ledger, most_clients=2)
        key = Key("workflow", "p", "exec-1")
        promised = await asyncio.gather(*(progress.open(key) for _ in range(3)), return_exceptions=True)
        assert [type(one) for one in promised] == [Stream, Stream, StoreError]
        for stream in promised[:2]:
            await stream.aclose()
        with pytest.raises(NotFoundError):
            await progress.open(Key("workflow", "p", "nobody"))
        assert progress.clients == 0

    asyncio.run(play())


@pytest.fixture
def server(ledger):
    return Server(ledger, [workflow_kind(ledger)], replace(ledger.settings, port=0))


@pytest.fixture
def live(server):
    """The address of a real server: a test client would wait for the end of a stream."""
    with server.in_thread() as url:
        yield url


def _say(service, at, **fields):
    service.append(Event(id="e", kind="workflow", namespace="proj-123", at=at, **fields))


def test_progress_is_told_as_it_happens(live, service):
    _say(service, 1, status=Status.RUNNING, started_at=1, items=(Item(key="a", at=1, status=Status.QUEUED),))
    service.list_executions("proj-123")
    told = []
    with httpx.stream("GET", f"{live}{BASE}/e/events", timeout=20) as answer:
        assert answer.headers["content-type"].startswith("text/event-stream")
        events = _events(answer.iter_lines())
        told += [next(events), next(events)]
        _say(service, 2, items=(Item(key="a", at=2, status=Status.RUNNING),))
        told.append(next(events))
        _say(service, 3, logs=(LogLine(3, 1, "info", "hello", "a"),))
        told.append(next(events))
        _say(
            service,
            4,
            status=Status.SUCCEEDED,
            ended_at=9,
            items=(Item(key="a", at=4, status=Status.SUCCEEDED, output=7),),
        )
        told += list(events)
    names = [name for name, _ in told]
    assert names == ["step", "execution", "step", "log", "step", "execution", "end"]
    assert [data["status"] for name, data in told if name == "step"] == ["pending", "running", "completed"]
    assert told[3][1]["message"] == "hello"
    assert told[-1][1]["status"] == "completed"
    assert "output" not in told[-3][1]


def test_progress_of_one_that_is_deleted_ends(live, service):
    _say(service, 1, status=Status.RUNNING, started_at=1)
    service.list_executions("proj-123")
    with httpx.stream("GET", f"{live}{BASE}/e/events", timeout=20) as answer:
        events = _events(answer.iter_lines())
        assert next(events)[0] == "execution"
        assert service.delete_execution("proj-123", "e")
        assert list(events) == [("deleted", {"id": "e", "projectId": "proj-123"})]


def test_a_server_that_stops_ends_the_streams_whole(live, server, service):
    _say(service, 1, status=Status.RUNNING, started_at=1)
    service.list_executions("proj-123")
    with httpx.stream("GET", f"{live}{BASE}/e/events", timeout=20) as answer:
        events = _events(answer.iter_lines())
        assert next(events)[0] == "execution"
        began = time.monotonic()
        server.stop()
        assert list(events) == []  # httpx would raise for a stream that is cut off
    assert time.monotonic() - began < 1.5


def _events(lines):
    name = None
    for line in lines:
        if line.startswith("event: "):
            name = line[7:]
        elif line.startswith("data: "):
            yield name, json.loads(line[6:])
