"""The golden contract of job management, walked on every store that keeps jobs: every call, field, default and edge."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any
from urllib.parse import quote

import pytest
from starlette.testclient import TestClient

from chores import wait_for
from contract.golden import JOBS, RECORDS, check, within
from contract.life import live
from execlog.cli.families import open_families
from execlog.web.app import create_app

CALLS, BODIES = JOBS["calls"], JOBS["bodies"]
TIMES = {"created_at", "updated_at"}
FOLLOWS = {"version", "updated_at", "next_run_at"}
"""What changes by itself when something of a job is changed."""
LEAST, WHOLE = json.loads(JOBS["least"]["sent"]), json.loads(JOBS["whole"]["sent"])
PATH = f"/scheduler/jobs/{LEAST['id']}"


def answered(client: TestClient, ask: str, path: str, body: Any = None, **headers: str) -> Any:
    """The answer's JSON; the call must succeed."""
    answer = client.request(ask, path, json=body, headers=headers)
    assert answer.is_success, (ask, path, answer.text)
    return answer.json()


def test_every_call_of_management_answers_with_every_field(client):
    for call in CALLS:
        method, body = call["ask"].split()[0], json.loads(call.get("send", "null"))
        answer = client.request(method, call["at"], json=body)
        assert answer.status_code == call["status"], (call["ask"], answer.text)
        assert {name: answer.headers.get(name) for name in call.get("headers", {})} == call.get("headers", {})
        if "record" in call:
            check(answer.json(), call["record"], call["ask"])
            assert list(answer.json()) == list(RECORDS[call["record"]]), call["ask"]
        for path, record in call.get("inside", {}).items():
            found = within(answer.json(), path)
            assert found, f"{call['ask']}: nothing at {path}"
            for one in found:
                check(one, record, f"{call['ask']} {path}")
        if "again" in call:
            assert client.request(method, call["at"], json=body).status_code == call["again"], call["ask"]


def test_management_of_a_job_that_is_not_there_is_404(client):
    for call in CALLS:
        if "unknown" in call:
            body = json.loads(call.get("send", "null"))
            answer = client.request(call["ask"].split()[0], call["unknown"], json=body)
            assert answer.status_code == 404, call["ask"]


@pytest.mark.parametrize("ledger", ["memory"], indirect=True)
def test_the_document_has_the_parameters_bodies_roles_and_refusals(client):
    document = client.get("/openapi.json").json()
    schemas = document["components"]["schemas"]
    for call in CALLS:
        method, path = call["ask"].split()
        operation = document["paths"][path][method.lower()]
        assert operation["x-role"] == call["role"], call["ask"]
        query = [one["name"] for one in operation["parameters"] if one["in"] == "query"]
        assert query == call.get("parameters", []), call["ask"]
        assert {str(status) for status in [call["status"], *call["refuses"]]} <= set(operation["responses"])
        assert ("requestBody" in operation) == ("body" in call), call["ask"]
        if "body" in call:
            schema = operation["requestBody"]["content"]["application/json"]["schema"]
            reference = schema.get("$ref") or schema["anyOf"][0]["$ref"]
            shape = schemas[reference.rpartition("/")[2]]
            assert list(shape["properties"]) == BODIES[call["body"]], call["ask"]
            assert (shape["required"], shape["additionalProperties"]) == (BODIES["required"][call["body"]], False)


def test_what_is_left_out_of_a_job_has_its_default(client):
    made = answered(client, "POST", "/scheduler/jobs", LEAST)
    assert list(made) == list(RECORDS["job_view"])
    assert {name: value for name, value in made.items() if name not in TIMES} == json.loads(JOBS["least"]["shown"])
    assert all(made[name].endswith("Z") for name in TIMES)
    assert answered(client, "GET", PATH) == made
    assert answered(client, "GET", "/scheduler/jobs") == [made]
    nameless = {name: value for name, value in LEAST.items() if name != "id"}
    assert answered(client, "POST", "/scheduler/jobs", nameless)["id"]


