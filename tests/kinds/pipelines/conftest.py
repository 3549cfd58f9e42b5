"""A ledger over each store that can tell how fresh features are, with a clock that a test may turn."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from starlette.testclient import TestClient

from every_store import EVERY_STORE
from execlog.core.clock import SystemClock
from execlog.kinds.pipelines import PipelineHistory, pipeline_kind
from execlog.ledger import Ledger
from execlog.web.app import create_app

SECOND = 1_000_000
HOUR, DAY = 3_600, 86_400


class TurnedClock(SystemClock):
    """The machine's clock, turned by `ahead` seconds; or standing at `at` UTC µs."""

    def __init__(self) -> None:
        self.ahead = 0.0
        self.at: int | None = None

    def now(self) -> int:
        return super().now() + round(self.ahead * SECOND) if self.at is None else self.at


@pytest.fixture
def clock() -> TurnedClock:
    return TurnedClock()


@pytest.fixture(params=EVERY_STORE)
def ledger(request, tmp_path, clock, new_store_url) -> Iterator[Ledger]:
    with Ledger.open(new_store_url(request.param), home=tmp_path / "home", clock=clock) as opened:
        yield opened


@pytest.fixture
def history(ledger) -> PipelineHistory:
    return PipelineHistory(ledger)


@pytest.fixture
def client(ledger) -> Iterator[TestClient]:
    with TestClient(create_app(ledger, [pipeline_kind(ledger)]), base_url="http://localhost") as connected:
        yield connected
