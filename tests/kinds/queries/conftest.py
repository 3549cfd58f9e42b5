"""A ledger, a gateway to small databases, and clients of an app that has the kind `query`."""

from __future__ import annotations

import apsw
import msgspec
import pytest
from starlette.testclient import TestClient

from execlog.kinds.queries.connections import connection_of
from execlog.kinds.queries.gateway import Gateway
from execlog.kinds.queries.routes import query_kind
from execlog.ledger import Ledger
from execlog.web.app import create_app

ROWS = 2_500
SLOW = "select count(*) from t x, t y, t z where x.a + y.a + z.a = 3"


@pytest.fixture
def store_url():
    """Where the ledger keeps what is recorded; modules that look at that more closely have their own."""
    return "memory://"


@pytest.fixture
def ledger(store_url, tmp_path):
    with Ledger.open(store_url, home=tmp_path / "home") as opened:
        yield opened


@pytest.fixture
def sqlite_file(tmp_path):
    """A database with a table t(a, b) of 2,500 rows: (1, 'v1') …"""
    path = tmp_path / "t.db"
    with apsw.Connection(str(path)) as database:
        database.execute("create table t(a integer, b text)")
        database.execute(
            "with recursive s(n) as (select 1 union all select n + 1 from s limit ?) "
            "insert into t select n, 'v' || n from s",
            (ROWS,),
        )
    database.close()
    return path


@pytest.fixture
def tables(sqlite_file):
    """The settings of the gateway's connections: a read-only and a writing SQLite, and DuckDB in memory."""
    create = f"create table t as select (range + 1)::integer a, 'v' || (range + 1) b from range({ROWS})"
    return {
        "file": {"type": "sqlite", "path": str(sqlite_file)},
        "desk": {"type": "sqlite", "database_type": "desk", "path": str(sqlite_file), "read_only": False},
        "duck": {"type": "duckdb", "init": [create]},
    }


@pytest.fixture
def make_gateway(ledger):
    """A function that opens a gateway from a table of settings, with limits for all of them; closed at the end."""
    opened: list[Gateway] = []

    def make(tables, grace=2.0, **limits):
        connections = {name: connection_of(name, limits | table) for name, table in tables.items()}
        opened.append(Gateway(ledger, connections, grace=grace))
        return opened[-1]

    yield make
    for gateway in opened:
        gateway.close()


@pytest.fixture
def gateway(make_gateway, tables):
    return make_gateway(tables)


@pytest.fixture
def client(ledger, gateway):
    with TestClient(create_app(ledger, [query_kind(ledger, gateway)]), base_url="http://localhost") as connected:
        yield connected


@pytest.fixture
def guarded(ledger, gateway):
    """Clients of an app with tokens: guarded("viewer"), guarded("operator:alice")."""
    roles = ("viewer", "operator", "admin", "viewer:alice", "operator:alice")
    settings = msgspec.structs.replace(ledger.settings, tokens={f"token of {role}": role for role in roles})
    app = create_app(ledger, [query_kind(ledger, gateway)], settings=settings)

    def connect(role: str) -> TestClient:
        return TestClient(app, base_url="http://localhost", headers={"Authorization": f"Bearer token of {role}"})

    return connect


@pytest.fixture
def recorded(ledger):
    """A function that reads an execution of a query back."""

    def read(execution_id):
        assert ledger.flush()
        return ledger.store.get(execution_id, kind="query")

    return read
