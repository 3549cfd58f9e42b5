"""The stores that keep everything do what every such store must."""

import pytest

from execlog.core.settings import Settings
from execlog.store.files.store import FilesStore
from execlog.store.memory import MemoryStore
from execlog.store.postgres.store import PostgresStore
from execlog.store.redis.store import RedisStore
from execlog.store.sqlite import SQLiteStore
from execlog.testing.conformance import StoreConformance


class TestMemoryStore(StoreConformance):
    def make_store(self, clock):
        return MemoryStore(clock=clock)


class TestSQLiteStore(StoreConformance):
    @pytest.fixture(autouse=True)
    def _folder(self, tmp_path):
        self.folder = tmp_path

    def make_store(self, clock):
        return SQLiteStore(self.folder / "execlog.db", clock=clock)


class TestFilesStore(StoreConformance):
    @pytest.fixture(autouse=True)
    def _folder(self, tmp_path):
        self.folder = tmp_path

    def make_store(self, clock):
        return FilesStore(self.folder, clock=clock)


@pytest.mark.valkey
class TestRedisStore(StoreConformance):
    @pytest.fixture(autouse=True)
    def _server(self, empty_valkey_url):
        self.url = empty_valkey_url

    def make_store(self, clock):
        return RedisStore(self.url, Settings(redis_history_limit=10_000), clock=clock)


@pytest.mark.valkey
class TestRedisCluster(StoreConformance):
    @pytest.fixture(autouse=True)
    def _servers(self, empty_cluster_url):
        self.url = empty_cluster_url

    def make_store(self, clock):
        return RedisStore(self.url, Settings(redis_history_limit=10_000), clock=clock)


@pytest.mark.postgres
class TestPostgresStore(StoreConformance):
    @pytest.fixture(autouse=True)
    def _server(self, empty_postgres_url):
        self.url = empty_postgres_url

    def make_store(self, clock):
        return PostgresStore(self.url, clock=clock)
