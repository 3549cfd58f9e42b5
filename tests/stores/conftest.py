"""What the tests of several stores share."""

from contextlib import closing

import pytest

from execlog.store.postgres.store import PostgresStore


@pytest.fixture
def postgres_store(kept_postgres_url):
    with closing(PostgresStore(kept_postgres_url)) as store:
        yield store
