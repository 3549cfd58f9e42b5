"""A ledger over memory, the service over it, and a client of the app that has the family's routes."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from decimal import Decimal
from typing import Any

import msgspec
import pytest
from starlette.testclient import TestClient

from every_store import EVERY_STORE
from execlog.kinds.workflows import (
    Endpoint,
    ExecutionEngine,
    ExecutionHistoryService,
    Rate,
    Tariff,
    workflow_kind,
)
from execlog.kinds.workflows.models.standin import StandIn
from execlog.ledger import Ledger
from execlog.store.memory import MemoryStore
from execlog.web.app import create_app


@pytest.fixture
def ledger(tmp_path) -> Iterator[Ledger]:
    with Ledger.open("memory://", home=tmp_path / "home") as opened:
        yield opened


@pytest.fixture
def service(ledger) -> ExecutionHistoryService:
    return ExecutionHistoryService(ledger)


@pytest.fixture(params=[*EVERY_STORE, "store"])
def any_service(request, tmp_path, new_store_url) -> Iterator[ExecutionHistoryService]:
    """The service over a ledger in memory, over one in a file, over a server, and over a bare store."""
    if request.param == "store":
        yield ExecutionHistoryService(MemoryStore())
        return
    with Ledger.open(new_store_url(request.param), home=tmp_path) as opened:
        yield ExecutionHistoryService(opened)


@pytest.fixture
def client(ledger) -> Iterator[TestClient]:
    with TestClient(create_app(ledger, [workflow_kind(ledger)]), base_url="http://localhost") as connected:
        yield connected


@pytest.fixture
def guarded(ledger) -> Callable[[str], TestClient]:
    """Clients of an app with tokens: guarded("viewer"), guarded("admin:alice")."""
    roles = ("viewer", "admin", "viewer:alice", "admin:alice")
    settings = msgspec.structs.replace(ledger.settings, tokens={f"token of {role}": role for role in roles})
    app = create_app(ledger, [workflow_kind(ledger)], settings=settings)

    def connect(role: str) -> TestClient:
        return TestClient(app, base_url="http://localhost", headers={"Authorization": f"Bearer token of {role}"})

    return connect


@pytest.fixture
def record() -> Callable[..., dict[str, Any]]:
    """What a client of the contract saves: a completed execution of five seconds."""

    def make(number: int = 0, **fields: Any) -> dict[str, Any]:
        return {
            "id": f"exec-{number}",
            "status": "completed",
            "startedAt": f"2024-01-01T10:{number // 60:02}:{number % 60:02}Z",
            "completedAt": f"2024-01-01T10:{number // 60:02}:{number % 60:02}.500Z",
            "duration": 500,
            "tokenUsage": {"input": 100, "output": 50, "total": 150},
            "costUSD": 0.001,
        } | fields

    return make


@pytest.fixture
def tariff() -> Tariff:
    return Tariff({"m": Rate(Decimal(1), Decimal(2)), "n": Rate(Decimal(3), Decimal(4))}, "test tariff")


@pytest.fixture
def engine(ledger, tariff) -> ExecutionEngine:
    return ExecutionEngine(ledger, prices=tariff)


@pytest.fixture
def model() -> Iterator[StandIn]:
    with StandIn() as standin:
        yield standin


@pytest.fixture
def asking(ledger, model, tariff) -> ExecutionEngine:
    """An engine that asks the stand-in, in both formats."""
    endpoints = {"default": Endpoint(base_url=model.url), "other": Endpoint(api="anthropic", base_url=model.url)}
    return ExecutionEngine(ledger, endpoints=endpoints, prices=tariff, jitter=lambda: 0.0)
