"""The stores that keep everything do what every such store must."""

import pytest

from execlog.store.memory import MemoryStore
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
