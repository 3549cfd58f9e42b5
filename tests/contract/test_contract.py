"""The golden contract, walked on every store: real executions of each family, and then every call, word and name."""

from __future__ import annotations

import asyncio
import contextlib
import importlib
import inspect
import json
import re
import tomllib
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import apsw
import msgspec
import pytest
from starlette.testclient import TestClient

from execlog.cli.families import open_families
from execlog.core.model import TERMINAL, Event, Status
from execlog.kinds.jobs import ExecutionHistoryRegistry, JobExecutionRecord
from execlog.kinds.pipelines import PipelineHistory
from execlog.kinds.queries import ExecutionTracker
from execlog.kinds.workflows import ExecutionHistoryService
from execlog.ledger import Ledger
from execlog.store.redis.connecting import connect
from execlog.web.app import create_app

CONTRACT = tomllib.loads(Path(__file__).with_name("contract.toml").read_text(encoding="utf-8"))
CALLS, RECORDS, WORDS = CONTRACT["calls"], CONTRACT["records"], CONTRACT["words"]
STORES = {
    "memory": "memory://",
    "sqlite": "sqlite:///{folder}/history.db",
    "files": "files:///{folder}/history",
    "redis": "{valkey}",
    "cluster": "{cluster}",
    "postgres": "{postgres}",
}
"""Every store the contract is walked on, by its URL: a further one is one line."""
"""What a store that cannot watch over pairs answers with 501 (docs/reference/stores.md)."""
TYPES = {"string": str, "integer": int, "number": (int, float), "boolean": bool, "array": list, "object": dict}
CONNECTION = '[connections.prices]\ntype = "sqlite"\npath = "{path}"\n'


SERVERS = {
    "redis": ("empty_valkey_url", pytest.mark.valkey),
    "cluster": ("empty_cluster_url", pytest.mark.valkey),
    "postgres": ("empty_postgres_url", pytest.mark.postgres),
}
"""The stores behind a server: the fixture that has its URL, and the mark of its tests."""


@pytest.fixture(params=[pytest.param(name, marks=SERVERS[name][1] if name in SERVERS else ()) for name in STORES])
def ledger(request, tmp_path) -> Iterator[Ledger]:
    server = {request.param: request.getfixturevalue(SERVERS[request.param][0])} if request.param in SERVERS else {}
    urls = {"valkey": server.get("redis"), "cluster": server.get("cluster"), "postgres": server.get("postgres")}
    url = STORES[request.param].format(folder=tmp_path, **urls)
    apsw.Connection(str(tmp_path / "prices.db")).close()
    (tmp_path / "execlog.toml").write_text(CONNECTION.format(path=tmp_path / "prices.db"))
    with Ledger.open(url, home=tmp_path) as opened:
        yield opened


@pytest.fixture
def client(ledger) -> Iterator[TestClient]:
    with open_families(ledger, schedule=False) as (kinds, _), TestClient(create_app(ledger, kinds)) as connected:
        connected.base_url = "http://localhost"
        yield connected