def test_every_field_of_a_job_is_made_replaced_and_changed(client):
    made = answered(client, "POST", "/scheduler/jobs", {"id": "whole"} | WHOLE)
    assert {name: made[name] for name in WHOLE} == WHOLE
    assert answered(client, "GET", "/scheduler/jobs/whole") == made
    before = answered(client, "POST", "/scheduler/jobs", LEAST)
    for name, value in WHOLE.items():
        after = answered(client, "PATCH", PATH, {name: value})
        assert {each for each in before if before[each] != after[each]} - FOLLOWS == {name}
        assert (after[name], after["version"]) == (value, before["version"] + 1)
        assert answered(client, "GET", PATH) == after
        before = after
    replaced = answered(client, "PUT", PATH, LEAST)
    assert {name: replaced[name] for name in WHOLE} == {
        name: value for name, value in json.loads(JOBS["least"]["shown"]).items() if name in WHOLE
    }
    assert answered(client, "GET", PATH) == replaced


def test_every_form_of_a_trigger_and_of_what_to_run(client):
    answered(client, "POST", "/scheduler/jobs", LEAST)
    for form in JOBS["forms"]:
        shown = answered(client, "PUT", PATH, LEAST | {form["field"]: json.loads(form["sent"])})
        assert shown[form["field"]] == json.loads(form["shown"]), form["sent"]
        assert bool(shown["next_run_at"]) == (form["field"] == "trigger"), form["sent"]
        assert answered(client, "GET", PATH) == shown


def test_edges_are_the_contracts(client):
    answered(client, "POST", "/scheduler/jobs", LEAST)
    for edge in JOBS["edges"]:
        taken, refused = edge.get("taken", []), edge.get("refused", [])
        if "lengths" in edge:
            least, most = edge["lengths"]
            taken = [of_length(edge["at"], least), of_length(edge["at"], most)]
            refused = [of_length(edge["at"], length) for length in (least - 1, most + 1) if length >= 0]
        for value in taken:
            assert valued(answered(client, "PATCH", PATH, changing(edge, value)), edge["at"]) == value
            assert valued(answered(client, "GET", PATH), edge["at"]) == value
        for value in refused:
            answer = client.patch(PATH, json=changing(edge, value))
            field = answer.json()["field"].partition("[")[0]  # of "tags[0]"
            assert (answer.status_code, field) == (422, edge["at"]), (str(value)[:50], answer.text)


def of_length(field: str, length: int) -> Any:
    return [f"S{number}" for number in range(length)] if field == "stocks" else "x" * length


def changing(edge: dict[str, Any], value: Any) -> dict[str, Any]:
    """The body that changes the field; "a.b" is a field within a field."""
    field, _, inner = edge["at"].partition(".")
    return {field: edge.get("beside", {}) | {inner: value} if inner else value}


def valued(job: dict[str, Any], path: str) -> Any:
    (value,) = within(job, path)
    return value


def test_an_id_is_taken_as_it_is_or_refused(client):
    ids = JOBS["ids"]
    for id_ in [*ids["taken"], "x" * ids["most"]]:
        assert answered(client, "POST", "/scheduler/jobs", LEAST | {"id": id_})["id"] == id_
        assert answered(client, "GET", f"/scheduler/jobs/{quote(id_)}")["id"] == id_
        assert client.put(f"/scheduler/jobs/{quote(id_)}", json=LEAST | {"id": "other"}).status_code == 422
        assert client.delete(f"/scheduler/jobs/{quote(id_)}").status_code == 204
    for id_ in [*ids["refused"], "x" * (ids["most"] + 1)]:
        answer = client.post("/scheduler/jobs", json=LEAST | {"id": id_})
        assert (answer.status_code, answer.json()["field"]) == (422, "id"), id_
    assert answered(client, "GET", "/scheduler/jobs") == []


