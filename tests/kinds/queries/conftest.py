"""A ledger, and clients of an app that has the kind `query`."""

from __future__ import annotations

import msgspec
import pytest
from starlette.testclient import TestClient

from execlog.kinds.queries.routes import query_kind
from execlog.ledger import Ledger
from execlog.web.app import create_app

STORES = ["memory://"]


@pytest.fixture(params=STORES, ids=lambda url: url.partition(":")[0])
def ledger(request, tmp_path):
    url = request.param.format(folder=tmp_path)
    with Ledger.open(url, home=tmp_path / "home") as opened:
        yield opened


@pytest.fixture
def client(ledger):
    with TestClient(create_app(ledger, [query_kind(ledger)]), base_url="http://localhost") as connected:
        yield connected


@pytest.fixture
def guarded(ledger):
    """Clients of an app with tokens: guarded("viewer"), guarded("operator:alice")."""
    roles = ("viewer", "operator", "admin", "viewer:alice", "operator:alice")
    settings = msgspec.structs.replace(ledger.settings, tokens={f"token of {role}": role for role in roles})
    app = create_app(ledger, [query_kind(ledger)], settings=settings)

    def connect(role: str) -> TestClient:
        return TestClient(app, base_url="http://localhost", headers={"Authorization": f"Bearer token of {role}"})

    return connect