@pytest.fixture
def lived(ledger) -> Ledger:
    """The ledger after each family said something through its own Python API."""
    now = datetime.now(UTC)
    record = JobExecutionRecord(
        execution_id="job-real",
        job_id="nightly",
        job_name="Nightly",
        start_time=now,
        end_time=now,
        status="partial_success",
        fetched_stocks=["AAPL"],
        failed_stocks=["GOOGL"],
        errors=["Failed to fetch GOOGL: Connection timeout after 30s"],
        total_stocks=2,
        duration_seconds=1.5,
        triggered_by="manual",
        metadata={"year": 2003},
    )
    registry = ExecutionHistoryRegistry(ledger)
    assert registry.save_execution(record)
    assert registry.save_execution(msgspec.structs.replace(record, execution_id="job-second"))
    usage = {"input": 100, "output": 50, "total": 150}
    workflow = {"id": "workflow-real", "status": "completed", "startedAt": now.isoformat(), "duration": 500}
    assert ExecutionHistoryService(ledger).save_execution("shop", workflow | {"tokenUsage": usage, "costUSD": 0.001})
    pipelines = PipelineHistory(ledger)
    backfill = pipelines.create_scheduler_execution_log(now, total_symbols=2)
    pipelines.log_feature_computation_failure("GOOG", "1d", "no rows", backfill)
    pipelines.log_symbol_computation_status(backfill, "AAPL", "stock", "1d", "completed", 10, 10, 5, now, now, 0.5)
    pipelines.update_feature_freshness("AAPL", "1d", now, 10)
    pipelines.monitor([("MSFT", "1d")])
    assert pipelines.update_scheduler_execution_log(backfill, now, 1, 1, 10, "completed")
    columns = {"query": "select 1", "database_type": "kdb", "user_id": "ann", "execution_time": 0.5, "total_rows": 1}
    asyncio.run(ExecutionTracker(ledger).log_execution(execution_id="query-real", status="success", **columns))
    assert ledger.flush()
    return ledger


def check(answer: Any, record: str, where: str) -> None:
    """Every field of the record is there, and is what the contract says."""
    assert isinstance(answer, dict), where
    for name, type_ in RECORDS[record].items():
        value = answer.get(name)
        if value is None:
            assert type_.endswith("?"), f"{where}: {name} is missing"
            continue
        wanted = tuple(TYPES[one] for one in type_.removesuffix("?").split(","))
        assert isinstance(value, wanted), f"{where}: {name} is {value!r}"


def within(answer: Any, path: str) -> list[Any]:
    """What is at the path: "a.b" a field's field, "a[]" each entry of a list."""
    found = [answer]
    for part in filter(None, path.split(".")):
        name = part.removesuffix("[]")
        found = [one[name] for one in found] if name else found
        found = [entry for one in found for entry in one] if part.endswith("[]") else found
    return found


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
    for call in CALLS:
        method, path = call["ask"].split()
        operation = document[path][method.lower()]
        known = {one["name"]: one["schema"] for one in operation.get("parameters", ()) if one["in"] == "query"}
        assert set(call.get("parameters", ())) <= set(known), call["ask"]
        for name, (default, least, most) in call.get("limits", {}).items():
            assert known[name]["default"] == default, (call["ask"], name)
            refused = [least - 1, -(10**30), 10**30, "ten", "NaN"] + [most + 1] * bool(most)
            for value in refused:
                answer = client.get(call["at"], params={name: value})
                assert (answer.status_code, answer.json()["field"]) == (422, name), (call["ask"], value)
            for value in [least] + [most] * bool(most):
                assert client.get(call["at"], params={name: value}).status_code == 200, (call["ask"], name, value)
    paths = {f"{method.upper()} {path}" for path, methods in document.items() for method in methods}
    asked = {call["ask"] for call in [*CALLS, *CONTRACT["deletions"]]}
    assert (asked | set(CONTRACT["management"]["calls"])) <= paths


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
    listed = {"job": "/scheduler/jobs/nightly/history", "query": "/api/v1/executions/ann"}.get(kind)
    if listed:
        answer = client.get(listed).json()
        entries = answer if kind == "job" else answer["executions"]
        assert len(entries) == 6  # what has not ended is hidden until it is asked for
        assert not {entry["status"] for entry in entries} & {"running", "queued"}
        for word in ("running", "partial", "partial_success") if kind == "job" else ("running",):
            found = client.get(listed, params={"status": word}).json()
            assert len(found if kind == "job" else found["executions"]) == 1, word


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


@pytest.mark.parametrize("ledger", ["sqlite"], indirect=True)
def test_every_view_has_every_column(lived, tmp_path):
    with contextlib.closing(apsw.Connection(str(tmp_path / "history.db"))) as database:
        for view, columns in CONTRACT["sql"].items():
            rows = database.execute(f"select {', '.join(columns)} from {view}").fetchall()
            assert rows, view


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
    check(json.loads(text), "workflow", "the file")
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
