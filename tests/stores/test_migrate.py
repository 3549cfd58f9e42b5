"""`migrate`: from nothing, from every earlier version, again, and for servers that may make no tables."""

from __future__ import annotations

import time
import uuid
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing

import apsw
import psycopg
import pytest

from execlog.core.errors import StoreError
from execlog.core.filter import Filter
from execlog.core.model import Event, Item, Status
from execlog.core.settings import Settings
from execlog.ledger import Ledger
from execlog.store.jobs import Entry, Firing
from execlog.store.migrating import foresee, migrate
from execlog.store.opening import open_store
from execlog.store.pairs import Pair
from execlog.store.postgres import migrating
from execlog.store.postgres.store import PostgresStore
from execlog.store.sql import migrations, queries
from older import LATEST, POSTGRES, make_older, make_older_postgres
from servers import wait_until

DAY = 86_400_000_000
PER_DAY = 300
DAYS = "select series from buckets where resolution = 86400"


def test_a_new_database_gets_the_whole_schema(tmp_path):
    path = tmp_path / "new" / "db"
    done = migrate(f"sqlite:///{path}")
    assert (done.before, done.after, done.changed) == (0, LATEST, True)
    with closing(apsw.Connection(str(path))) as connection:
        assert connection.execute("select count(*) from scheduler_execution_log").fetchall() == [(0,)]


@pytest.mark.parametrize("version", range(1, LATEST))
def test_every_earlier_version_is_brought_up(tmp_path, version):
    path = tmp_path / "db"
    migrate(f"sqlite:///{path}")
    application = apsw.Connection(str(path)).pragma("application_id")
    older = tmp_path / "older"
    with closing(apsw.Connection(str(older))) as connection:
        for number, sql in migrations("sqlite")[:version]:
            connection.execute(sql).fetchall()
            connection.pragma("user_version", number)
        connection.pragma("application_id", application)
    done = migrate(f"sqlite:///{older}")
    assert (done.before, done.after) == (version, LATEST)
    with closing(apsw.Connection(str(path))) as new, closing(apsw.Connection(str(older))) as old:
        schemas = [sorted(one.execute("select type, name, sql from sqlite_master")) for one in (new, old)]
    assert schemas[0] == schemas[1]


def test_again_there_is_nothing_to_do(tmp_path):
    migrate(f"sqlite:///{tmp_path / 'db'}")
    again = migrate(f"sqlite:///{tmp_path / 'db'}")
    assert (again.before, again.after, again.changed) == (LATEST, LATEST, False)


def test_a_store_without_a_schema_has_no_version():
    assert migrate("memory://").after is None


def test_what_is_no_database_is_refused(tmp_path):
    (tmp_path / "db").write_bytes(b"not a database" * 100)
    with pytest.raises(StoreError):
        migrate(f"sqlite:///{tmp_path / 'db'}")


def test_looking_changes_nothing(tmp_path):
    url = f"sqlite:///{tmp_path / 'db'}"
    seen = foresee(url)
    assert (seen.before, seen.after, seen.changed) == (0, LATEST, True)
    assert not (tmp_path / "db").exists()
    migrate(url)
    assert not foresee(url).changed
    assert foresee("memory://").before is None


def test_a_store_that_may_not_be_changed_is_opened_only_when_it_is_up_to_date(tmp_path):
    url, settings = f"sqlite:///{tmp_path / 'db'}", Settings(migrate=False)
    with pytest.raises(StoreError, match="run `execlog migrate`") as refused:
        open_store(url, settings)
    assert not refused.value.retry
    assert not (tmp_path / "db").exists()
    assert migrate(url, settings).after == LATEST
    open_store(url, settings).close()


@pytest.mark.postgres
@pytest.mark.parametrize("version", range(POSTGRES))
def test_every_earlier_version_is_brought_up_on_postgres(empty_postgres_url, version):
    if version:
        with psycopg.connect(empty_postgres_url) as connection:
            connection.execute("create table execlog_schema (version integer primary key, applied_at timestamptz)")
            for number, sql in migrations("postgres")[:version]:
                connection.execute(sql)
                connection.execute("insert into execlog_schema (version) values (%s)", (number,))
    seen, done, again = foresee(empty_postgres_url), migrate(empty_postgres_url), migrate(empty_postgres_url)
    assert (seen.before, seen.after) == (done.before, done.after) == (version, POSTGRES)
    assert (again.before, again.changed) == (POSTGRES, False)
    assert seen.url == done.url
    with psycopg.connect(empty_postgres_url) as connection:
        assert connection.execute("select count(*) from query_executions").fetchone() == (0,)


