"""Executions that are posted: what is taken, what is refused, and leases of what is posted as running."""

from __future__ import annotations

import gzip
import json
import re
import time

import pytest
from starlette.testclient import TestClient

from execlog.ledger import Ledger
from execlog.testing.agreement import ManualClock
from execlog.web.app import create_app
from histories import SECOND


@pytest.fixture
def ledger(each_ledger):
    return each_ledger


def test_one_posted_execution_is_taken_and_readable(ledger, client):
    sent = client.post("/api/executions", json={"name": "load", "kind": "etl", "rows": 5, "duration": 1.5})
    assert sent.status_code == 202
    [new] = sent.json()["ids"]
    assert ledger.flush()
    found = client.get(f"/api/executions/{new}").json()
    assert (found["status"], found["rows"], found["duration"], found["kind"]) == ("succeeded", 5, 1.5, "etl")


@pytest.mark.parametrize("how", [{"params": {"durable": "true"}}, {"headers": {"Prefer": "durable"}}])
def test_a_durable_one_is_created(client, how):
    sent = client.post("/api/executions", json={"name": "load"}, **how)
    assert (sent.status_code, sent.json()["accepted"]) == (201, 1)
    assert sent.headers.get("preference-applied") == ("durable" if "headers" in how else None)


def test_an_array_and_lines_keep_the_good_and_tell_the_bad(ledger, client):
    good, bad = {"name": "good"}, {"name": "bad", "started_at": "yesterday"}
    array = client.post("/api/executions", json=[good, bad, good]).json()
    assert (array["accepted"], array["rejected"]) == (2, 1)
    assert [(error["line"], error["field"]) for error in array["errors"]] == [(2, "started_at")]
    lines = "\n".join(["", json.dumps(good), "{not json", json.dumps({**good, "color": "red"}), "", json.dumps(good)])
    told = client.post("/api/executions", content=lines, headers={"Content-Type": "application/x-ndjson"}).json()
    assert (told["accepted"], told["rejected"], len(told["ids"])) == (2, 2, 2)
    assert [(error["line"], error.get("field")) for error in told["errors"]] == [(3, None), (4, "color")]
    assert ledger.flush()
    assert len(client.get("/api/executions").json()["executions"]) == 4


def is_crashed(client, id_: str) -> bool:
    return client.get(f"/api/executions/{id_}").json().get("status") == "crashed"


def until(holds, *, seconds: float = 30.0) -> None:
    end = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < end
        time.sleep(0.01)


