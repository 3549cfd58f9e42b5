"""The golden contract, walked on every store: real executions of each family, and then every call, word and name."""

from __future__ import annotations

import contextlib
import importlib
import inspect
import json
import re
from typing import Any

import pytest
from starlette.testclient import TestClient

from contract.golden import CONTRACT, JOBS, RECORDS, check, within
from execlog.core.model import TERMINAL, Event, Status
from execlog.store.redis.connecting import connect

CALLS, WORDS = CONTRACT["calls"], CONTRACT["words"]
LISTS = {
    "job": "/scheduler/jobs/nightly/history",
    "workflow": "/api/projects/shop/executions",
    "query": "/api/v1/executions/ann",
}


def test_every_call_answers_with_every_field(lived, client):
    for call in CALLS:
        method = call["ask"].split()[0]
        answer = client.request(method, call["at"], json=call.get("body"))
        assert answer.status_code == 200, (call["ask"], answer.text)
        if "record" in call:
            check(answer.json(), call["record"], call["ask"])
        for path, record in call.get("inside", {}).items():
            found = within(answer.json(), path)
            assert found, f"{call['ask']}: nothing at {path}"
            for one in found:
                check(one, record, f"{call['ask']} {path}")


def test_what_is_not_there_is_404(lived, client):
    for call in CALLS:
        if "unknown" in call:
            assert client.get(call["unknown"]).status_code == 404, call["ask"]


def test_records_are_written_as_clients_expect(lived, client):
    job = client.get("/scheduler/executions/job-real").json()
    assert list(job) == list(RECORDS["job"])
    assert not re.search(r"Z|[+]", job["start_time"])
    assert client.get("/api/projects/shop/executions/workflow-real").json()["startedAt"].endswith("Z")
    assert client.get("/api/v1/executions/ann").json()["executions"][0]["started_at"].endswith("Z")


def test_what_is_deleted_is_gone(lived, client):
    for deletion in CONTRACT["deletions"]:
        answer = client.delete(deletion["at"])
        assert answer.status_code == deletion["status"], (deletion["ask"], answer.text)
        if "record" in deletion:
            check(answer.json(), deletion["record"], deletion["ask"])
        if "again" in deletion:
            assert client.delete(deletion["at"]).status_code == deletion["again"], deletion["ask"]
            assert client.get(deletion["at"]).status_code == 404


def test_limits_and_defaults_are_the_contracts(lived, client):
    document = client.get("/openapi.json").json()["paths"]
    for call in [*CALLS, *JOBS["calls"]]:
        method, path = call["ask"].split()
        operation = document[path][method.lower()]
        known = {one["name"]: one["schema"] for one in operation.get("parameters", ()) if one["in"] == "query"}
        assert set(call.get("parameters", ())) <= set(known), call["ask"]
        if call in CALLS:
            assert set(call.get("body", ())) <= _fields(client, operation), call["ask"]
        for name, (default, least, most) in call.get("limits", {}).items():
            assert known[name]["default"] == default, (call["ask"], name)
            refused = [least - 1, -(10**30), 10**30, "ten", "NaN"] + [most + 1] * bool(most)
            for value in refused:
                answer = client.get(call["at"], params={name: value})
                assert (answer.status_code, answer.json()["field"]) == (422, name), (call["ask"], value)
            for value in [least] + [most] * bool(most):
                assert client.get(call["at"], params={name: value}).status_code == 200, (call["ask"], name, value)
    paths = {f"{method.upper()} {path}" for path, methods in document.items() for method in methods}
    asked = {call["ask"] for call in [*CALLS, *CONTRACT["deletions"], *JOBS["calls"]]}
    assert asked <= paths
    assert {path for path in paths if " /scheduler/" in path} <= asked, "a route of the scheduler is not named"


def _fields(client: TestClient, operation: dict[str, Any]) -> set[str]:
    """The fields that a call's body may have: any other would be overlooked without a word."""
    bodies = operation.get("requestBody", {"content": {}})["content"].values()
    schemas = client.get("/openapi.json").json()["components"]["schemas"]
    names = [body["schema"]["$ref"].rpartition("/")[2] for body in bodies if "$ref" in body["schema"]]
    return {field for name in names for field in schemas[name].get("properties", ())}


