"""What the contract is walked on: every store, opened and served."""

from __future__ import annotations

from collections.abc import Iterator

import apsw
import pytest
from starlette.testclient import TestClient

from contract.life import live
from execlog.cli.families import open_families
from execlog.ledger import Ledger
from execlog.web.app import create_app

STORES = {
    "memory": "memory://",
    "sqlite": "sqlite:///{folder}/history.db",
    "files": "files:///{folder}/history",
    "redis": "{valkey}",
    "cluster": "{cluster}",
    "postgres": "{postgres}",
}
"""Every store the contract is walked on, by its URL: a further one is one line."""
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
    live(ledger)
    return ledger