def test_what_nobody_knows_is_refused_by_name(client):
    answered(client, "POST", "/scheduler/jobs", LEAST)
    unknown = {"nonsense": 1}
    for ask, path, body in [
        ("POST", "/scheduler/jobs", LEAST | {"id": "other"} | unknown),
        ("PUT", PATH, LEAST | unknown),
        ("PATCH", PATH, unknown),
        ("POST", f"{PATH}/run", unknown),
    ]:
        answer = client.request(ask, path, json=body)
        assert (answer.status_code, answer.json()["field"]) == (422, "nonsense"), (ask, path)
    for inner in ("retries", "misfire", "run", "trigger"):
        kinds = {"run": {"type": "fetch"}, "trigger": {"type": "cron", "expression": "0 9 * * *"}}
        answer = client.patch(PATH, json={inner: kinds.get(inner, {}) | unknown})
        assert answer.status_code == 422, inner
    assert [job["id"] for job in answered(client, "GET", "/scheduler/jobs")] == [LEAST["id"]]


def test_a_version_that_is_no_more_is_a_conflict(client):
    tag = client.post("/scheduler/jobs", json=LEAST).headers["ETag"]
    assert answered(client, "PATCH", PATH, {"name": "First"}, **{"If-Match": tag})["version"] == 2
    for ask, body in [("PATCH", {"name": "Second"}), ("PUT", LEAST)]:
        assert client.request(ask, PATH, json=body, headers={"If-Match": tag}).status_code == 409
    assert answered(client, "GET", PATH)["name"] == "First"


def test_jobs_are_listed_newest_first_page_by_page(client):
    for number in range(5):
        answered(client, "POST", "/scheduler/jobs", LEAST | {"id": f"j{number}"})
    found, cursor = [], None
    while cursor is not None or not found:
        answer = client.get("/scheduler/jobs", params={"limit": 2} | ({"cursor": cursor} if cursor else {}))
        found += [job["id"] for job in answer.json()]
        cursor = answer.headers.get("X-Next-Cursor")
    assert found == [f"j{number}" for number in reversed(range(5))]
    refused = client.get("/scheduler/jobs", params={"cursor": "nonsense"})
    assert (refused.status_code, refused.json()["field"]) == (422, "cursor")


def test_a_run_takes_stocks_or_what_is_to_be_tried_again(ledger, client):
    live(ledger)  # of the job `nightly`: GOOGL failed in the execution `job-real`
    path = "/scheduler/jobs/nightly"
    job = {"id": "nightly", "name": "Nightly", "stocks": ["AAPL", "GOOGL"], "overlap": "allow"}
    answered(client, "POST", "/scheduler/jobs", job)
    asked = []
    for body, stocks, by in [
        (None, None, "manual"),
        ({}, None, "manual"),
        ({"stocks": ["AAPL"]}, ["AAPL"], "manual"),
        ({"retry_of": "job-real"}, ["GOOGL"], "retry"),
        ({"retry_of": "job-real", "failed_only": False}, None, "retry"),
    ]:
        started = answered(client, "POST", f"{path}/run", body)
        assert (started["job_id"], started["status"], started["stocks"]) == ("nightly", "queued", stocks), body
        record = answered(client, "GET", f"/scheduler/executions/{started['execution_id']}")
        assert (record["status"], record["triggered_by"]) == ("queued", by), body
        asked.append(started["execution_id"])
    assert set(answered(client, "GET", path)["running"]) == set(asked)
    for body, status in [({"stocks": ["NONE"]}, 422), ({"stocks": []}, 422), ({"retry_of": "none"}, 404)]:
        assert client.post(f"{path}/run", json=body).status_code == status, body
    assert set(answered(client, "POST", f"{path}/cancel")["cancelled"]) == set(asked)
    assert answered(client, "GET", path)["running"] == []


