"""A ledger in memory, and a registry over each store."""

import pytest
from starlette.testclient import TestClient

from chores import gate
from execlog.kinds.jobs import ExecutionHistoryRegistry, SchedulerServingApp, jobs_kind
from execlog.ledger import Ledger
from execlog.store.memory import MemoryStore
from execlog.web.app import create_app


@pytest.fixture
def ledger(tmp_path):
    with Ledger.open("memory://", home=tmp_path) as opened:
        yield opened


@pytest.fixture(
    params=[
        "ledger", "store", "sqlite", "files", pytest.param("postgres", marks=pytest.mark.postgres),
        pytest.param("redis", marks=pytest.mark.valkey),
    ]
)  # fmt: skip
def registry(request, ledger, tmp_path):
    if request.param == "ledger":
        yield ExecutionHistoryRegistry(ledger)
    elif request.param == "store":
        yield ExecutionHistoryRegistry(MemoryStore())
    else:
        servers = {"postgres": "kept_postgres_url", "redis": "empty_valkey_url"}
        url = {"sqlite": f"sqlite:///{tmp_path / 'x.db'}", "files": f"files:///{tmp_path / 'files'}"}.get(request.param)
        with Ledger.open(url or request.getfixturevalue(servers[request.param]), home=tmp_path / "home") as opened:
            yield ExecutionHistoryRegistry(opened)


@pytest.fixture(
    params=[
        "memory",
        "files",
        pytest.param("redis", marks=pytest.mark.valkey),
        pytest.param("postgres", marks=pytest.mark.postgres),
    ]
)
def app(request, tmp_path, new_store_url):
    gate.clear()
    with Ledger.open(new_store_url(request.param), home=tmp_path) as ledger, SchedulerServingApp(ledger) as opened:
        yield opened
        gate.set()


@pytest.fixture
def http(app):
    with TestClient(create_app(app.ledger, [jobs_kind(app)]), base_url="http://127.0.0.1") as client:
        yield client
