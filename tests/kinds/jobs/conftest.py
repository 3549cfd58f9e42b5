"""A ledger in memory, and a registry over each store."""

import pytest

from execlog.kinds.jobs import ExecutionHistoryRegistry
from execlog.ledger import Ledger
from execlog.store.memory import MemoryStore


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
