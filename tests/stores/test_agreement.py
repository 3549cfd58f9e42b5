"""All stores answer like MemoryStore, whatever is done to them."""

import shutil
import tempfile
from pathlib import Path

from hypothesis import HealthCheck, settings

from execlog.store.base import Store
from execlog.store.sqlite import SQLiteStore
from execlog.testing.agreement import Agreement


class SQLiteAgreement(Agreement):
    def make_stores(self) -> list[Store]:
        self.folder = Path(tempfile.mkdtemp(prefix="execlog-agreement-"))
        return [SQLiteStore(self.folder / "execlog.db", clock=self.clock)]

    def teardown(self) -> None:
        try:
            super().teardown()
        finally:
            shutil.rmtree(self.folder)


TestSQLiteAgreement = SQLiteAgreement.TestCase
TestSQLiteAgreement.settings = settings(
    max_examples=40,
    stateful_step_count=20,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
)
