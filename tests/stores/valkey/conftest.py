"""A real Valkey, emptied for each test, and the store in it."""

from __future__ import annotations

import pytest
import redis

from execlog.core.model import Event, Status
from execlog.core.settings import Settings
from execlog.store.redis.store import RedisStore

SECOND = 1_000_000
T0 = 1_700_000_000 * SECOND


@pytest.fixture
def client(empty_valkey_url):
    with redis.Redis.from_url(empty_valkey_url, decode_responses=True) as opened:
        yield opened


@pytest.fixture
def store(empty_valkey_url, tmp_path):
    opened = RedisStore(empty_valkey_url, Settings(home=tmp_path))
    yield opened
    opened.close()


def execution(number: int, *, kind: str = "job", subject: str = "daily", **fields) -> Event:
    at = T0 + number * SECOND
    said = {"at": at, "status": Status.SUCCEEDED, "started_at": at, "ended_at": at + SECOND, "duration": 1.0}
    return Event(id=f"exec-{number}", kind=kind, subject=subject, name=subject, **(said | fields))
