"""A ledger over memory, and clients of its app."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import msgspec
import pytest
from starlette.testclient import TestClient

from execlog.ledger import Ledger
from execlog.web.app import create_app
from histories import mixed, seed


@pytest.fixture
def ledger(tmp_path) -> Iterator[Ledger]:
    with Ledger.open("memory://", home=tmp_path) as opened:
        yield opened


@pytest.fixture(params=["memory", "sqlite"])
def each_ledger(request, tmp_path) -> Iterator[Ledger]:
    """For tests that ask of a file, too: their `ledger` is this one."""
    url = "memory://" if request.param == "memory" else f"sqlite:///{tmp_path / 'test.db'}"
    with Ledger.open(url, home=tmp_path) as opened:
        yield opened


@pytest.fixture
def seeded(ledger, client) -> TestClient:
    """A client of a ledger in which something of every kind is."""
    seed(ledger, *mixed())
    return client


@pytest.fixture
def app(ledger):
    return create_app(ledger)


@pytest.fixture
def client(app) -> Iterator[TestClient]:
    with TestClient(app, base_url="http://localhost") as connected:
        yield connected


@pytest.fixture
def guarded(ledger) -> Iterator[Callable[[str], TestClient]]:
    """Clients of an app with tokens: guarded("viewer"), guarded("operator:alice"), guarded("") for nobody."""
    roles = ("viewer", "operator", "admin", "viewer:alice", "operator:alice", "admin:alice")
    settings = msgspec.structs.replace(ledger.settings, tokens={f"token of {role}": role for role in roles})
    guarded_app = create_app(ledger, settings=settings)

    def connect(role: str) -> TestClient:
        headers = {"Authorization": f"Bearer token of {role}"} if role else {}
        return TestClient(guarded_app, base_url="http://localhost", headers=headers)

    return connect
