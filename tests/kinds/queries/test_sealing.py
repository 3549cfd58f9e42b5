"""Query text that is encrypted before it becomes durable."""

from __future__ import annotations

import base64
import os

import pytest
from starlette.testclient import TestClient

from execlog.core.errors import SettingsError
from execlog.core.model import Error, Event, Status
from execlog.history.adoption import Found, adopt
from execlog.kinds.queries import ExecutionTracker
from execlog.kinds.queries.connections import connection_of
from execlog.kinds.queries.gateway import Gateway, Query
from execlog.kinds.queries.routes import query_kind
from execlog.kinds.queries.sealing import Sealer, sealer_of
from execlog.ledger import Ledger
from execlog.web.app import create_app

KEY, OTHER = (base64.b64encode(os.urandom(32)).decode() for _ in range(2))
SECRET = "select salary from people where name = 'Ann Onymous'"


@pytest.fixture
def home(tmp_path, monkeypatch):
    monkeypatch.setenv("SEAL", KEY)
    folder = tmp_path / "sealed"
    folder.mkdir()
    (folder / "execlog.toml").write_text('[queries]\nseal_key_env = "SEAL"\n')
    yield folder
    sealer_of.cache_clear()


@pytest.fixture
def ledger(home):
    with Ledger.open(f"sqlite:///{home}/spine.db", home=home) as opened:
        yield opened


def everything_on_disk(home):
    return b"".join(path.read_bytes() for path in home.rglob("*") if path.is_file())


def test_nothing_of_it_is_on_disk_and_the_api_shows_it(ledger, home, sqlite_file):
    ExecutionTracker(ledger).log_execution_background(
        query=SECRET, database_type="kdb", user_id="ann", execution_id="logged", status="failed",
        error_type="SQLError", error_message=f"no such table: people\nLINE 1: {SECRET}",
    )  # fmt: skip
    connections = {"file": connection_of("file", {"type": "sqlite", "path": str(sqlite_file)})}
    with Gateway(ledger, connections) as gateway:
        run = gateway.execute(
            Query(query="select b from t where b = ? and 'Ann Onymous' <> ''", params=["Onymous"], user_id="ann")
        )
        assert gateway.insight.settle(10)
        assert ledger.flush()
        told = TestClient(create_app(ledger, [query_kind(ledger, gateway)]), base_url="http://localhost")
        rows = {row["execution_id"]: row for row in told.get("/api/v1/executions/ann").json()["executions"]}
    assert rows["logged"]["query"] == SECRET
    assert "Ann Onymous" in rows[run.execution_id]["query"]
    assert rows["logged"]["error_message"] == "no such table: people"
    kept = ledger.store.get("logged", kind="query")
    assert kept.name is None
    assert kept.input.startswith("sealed:v1:")
    assert kept.error.type == "SQLError"
    ledger.close()
    assert b"Onymous" not in everything_on_disk(home)


def test_without_the_key_it_stays_sealed(ledger, monkeypatch, home):
    ExecutionTracker(ledger).log_execution_background(query=SECRET, database_type="kdb", user_id="ann")
    assert ledger.flush()
    (home / "execlog.toml").write_text("")
    sealer_of.cache_clear()
    told = TestClient(create_app(ledger, [query_kind(ledger)]), base_url="http://localhost")
    assert told.get("/api/v1/executions/ann").json()["executions"][0]["query"].startswith("sealed:v1:")


def test_old_keys_open_and_the_new_one_seals():
    before, after = Sealer.of(OTHER), Sealer.of(KEY, f"{OTHER},")
    sealed = before.seal("größe", "id")
    assert after.open(sealed, "id") == "größe"
    assert before.open(after.seal("x", "id"), "id").startswith("sealed:v1:")
    assert before.seal("x", "id") != before.seal("x", "other")


def test_what_is_said_again_is_sealed_the_same():
    sealer = Sealer.of(KEY)
    assert sealer.seal(SECRET, "q-1") == sealer.seal(SECRET, "q-1")
    others = sealer.seal(SECRET, "q-2"), sealer.seal(SECRET + " ", "q-1"), Sealer.of(OTHER).seal(SECRET, "q-1")
    nonces = {base64.urlsafe_b64decode(text.rpartition(":")[2])[:12] for text in (sealer.seal(SECRET, "q-1"), *others)}
    assert len(nonces) == 4


def test_a_sealed_import_again_changes_nothing(home):
    event = Event(
        id="q", kind="query", at=1, status=Status.FAILED, input=SECRET, params={"a": 1}, error=Error("E", "x 7")
    )
    with Ledger.open(f"sqlite:///{home}/spine.db", home=home) as ledger:
        found = [Found("row 1", (event,))]
        written = [adopt(ledger.store, found, clean=sealer_of(home).sealed).written for _ in range(2)]
    assert written == [1, 0]


def test_a_sealed_text_belongs_to_its_execution_and_cannot_be_changed():
    sealer = Sealer.of(KEY)
    sealed = sealer.seal("text", "mine")
    assert sealer.open(sealed, "mine") == "text"
    for value, execution_id in [(sealed, "yours"), (sealed[:-6] + "AAAA==", "mine"), (sealed[:-1] + "!", "mine")]:
        assert sealer.open(value, execution_id) == value
    for value in ("plain", None, 7, "sealed:v1:", "sealed:v1:beef:AAAA"):
        assert sealer.open(value, "mine") == value


@pytest.mark.parametrize("key", ["short", "x" * 44, base64.b64encode(b"x" * 16).decode()])
def test_a_key_that_is_none_is_said_so(tmp_path, monkeypatch, key):
    monkeypatch.setenv("SEAL", key)
    (tmp_path / "execlog.toml").write_text('[queries]\nseal_key_env = "SEAL"\n')
    with pytest.raises(SettingsError, match="seal key"):
        sealer_of(tmp_path)


def test_a_key_that_is_missing_is_said_so(tmp_path):
    (tmp_path / "execlog.toml").write_text('[queries]\nseal_key_env = "EXECLOG_NO_SUCH_NAME"\n')
    with pytest.raises(SettingsError, match="EXECLOG_NO_SUCH_NAME"):
        sealer_of(tmp_path)
    (tmp_path / "execlog.toml").write_text('[queries]\nseal_key_file = "/nowhere/key"\n')
    with pytest.raises(SettingsError, match="seal_key_file"):
        sealer_of(tmp_path)