def test_what_is_posted_as_running_and_then_forgotten_becomes_crashed(tmp_path):
    clock = ManualClock(time.time_ns() // 1000)
    with Ledger.open(f"sqlite:///{tmp_path / 'test.db'}", home=tmp_path, drains_home=True, clock=clock) as ledger:
        client = TestClient(create_app(ledger), base_url="http://localhost")
        began = {"status": "running", "started_at": "2026-01-01T00:00:00Z", "at": "2026-01-01T00:00:00Z"}
        sent = [
            {"id": "short", **began, "lease_seconds": 60},
            {"id": "renewed", **began, "lease_seconds": 60},
            {"id": "usual", **began},
            {"id": "own", **began, "origin": "boot:other"},
            {"id": "done", "status": "succeeded", "lease_seconds": 60},
        ]
        assert client.post("/api/executions", json=sent).json()["accepted"] == 5
        assert ledger.flush()
        clock.at += 50 * SECOND
        client.post("/api/executions", json={"id": "renewed", "lease_seconds": 60})
        assert ledger.flush()
        clock.at += 50 * SECOND
        until(lambda: is_crashed(client, "short"))
        assert "within its lease of 60 s" in client.get("/api/executions/short").json()["error"]["message"]
        assert {one["id"] for one in client.get("/api/executions?status=running").json()["executions"]} == {
            "renewed",
            "usual",
            "own",
        }
        clock.at += 86_400 * SECOND
        until(lambda: is_crashed(client, "usual"))
        assert is_crashed(client, "renewed")
        assert not is_crashed(client, "own")
        client.post("/api/executions", json={"id": "short", "status": "succeeded", "rows": 5})
        assert ledger.flush()
        assert client.get("/api/executions/short").json()["status"] == "succeeded"


def test_an_export_of_a_leased_execution_gets_a_lease_of_its_own(ledger, client):
    client.post("/api/executions", json={"id": "mine", "status": "running", "lease_seconds": 60})
    assert ledger.flush()
    whole = client.get("/api/executions/mine").json()
    assert whole["origin"].startswith("lease:60:")
    client.post("/api/executions", json=whole | {"id": "copy"})
    assert ledger.flush()
    assert client.get("/api/executions/copy").json()["origin"].startswith("lease:86400:")


@pytest.mark.parametrize("seconds", [0, -1, 31_536_001, 1.5, "60"])
def test_a_lease_that_is_none_is_refused(client, seconds):
    sent = client.post("/api/executions", json={"status": "running", "lease_seconds": seconds})
    assert (sent.status_code, sent.json()["field"]) == (422, "lease_seconds")


def test_a_batch_without_a_good_entry_is_refused_whole(client):
    refused = client.post("/api/executions", json=[{"id": "a/b"}, {"id": "x" * 101}])
    assert refused.status_code == 422
    assert [error["line"] for error in refused.json()["errors"]] == [1, 2]
    assert refused.json()["errors"][0]["field"] == "id"


def test_more_about_the_same_id_is_an_update(ledger, client):
    client.post("/api/executions", json={"id": "mine", "name": "load", "status": "running"})
    client.post("/api/executions", json={"id": "mine", "logs": [{"message": "half way"}]})
    client.post("/api/executions", json={"id": "mine", "items": [{"key": "a"}, {"key": "b", "error": "late"}]})
    assert ledger.flush()
    assert client.get("/api/executions/mine").json()["status"] == "running"
    client.post("/api/executions", json={"id": "mine", "error": {"type": "ValueError", "message": "no"}})
    assert ledger.flush()
    found = client.get("/api/executions/mine").json()
    assert (found["status"], found["error"]["type"]) == ("failed", "ValueError")
    assert found["counts"] == {"total": 2, "succeeded": 1, "failed": 1, "open": 0}
    assert [line["message"] for line in found["logs"]] == ["half way"]
    assert len(client.get("/api/executions").json()["executions"]) == 1


@pytest.mark.parametrize(
    ("said", "status"),
    [
        ({"name": "a"}, "succeeded"),
        ({"name": "a", "error": "broken"}, "failed"),
        ({"name": "a", "items": [{"key": "x"}, {"key": "y", "error": "late"}]}, "partial"),
        ({"name": "a", "items": [{"key": "y", "error": "late"}]}, "failed"),
        ({"name": "a", "status": "cancelled"}, "cancelled"),
        ({"id": "mine", "name": "a"}, "running"),
        ({"id": "mine", "name": "a", "duration": 3}, "succeeded"),
    ],
)
def test_the_status_follows_from_what_is_said(ledger, client, said, status):
    assert client.post("/api/executions", json=said).status_code == 202
    assert ledger.flush()
    [found] = client.get("/api/executions").json()["executions"]
    assert found["status"] == status


def test_what_the_api_gives_can_be_posted_to_another_one(ledger, client, seeded, tmp_path):
    whole = [client.get(f"/api/executions/run-{number}").json() for number in range(6)]
    with Ledger.open("memory://", home=tmp_path / "other") as other:
        again = TestClient(create_app(other), base_url="http://localhost")
        told = again.post("/api/executions", json=whole).json()
        assert (told["rejected"], told["accepted"], told["errors"]) == (0, 6, [])
        assert other.flush()
        copies = [again.get(f"/api/executions/run-{number}").text for number in range(6)]
        # What runs has a lease there, since nobody there runs it.
        assert [json.loads(re.sub('"lease:86400:[0-9]+"', "null", copy)) for copy in copies] == whole


def test_secrets_are_redacted_before_they_are_kept(ledger, client):
    said = {"id": "s", "name": "load", "params": {"api_key": "abc123"}, "error": "login password=hunter2 failed"}
    assert client.post("/api/executions", json=said).status_code == 202
    assert ledger.flush()
    text = client.get("/api/executions/s").text
    assert "abc123" not in text
    assert "hunter2" not in text
    assert text.count("[redacted]") == 2


def test_what_cannot_be_stored_is_mended_and_told(ledger, client):
    told = client.post(
        "/api/executions",
        content=b'{"id":"m","subject":"s","name":"a\\u0000b","rows":1,"params":{"n":99999999999999999999}}',
    )
    assert told.status_code == 202
    assert told.json()["mended"] == {"nul": 1, "integer": 1}
    assert ledger.flush()
    found = client.get("/api/executions/m").json()
    assert (found["name"], found["params"]) == ("a\ufffdb", {"n": "99999999999999999999"})


def test_a_compressed_body_is_unpacked(ledger, client):
    body = gzip.compress(b"\n".join(b'{"name":"x"}' for _ in range(1000)))
    headers = {"Content-Type": "application/x-ndjson", "Content-Encoding": "gzip"}
    assert client.post("/api/executions", content=body, headers=headers).json()["accepted"] == 1000