@pytest.mark.parametrize("kind", ["job", "workflow", "pipeline", "query"])
def test_each_status_is_shown_in_the_familys_word(ledger, client, kind):
    now = ledger.clock.now()
    for place, status in enumerate(map(Status, WORDS["order"])):
        ended = {"ended_at": now, "duration": 1.0} if status in TERMINAL else {}
        about = {"namespace": "shop"} if kind == "workflow" else {}
        who = {"subject": "nightly", "actor": "ann", "engine": "kdb"}
        started = {} if status is Status.QUEUED else {"started_at": now - 1_000_000}
        ledger.append(
            Event(
                id=f"{kind}-{place}",
                kind=kind,
                at=now + place,
                status=status,
                name="n",
                **started,
                **who,
                **about,
                **ended,
            )
        )
    assert ledger.flush()
    for place, status in enumerate(WORDS["order"]):
        shown = _shown(client, kind, f"{kind}-{place}", WORDS[kind][place])
        assert shown["status"] == WORDS[kind][place], (kind, status)
        if kind == "query" and status == "cancelled":
            assert shown["error_type"] == "Cancelled"
        if kind == "job" and status == "crashed":
            assert any("crash" in line.lower() for line in shown["errors"])
    if kind != "pipeline":
        _check_filters(client, kind)


def _check_filters(client: TestClient, kind: str) -> None:
    """Each word asks for what it shows; what has not ended, only the lists of workflows show without being asked."""
    words = WORDS[kind]
    hidden = set() if kind == "workflow" else {"queued", "running"}
    asked: dict[str | None, set[str]] = {None: set(words) - hidden} | {word: {word} for word in words}
    if kind == "job":
        asked |= {word: {meant} for word, meant in CONTRACT["filters"].items()}
    for word, shown in asked.items():
        answer = client.get(LISTS[kind], params={"status": word} if word else {}).json()
        entries = answer if kind == "job" else answer["executions"]
        found = sorted(entry["id" if kind == "workflow" else "execution_id"] for entry in entries)
        assert found == [f"{kind}-{place}" for place, each in enumerate(words) if each in shown], (kind, word)
        assert {entry["status"] for entry in entries} == shown, (kind, word)
        assert kind != "workflow" or answer["total"] == len(entries), word


def _shown(client: TestClient, kind: str, id_: str, word: str) -> dict[str, Any]:
    """The execution as its family's clients read it."""
    if kind == "job":
        return client.get(f"/scheduler/executions/{id_}").json()
    if kind == "workflow":
        return client.get(f"/api/projects/shop/executions/{id_}").json()
    if kind == "query":
        entries = client.get("/api/v1/executions/ann", params={"status": word}).json()["executions"]
    else:
        entries = client.get("/api/v1/admin/scheduler/execution-history").json()["executions"]
    return next(entry for entry in entries if entry["execution_id"] == id_)


@pytest.mark.parametrize(
    "ledger", [pytest.param(name, marks=pytest.mark.valkey) for name in ("redis", "cluster")], indirect=True
)
def test_redis_has_the_schedulers_keys(lived):
    names, days = CONTRACT["redis"], CONTRACT["redis"]["ttl_days"]
    with contextlib.closing(connect(lived.settings.store_url)) as connection:
        server = connection.client
        assert list(json.loads(server.get(names["record"]))) == list(RECORDS["job"])
        assert server.type(names["index"]) == "list"
        assert set(server.lrange(names["index"], 0, -1)) == {"job-real", "job-second"}
        for key in (names["record"], names["index"]):
            assert (days - 1) * 86_400 < server.ttl(key) <= days * 86_400
    assert lived.settings.redis_history_limit == names["most"]


@pytest.mark.parametrize("ledger", ["files"], indirect=True)
def test_files_have_the_workflows_layout(lived, tmp_path):
    text = (tmp_path / "history" / CONTRACT["files"]["workflow"]).read_text(encoding="utf-8")
    check(json.loads(text), "workflow_whole", "the file")
    assert text.rstrip("\n") == json.dumps(json.loads(text), indent=CONTRACT["files"]["indent"], ensure_ascii=False)


@pytest.mark.parametrize("name", list(CONTRACT["python"]))
def test_every_method_takes_its_parameters(name):
    module, path = name.split(":")
    found: Any = importlib.import_module(module)
    for part in path.split("."):
        found = getattr(found, part)
    parameters = [one for one in inspect.signature(found).parameters if one not in {"self", "cls"}]
    wanted = CONTRACT["python"][name]
    assert parameters[: len(wanted)] == wanted
