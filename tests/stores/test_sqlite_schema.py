"""The schema: migrations make it, newer ones are refused, several processes may open a new file at once."""

import multiprocessing
import re
import stat

import apsw
import pytest

from execlog.core.errors import StoreError
from execlog.core.filter import Filter
from execlog.core.model import Event, Status
from execlog.store.opening import open_store
from execlog.store.sql import migrations, schema
from execlog.store.sqlite import SQLiteStore

SPAWN = multiprocessing.get_context("spawn")


def objects(connection):
    """What a database holds by name, its SQL without comments and with no more blanks than it needs."""
    rows = connection.execute("select type, name, sql from sqlite_master where name not like 'sqlite_%'").fetchall()
    return {(kind, name): _plain(sql) if sql else None for kind, name, sql in rows}


def _plain(sql):
    return re.sub(r" ?([(),]) ?", r"\1", " ".join(re.sub(r"--[^\n]*", "", sql).split()))


def test_the_migrations_make_the_schema():
    migrated, whole = apsw.Connection(":memory:"), apsw.Connection(":memory:")
    for _, sql in migrations("sqlite"):
        migrated.execute(sql)
    whole.execute(schema("sqlite"))
    assert objects(migrated) == objects(whole)


def test_the_migrations_are_numbered_without_a_gap():
    assert [number for number, _ in migrations("sqlite")] == list(range(1, len(migrations("sqlite")) + 1))


def test_a_file_of_every_older_version_is_brought_up_to_date(tmp_path):
    from execlog.store.sqlite.migrating import APPLICATION_ID

    for version in range(1, len(migrations("sqlite")) + 1):
        path = tmp_path / f"v{version}.db"
        old = apsw.Connection(str(path))
        for number, sql in migrations("sqlite")[:version]:
            old.execute(sql)
            old.pragma("user_version", number)
        old.pragma("application_id", APPLICATION_ID)
        old.close()
        store = SQLiteStore(path)
        store.apply([Event(id="a", kind="job", at=1, status=Status.SUCCEEDED)])
        assert store.check()["schema"] == str(len(migrations("sqlite")))
        store.close()


def test_a_new_file_is_its_owners_alone(tmp_path):
    SQLiteStore(tmp_path / "deep" / "execlog.db").close()
    assert stat.S_IMODE((tmp_path / "deep" / "execlog.db").stat().st_mode) == 0o600


def test_a_newer_schema_is_refused_by_name(tmp_path):
    path = tmp_path / "execlog.db"
    SQLiteStore(path).close()
    connection = apsw.Connection(str(path))
    connection.pragma("user_version", 999)
    connection.close()
    with pytest.raises(StoreError, match="schema version 999") as refused:
        SQLiteStore(path)
    assert not refused.value.retry


@pytest.mark.parametrize("content", ["foreign", "garbage", "folder"])
def test_what_is_not_ours_is_refused_and_left_alone(tmp_path, content):
    path = tmp_path / "other.db"
    if content == "foreign":
        connection = apsw.Connection(str(path))
        connection.execute("create table notes (text); insert into notes values ('mine')")
        connection.close()
    elif content == "garbage":
        path.write_bytes(b"this is no database" * 1_000)
    else:
        path.mkdir()
    before = path.read_bytes() if path.is_file() else None
    with pytest.raises(StoreError):
        SQLiteStore(path)
    assert (path.read_bytes() if path.is_file() else None) == before


@pytest.mark.parametrize("url", ["sqlite://", "sqlite:///"])
def test_a_url_without_a_file_is_refused(url):
    from execlog.core.errors import SettingsError

    with pytest.raises(SettingsError, match="names no file"):
        open_store(url)


def test_a_url_names_an_absolute_or_a_relative_file(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for url in (f"sqlite:///{tmp_path}/a%20b.db", "sqlite:///relative.db"):
        open_store(url).close()
    assert (tmp_path / "a b.db").is_file()
    assert (tmp_path / "relative.db").is_file()


def _open_and_write(path, first, go):
    go.wait()
    store = SQLiteStore(path)
    for batch in range(10):
        store.apply(
            [
                Event(id=f"{first}-{batch}-{number}", kind="job", at=number + 1, status=Status.SUCCEEDED, duration=1.0)
                for number in range(20)
            ]
        )
    store.close()


def test_several_processes_open_a_new_file_at_once_and_lose_nothing(tmp_path):
    go = SPAWN.Event()
    path = tmp_path / "execlog.db"
    children = [SPAWN.Process(target=_open_and_write, args=(path, first, go)) for first in range(3)]
    for child in children:
        child.start()
    go.set()
    for child in children:
        child.join(100)
        assert child.exitcode == 0
    store = SQLiteStore(path)
    assert store.count(Filter()) == 600
    assert store.stats(Filter())[0].bucket.duration_micros == 600_000_000
    numbers = [change.number for change in store.changes(0)]
    assert numbers == list(range(1, 601))
    assert store.check()["integrity"] == "ok"
    store.close()