def three_days(store):
    """Executions of two subjects and three users over three days, enough to be counted into the cells at once."""
    store.apply(
        [
            Event(
                id=f"{number}", kind="query", at=at, started_at=at, ended_at=at + number * 977, namespace="north",
                status=Status.SUCCEEDED, subject=f"s{number % 2}", actor=f"a{number % 3}", engine="duckdb", rows=number,
            )
            for number in range(3 * PER_DAY)
            for at in [number * DAY // PER_DAY]
        ]
    )  # fmt: skip


def told_of_days(store):
    """The statistics that are made of buckets which later versions added."""
    north = {"namespace": "north"}
    narrow = [{}, {"subject": "s1", **north}, {"actor": "a2"}, {"engine": "duckdb"}, north]
    told = [store.stats(Filter(kind="query", since=7, until=3 * DAY - 7, **fields)) for fields in narrow]
    assert all(groups[0].bucket.total >= PER_DAY - 1 for groups in told)
    return told


def test_days_are_added_up_from_the_hours_there_are(tmp_path):
    with closing(open_store(f"sqlite:///{tmp_path / 'db'}")) as store:
        three_days(store)
        told = told_of_days(store)
    with closing(apsw.Connection(str(tmp_path / "db"))) as connection:
        make_older(connection)
        assert connection.execute("select count(*) from buckets where series like 'actor%'").fetchall() == [(72 * 3,)]
    with closing(open_store(f"sqlite:///{tmp_path / 'db'}")) as store:
        assert told_of_days(store) == told
        store.apply([Event(id="more", kind="query", at=DAY + 5, status=Status.SUCCEEDED, actor="a2", duration=3.0)])
        assert store.stats(Filter(actor="a2"))[0].bucket.total == PER_DAY + 1


@pytest.mark.postgres
def test_days_are_added_up_from_the_hours_there_are_on_postgres(empty_postgres_url):
    with closing(open_store(empty_postgres_url)) as store:
        three_days(store)
        told = told_of_days(store)
    with psycopg.connect(empty_postgres_url) as connection:
        make_older_postgres(connection, 4)
        assert not connection.execute(f"{DAYS} and series like 'actor%'").fetchall()
    with closing(open_store(empty_postgres_url)) as store:
        assert told_of_days(store) == told


@pytest.mark.postgres
def test_kinds_without_any_subject_are_still_known_on_postgres(empty_postgres_url):
    with closing(open_store(empty_postgres_url)) as store:
        store.apply(
            [Event(id="1", kind=kind, at=5, status=Status.SUCCEEDED, actor="a", subject=subject)
             for kind, subject in [("query", None), ("workflow", ""), ("job", "s")]]
        )  # fmt: skip
        told = store.stats(Filter(actor="a"), group_by="kind")
    assert [group.key for group in told] == ["job", "query", "workflow"]
    with psycopg.connect(empty_postgres_url) as connection:
        make_older_postgres(connection, 7)
        assert connection.execute("select kind from subjects").fetchall() == [("job",)]
    with closing(open_store(empty_postgres_url)) as store:
        assert store.stats(Filter(actor="a"), group_by="kind") == told
        assert [entry.kind for entry in store.latest(Filter())] == ["job"]


@pytest.mark.postgres
def test_a_text_index_that_was_not_made_is_made_by_who_opens_it_next_and_may(empty_postgres_url):
    migrate(empty_postgres_url)
    with psycopg.connect(empty_postgres_url) as connection:
        connection.execute("drop index executions_searched")
    for settings, warns in [(Settings(migrate=False), True), (Settings(), False), (Settings(migrate=False), False)]:
        with closing(open_store(empty_postgres_url, settings)) as store:
            assert ("warning" in store.check()) == warns


@pytest.mark.postgres
def test_a_database_that_may_only_be_read_is_opened_without_a_text_index(postgres, empty_postgres_url):
    migrate(empty_postgres_url)
    with psycopg.connect(empty_postgres_url) as connection:
        connection.execute("drop index executions_searched")
    name = empty_postgres_url.rpartition("/")[2]
    postgres.execute(f"alter database {name} set default_transaction_read_only = on")
    with closing(open_store(empty_postgres_url)) as store:
        assert not store.find(Filter()).entries
        with pytest.raises(StoreError, match="read-only"):
            store.check()


@pytest.mark.postgres
def test_another_programs_tables_are_left_to_it(empty_postgres_url):
    with psycopg.connect(empty_postgres_url, autocommit=True) as connection:
        connection.execute("create table scheduler_execution_log (execution_id text)")
        with pytest.raises(StoreError, match=r"another program's: .*search_path.*execlog import postgres") as refused:
            open_store(empty_postgres_url)
        assert not refused.value.retry
        connection.execute("create schema execlog")
    separator = "&" if "?" in empty_postgres_url else "?"
    with closing(open_store(f"{empty_postgres_url}{separator}options=-csearch_path%3Dexeclog")) as store:
        assert store.apply([Event(id="1", kind="job", at=5, status=Status.SUCCEEDED)]).inserted == 1


@pytest.mark.postgres
def test_a_migration_may_take_longer_than_any_question(empty_postgres_url, monkeypatch):
    longer = [*migrations("postgres"), (POSTGRES + 1, "select pg_sleep(1.5)")]
    monkeypatch.setattr("execlog.store.postgres.migrating.migrations", lambda _: longer)
    PostgresStore(empty_postgres_url, read_timeout=1.0).close()
    with psycopg.connect(empty_postgres_url) as connection:
        assert connection.execute("select max(version) from execlog_schema").fetchone() == (POSTGRES + 1,)


@pytest.mark.postgres
def test_a_text_index_may_take_longer_than_any_question(empty_postgres_url, monkeypatch):
    migrate(empty_postgres_url)
    with psycopg.connect(empty_postgres_url) as connection:
        connection.execute("drop index executions_searched")
    slowly = "select pg_sleep(1.5); " + migrating._SQL["index_trigrams"]
    monkeypatch.setitem(migrating._SQL, "index_trigrams", slowly)
    with closing(PostgresStore(empty_postgres_url, read_timeout=1.0)) as store:
        assert "warning" not in store.check()


@pytest.fixture
def server_url(postgres, empty_postgres_url):
    """The URL of the same database for a user who may read and write, but make nothing."""
    user = f"server_{uuid.uuid4().hex}"
    postgres.execute(f"create role {user} login")
    with psycopg.connect(empty_postgres_url) as owner:
        owner.execute(f"grant usage on schema public to {user}")
        owner.execute(
            f"alter default privileges in schema public grant select, insert, update, delete on tables to {user}"
        )
    yield empty_postgres_url.replace("postgres@", f"{user}@")
    with psycopg.connect(empty_postgres_url) as owner:
        owner.execute(f"drop owned by {user}")
        owner.execute(f"drop role {user}")


@pytest.mark.postgres
def test_a_server_that_may_make_no_tables_works_on_what_migrate_made(empty_postgres_url, server_url):
    with pytest.raises(StoreError, match="run `execlog migrate`"):
        open_store(server_url, Settings(migrate=False))
    with pytest.raises(StoreError, match="permission denied"):
        open_store(server_url)
    migrate(empty_postgres_url)
    now = time.time_ns() // 1_000
    long_ago = now - 200 * DAY
    with closing(open_store(server_url, Settings(migrate=False))) as store:
        items = (Item(key="AAPL/1d", at=now, status=Status.SUCCEEDED, ended_at=now, rows=5),)
        said = {"status": Status.SUCCEEDED, "subject": "s"}
        store.apply(
            [
                Event(id="new", kind="pipeline", at=now, started_at=now, ended_at=now, items=items, **said),
                Event(id="old", kind="job", at=long_ago, started_at=long_ago, ended_at=long_ago, **said),
            ]
        )
        assert store.pairs.summary(now).total == 1
        jobs = store.open_jobs()
        jobs.put(Entry(id="j", definition={}), expected=None)
        jobs.enqueue(Firing(job_id="j", instant=1, execution_id="x", due_at=1))
        assert len(jobs.begin(jobs.claim("h", now=2, lease_until=3, limit=1))) == 1
        assert tables_of(empty_postgres_url) == {"new": False, "old": True}
        migrate(empty_postgres_url)
        assert tables_of(empty_postgres_url) == {"new": False, "old": False}
        assert [found.id for found in store.find(Filter()).entries] == ["new", "old"]
        assert store.delete(Filter(until=long_ago + DAY), keep_marks=False) == 1


def tables_of(url):
    """Whether an execution, by its id, has no month of its own."""
    with psycopg.connect(url) as connection:
        return dict(connection.execute("select id, tableoid = 'executions_other'::regclass from executions"))


@pytest.mark.parametrize("scheme", ["sqlite", "files", pytest.param("postgresql", marks=pytest.mark.postgres)])
def test_who_goes_on_with_the_code_of_before_writes_nothing_and_loses_nothing(tmp_path, request, scheme):
    """What it would count, it would count without what the newer version added: wrong for good."""
    url = f"{scheme}:///{tmp_path / 'store'}"
    if scheme == "postgresql":
        url = request.getfixturevalue("empty_postgres_url")
    with Ledger.open(url, home=tmp_path / "home") as ledger:
        ledger.record("job", status="succeeded", subject="before")
        ledger.flush()
        set_version(url, +1)
        ledger.record("job", status="succeeded", subject="meanwhile")
        assert not ledger.flush(timeout=2)
        assert "newer execlog" in (ledger.stats().last_error or "")
        for change in (
            lambda: ledger.store.apply([Event(id="1", kind="job", at=5, status=Status.SUCCEEDED)]),
            lambda: ledger.store.delete(Filter()),
            lambda: ledger.store.delete(Filter(until=2**60), keep_marks=False),
            lambda: ledger.store.pairs.monitor([Pair("AAPL", "1d")]),
        ):
            with pytest.raises(StoreError, match="newer execlog has brought the database to another schema version"):
                change()
        assert [entry.subject for entry in ledger.store.find(Filter()).entries] == ["before"]
        set_version(url, 0)
        ledger.flush()
        assert [entry.subject for entry in ledger.store.find(Filter()).entries] == ["meanwhile", "before"]
        assert ledger.store.stats(Filter())[0].bucket.total == 2


def set_version(url, later):
    """Let a version that comes so many after this one have opened the database."""
    if url.startswith("postgresql"):
        with psycopg.connect(url) as connection:
            connection.execute("delete from execlog_schema where version > %s", (POSTGRES,))
            if later:
                connection.execute("insert into execlog_schema (version) values (%s)", (POSTGRES + later,))
        return
    path = url.partition(":///")[2]
    with closing(apsw.Connection(path if url.startswith("sqlite") else f"{path}/.execlog/index.db")) as connection:
        connection.pragma("user_version", LATEST + later)


@pytest.mark.postgres
def test_a_migration_waits_for_what_is_being_written(empty_postgres_url):
    """It was begun by the version of before: its counts must be there when a migration adds them up."""
    waiting = (
        "select count(*) from pg_locks where locktype = 'advisory' and not granted "
        "and database = (select oid from pg_database where datname = current_database())"
    )
    with closing(open_store(empty_postgres_url)) as store:
        three_days(store)
        told = told_of_days(store)
    with psycopg.connect(empty_postgres_url) as connection:
        make_older_postgres(connection, 8)
    with (
        psycopg.connect(empty_postgres_url) as writer,
        psycopg.connect(empty_postgres_url, autocommit=True) as watcher,
        ThreadPoolExecutor(1) as beside,
    ):
        writer.execute(queries("postgres", "write")["lock"])
        done = beside.submit(migrate, empty_postgres_url)
        wait_until(lambda: watcher.execute(waiting).fetchone() == (1,), 30, "the migration to wait")
        assert not done.done()
        writer.execute("update buckets set failed = failed + 1 where series = 'all'")
        writer.commit()
        assert done.result(timeout=60).changed
    with closing(open_store(empty_postgres_url)) as store:
        assert told_of_days(store)[1:] == told[1:]
        with store.connections.read() as session:
            sums = session.rows("select resolution, sum(failed)::bigint from buckets where series = 'all' group by 1")
        cells = dict(sums)
        assert cells[600] == cells[60]
        assert cells[21_600] == cells[3_600]
