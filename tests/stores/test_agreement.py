"""All stores answer like MemoryStore, whatever is done to them."""

import shutil
import tempfile
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings
from hypothesis.stateful import run_state_machine_as_test

from execlog.core.settings import Settings
from execlog.store.base import Store
from execlog.store.files.store import FilesStore
from execlog.store.postgres.store import PostgresStore
from execlog.store.redis.store import RedisStore
from execlog.store.sqlite import SQLiteStore, summing
from execlog.testing.agreement import Agreement

OFTEN = settings(
    max_examples=40,
    stateful_step_count=20,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
)
SELDOM = settings(OFTEN, max_examples=12)


class Recounting(Agreement):
    """What was taken out again, or corrected, is right in every cell, not only in those that are asked."""

    def teardown(self) -> None:
        wrong = {store.url: store.recount().examples for store in self.stores}
        super().teardown()
        assert not any(wrong.values()), wrong


class InFolder(Recounting):
    def make_stores(self) -> list[Store]:
        self.folder = Path(tempfile.mkdtemp(prefix="execlog-agreement-"))
        return [self.make_store(self.folder)]

    def make_store(self, folder: Path) -> Store:
        raise NotImplementedError

    def teardown(self) -> None:
        try:
            super().teardown()
        finally:
            shutil.rmtree(self.folder)


class SQLiteAgreement(InFolder):
    def make_store(self, folder: Path) -> Store:
        return SQLiteStore(folder / "execlog.db", clock=self.clock)


class FilesAgreement(InFolder):
    def make_store(self, folder: Path) -> Store:
        return FilesStore(folder, clock=self.clock)


@pytest.mark.parametrize("tail", [1, 5, summing.TAIL])
def test_sqlite_agrees(tail, monkeypatch):
    """Whether everything is counted in its cells at once, or some of it, or nothing yet."""
    monkeypatch.setattr(summing, "TAIL", tail)
    run_state_machine_as_test(SQLiteAgreement, settings=OFTEN)


def test_files_agree():
    run_state_machine_as_test(FilesAgreement, settings=SELDOM)


@pytest.mark.valkey
def test_redis_agrees(valkey, valkey_url):
    class RedisAgreement(Agreement):
        def make_stores(self) -> list[Store]:
            valkey.ask("FLUSHALL")
            return [RedisStore(valkey_url, Settings(redis_history_limit=10_000), clock=self.clock)]

    run_state_machine_as_test(RedisAgreement, settings=SELDOM)


@pytest.mark.valkey
def test_a_redis_cluster_agrees(valkey_cluster):
    class ClusterAgreement(Agreement):
        def make_stores(self) -> list[Store]:
            valkey_cluster.empty()
            return [RedisStore(valkey_cluster.url, Settings(redis_history_limit=10_000), clock=self.clock)]

    run_state_machine_as_test(ClusterAgreement, settings=SELDOM)


@pytest.mark.postgres
def test_postgres_agrees(empty_postgres_url):
    class PostgresAgreement(Recounting):
        def make_stores(self) -> list[Store]:
            store = PostgresStore(empty_postgres_url, clock=self.clock)
            with store.connections.write() as session:
                session.run(EMPTY)
            return [store]

    run_state_machine_as_test(PostgresAgreement, settings=SELDOM)


EMPTY = """
truncate executions, execution_keys, subjects, items, logs, buckets, tombstones, changes, processes, quarantine;
update state set last_number = 0, last_change = 0
"""