def test_a_job_that_never_ran_has_an_empty_history(client):
    answered(client, "POST", "/scheduler/jobs", LEAST)
    assert answered(client, "GET", f"{PATH}/history") == []
    assert client.get(f"{PATH}/latest-execution").status_code == 404


def test_a_paused_job_has_no_next_run_until_it_is_resumed(client):
    trigger = {"type": "cron", "expression": "0 9 * * *"}
    made = answered(client, "POST", "/scheduler/jobs", LEAST | {"trigger": trigger})
    paused = answered(client, "POST", f"{PATH}/pause")
    assert (paused["enabled"], paused["next_run_at"]) == (False, None)
    assert answered(client, "GET", PATH) == paused
    resumed = answered(client, "POST", f"{PATH}/resume")
    assert (resumed["enabled"], resumed["next_run_at"]) == (True, made["next_run_at"])
    assert answered(client, "GET", PATH) == resumed


@pytest.fixture
def running(ledger) -> Iterator[TestClient]:
    """A client of a server that runs what is due."""
    with open_families(ledger, schedule=True) as (kinds, _), TestClient(create_app(ledger, kinds)) as connected:
        connected.base_url = "http://localhost"
        yield connected


def test_a_running_execution_is_cancelled(running):
    run = {"type": "call", "function": "chores:wait_politely"}
    answered(running, "POST", "/scheduler/jobs", LEAST | {"run": run, "stocks": []})
    execution_id = answered(running, "POST", f"{PATH}/run")["execution_id"]
    wait_for(lambda: answered(running, "GET", f"{PATH}/history?status=running"))
    assert answered(running, "GET", PATH)["running"] == [execution_id]
    assert running.post(f"{PATH}/run").status_code == 409
    assert answered(running, "POST", f"{PATH}/cancel") == {"cancelled": [execution_id]}
    wait_for(lambda: answered(running, "GET", f"{PATH}/history"))
    record = answered(running, "GET", f"/scheduler/executions/{execution_id}")
    assert record["status"] == "failed"
    assert any("cancelled on request" in line for line in record["errors"])
    wait_for(lambda: answered(running, "GET", PATH)["running"] == [])


def test_a_trigger_runs_a_job_that_tells_when_it_last_did(running):
    run, trigger = {"type": "call", "function": "chores:wait_politely"}, {"type": "interval", "seconds": 0.1}
    made = answered(running, "POST", "/scheduler/jobs", LEAST | {"run": run, "stocks": [], "trigger": trigger})
    wait_for(lambda: answered(running, "GET", PATH)["skipped"] > 0)
    paused = answered(running, "POST", f"{PATH}/pause")
    assert made["created_at"] < paused["last_run_at"] < paused["updated_at"]
    (execution_id,) = paused["running"]
    record = answered(running, "GET", f"/scheduler/executions/{execution_id}")
    assert (record["job_id"], record["triggered_by"]) == (LEAST["id"], "schedule")
    assert answered(running, "POST", f"{PATH}/cancel") == {"cancelled": [execution_id]}
    wait_for(lambda: answered(running, "GET", PATH)["running"] == [])


def test_a_job_that_was_run_is_in_the_history_and_stays_there(running):
    run = {"type": "call", "function": "chores:fail_on_b"}
    answered(running, "POST", "/scheduler/jobs", LEAST | {"run": run, "stocks": ["A", "B"]})
    execution_id = answered(running, "POST", f"{PATH}/run")["execution_id"]
    wait_for(lambda: answered(running, "GET", f"{PATH}/history"))
    (record,) = answered(running, "GET", f"{PATH}/history")
    check(record, "job", "the history")
    assert (record["execution_id"], record["status"]) == (execution_id, "partial_success")
    assert (record["fetched_stocks"], record["failed_stocks"]) == (["A"], ["B"])
    assert running.delete(PATH).status_code == 204
    assert answered(running, "GET", f"{PATH}/history") == [record]
