"""The PostgreSQL store on a real server: schema, months, servers that stop, hang or restart, announcements."""

from __future__ import annotations

import logging
import os
import re
import signal
import threading
import time
from contextlib import closing

import psycopg
import pytest

import servers
from execlog.core.errors import StoreError
from execlog.core.filter import Filter
from execlog.core.model import Error, Event, Item, Status
from execlog.ledger import Ledger
from execlog.store.memory import MemoryStore
from execlog.store.opening import open_store
from execlog.store.postgres import reading, writing
from execlog.store.postgres.connection import Connections, without_secrets
from execlog.store.postgres.store import PostgresStore
from execlog.store.sql import migrations, queries, schema
from execlog.testing.making import LONG
from histories import SECOND, T0

pytestmark = pytest.mark.postgres
DAY = 86_400 * SECOND


@pytest.fixture
def store(empty_postgres_url):
    opened = PostgresStore(empty_postgres_url)
    yield opened
    opened.close()


def ended(number, *, at=T0, **fields):
    said = {"status": Status.SUCCEEDED, "started_at": at, "ended_at": at + SECOND, "duration": 1.0, "subject": "load"}
    return Event(**({"id": f"e{number}", "kind": "job", "at": at + number} | said | fields))


def test_a_server_that_is_away_is_said_once_with_the_reason(caplog):
    nobody = f"postgresql://u@127.0.0.1:{servers.free_port()}/db"
    away = Connections(nobody, write_timeout=1, read_timeout=1)
    with pytest.raises(StoreError, match=r"/db: connection failed: .*Connection refused"), away.read():
        pass
    away.close()
    assert not caplog.messages
    logging.getLogger("psycopg.pool").warning("error connecting in %r: %s", "mine", OSError("refused"))
    assert caplog.messages == ["error connecting in 'mine': refused"]


def test_the_migrations_make_the_schema(postgres, empty_postgres_url):
    postgres.execute("create database by_schema")
    try:
        for name, sql in (("by_schema", schema("postgres")), (empty_postgres_url.rpartition("/")[2], None)):
            for text in [sql] if sql else [text for _, text in migrations("postgres")]:
                postgres.execute(text, name)
        dumps = [
            re.sub(
                r"^\\(un)?restrict.*$",
                "",
                postgres.run("pg_dump", "--schema-only", "-d", name).stdout,
                flags=re.MULTILINE,
            )
            for name in ("by_schema", empty_postgres_url.rpartition("/")[2])
        ]
        assert "create table" in dumps[0].lower()
        assert dumps[0] == dumps[1]
    finally:
        postgres.execute("drop database by_schema with (force)")


def test_a_newer_schema_is_refused(empty_postgres_url, store):
    with psycopg.connect(empty_postgres_url) as connection:
        connection.execute("insert into execlog_schema (version) values (999)")
    with pytest.raises(StoreError, match="a newer execlog") as refused:
        PostgresStore(empty_postgres_url)
    assert not refused.value.retry


def test_several_processes_may_open_a_new_database_at_once(empty_postgres_url):
    opened, errors = [], []

    def open_one():
        try:
            opened.append(PostgresStore(empty_postgres_url))
        except StoreError as error:
            errors.append(error)

    threads = [threading.Thread(target=open_one) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for one in opened:
        one.close()
    assert (len(opened), errors) == (4, [])


def test_statements_are_prepared_and_outlive_months_and_columns_that_come_and_go(empty_postgres_url, store):
    def ids() -> list[str]:
        return [one.id for one in store.find(Filter()).entries]

    store.apply([ended(1)])
    for _ in range(10):
        assert ids() == ["e1"]
    with store.connections.read() as session:
        prepared = [row[0] for row in session.rows("select statement from pg_prepared_statements")]
    assert any("from executions" in statement for statement in prepared)
    with closing(PostgresStore(empty_postgres_url)) as other, psycopg.connect(empty_postgres_url) as connection:
        other.apply([ended(2, at=T0 + 40 * DAY)])
        assert ids() == ["e2", "e1"]
        connection.execute("alter table executions add column later text")
        connection.execute("drop table executions_2026_01")
    assert ids() == ["e2"]
    store.apply([ended(3)])
    assert ids() == ["e2", "e3"]


def partitions(store):
    with store.connections.read() as session:
        found = session.rows(
            "select inhrelid::regclass::text from pg_inherits where inhparent = 'executions'::regclass"
        )
    return {row[0] for row in found}


def test_each_month_has_a_partition_and_what_is_far_away_shares_one(store):
    store.apply([ended(1), ended(2, at=T0 - 40 * DAY), ended(3, at=-DAY), ended(4, at=T0 + 300 * 365 * DAY)])
    assert partitions(store) == {"executions_other", "executions_2026_01", "executions_2025_11"}
    assert [one.id for one in store.find(Filter()).entries] == ["e4", "e1", "e2", "e3"]


def test_a_start_that_turns_out_to_be_earlier_moves_to_its_month(store):
    store.apply([ended(1, at=T0, items=(Item(key="A", status=Status.SUCCEEDED, at=T0),))])
    store.apply([ended(1, at=T0 + 1, started_at=T0 - 40 * DAY)])
    found = store.get("e1")
    assert found.created_at == T0 - 40 * DAY
    assert [item.key for item in found.items] == ["A"]
    assert [one.id for one in store.find(Filter(item="A", until=T0 - DAY)).entries] == ["e1"]


def test_what_was_in_the_shared_partition_moves_when_its_month_comes(empty_postgres_url):
    class Clock:
        at = T0

        def now(self):
            return self.at

        def monotonic(self):
            return 0.0

    clock = Clock()
    store = PostgresStore(empty_postgres_url, clock=clock)
    store.apply([ended(1, at=T0 + 100 * DAY)])
    assert partitions(store) == {"executions_other"}
    clock.at = T0 + 90 * DAY
    store.apply([ended(2, at=T0 + 100 * DAY)])
    assert partitions(store) == {"executions_other", "executions_2026_04"}
    assert store.count(Filter()) == len(store.find(Filter()).entries) == 2
    store.close()


def test_retention_drops_months_that_are_empty(store):
    store.apply([ended(1), ended(2, at=T0 - 40 * DAY)])
    store.delete(Filter(until=T0 - 10 * DAY), keep_marks=False)
    assert partitions(store) == {"executions_other", "executions_2026_01"}
    store.apply([ended(3, at=T0 - 40 * DAY)])
    assert [one.id for one in store.find(Filter()).entries] == ["e1", "e3"]


def test_what_a_text_cannot_hold_is_mended(store):
    bad = ended(1, name="a\0b", metadata={"text": "\0"}, error=Error("E", "\ud800"), status=Status.FAILED)
    applied = store.apply([ended(0), bad])
    assert (applied.inserted, applied.quarantined) == (2, 0)
    assert "\0" not in store.get("e1").name
    assert store.mended


def test_what_an_index_cannot_take_is_not_tried_again_for_ever(store, monkeypatch):
    monkeypatch.setattr(writing, "check_names", lambda events: None)
    assert store.apply([ended(1), ended(2, subject=LONG), ended(3)]).quarantined == 0


def test_the_doctor_tells_of_a_database_that_takes_no_record(empty_postgres_url, store):
    store.apply([ended(1)])
    before = store.changes(-1)
    assert store.check()["executions"] == "1"
    assert (store.count(Filter()), store.changes(-1)) == (1, before)
    name = empty_postgres_url.rpartition("/")[2]
    with psycopg.connect(empty_postgres_url, autocommit=True) as connection:
        connection.execute(f'alter database "{name}" set default_transaction_read_only = on')
    with closing(PostgresStore(empty_postgres_url)) as read_only:
        assert read_only.count(Filter()) == 1
        with pytest.raises(StoreError, match="read-only transaction"):
            read_only.check()


def test_a_search_is_by_substring_whatever_is_in_it(store):
    store.apply([
        ended(1, status=Status.FAILED, error=Error("E", "100% of disk_1 full\\")),
        ended(2, status=Status.FAILED, error=Error("E", "数据库连接失败")),
    ])  # fmt: skip
    for text, ids in (("100%", ["e1"]), ("disk_1", ["e1"]), ("0_o", []), ("\\", ["e1"]), ("连接", ["e2"])):
        assert [one.id for one in store.find(Filter(text=text)).entries] == ids, text


def test_a_password_is_in_no_message(store):
    assert without_secrets("postgresql://me:geheim@db:5/x?password=geheim") == "postgresql://db:5/x"
    with pytest.raises(StoreError) as refused:
        open_store(f"postgresql://me:geheim@127.0.0.1:{servers.free_port()}/x")
    assert refused.value.retry
    assert "geheim" not in str(refused.value)


def test_the_pages_of_growing_tables_keep_their_plans(store):
    store.apply([
        ended(n, at=T0 + n * SECOND, subject=f"s{n % 50}", status=Status.FAILED if n % 20 == 0 else Status.SUCCEEDED,
              error=Error("E", f"disk {n} full") if n % 20 == 0 else None)
        for n in range(20_000)
    ])  # fmt: skip
    from execlog.store.postgres.query import ask, order
    from execlog.store.postgres.reading import HEAD

    with store.connections.write() as session:
        session.run("analyze")
    questions = {
        "executions_2026_01_kind_subject_namespace_created_at": Filter(kind="job", namespace="", subject="s3"),
        "executions_2026_01_pkey": Filter(since=T0 + 19_000 * SECOND),
        "execution_keys_pkey": Filter(ids=("e7",)),
        "executions_2026_01_searched": Filter(text="disk 40 full"),
        "status": Filter(statuses=(Status.FAILED,)),
    }
    for index, asked in questions.items():
        question = ask(asked)
        named = "find_searched" if question.searched else "find"
        sql = queries("postgres", "read")[named].format(
            head=HEAD, source=question.source, where=question.where, order=order(asked)
        )
        with store.connections.read() as session:
            rows = session.rows("explain " + sql, {**question.bindings, "limit": 50, "offset": 0})
        plan = "\n".join(row[0] for row in rows)
        assert index in plan, plan
        assert "Seq Scan on executions_2026" not in plan, plan


def test_a_server_that_restarts_is_used_again(tmp_path):
    with servers.Postgres() as server, Ledger.open(server.url, home=tmp_path) as ledger:
        ledger.record("before")
        assert ledger.flush()
        server.kill()
        ids = [ledger.record(f"while-{number}") for number in range(100)]
        assert not ledger.flush(0.5)
        server.start()
        assert ledger.flush(20)
        found = {one.id for one in ledger.store.find(Filter(), limit=1000).entries}
        assert set(ids) < found
        assert len(found) == 101


def test_a_server_that_hangs_is_given_up_in_time():
    with servers.Postgres() as server:
        store = PostgresStore(server.url, write_timeout=0.5, read_timeout=0.5)
        store.apply([ended(1)])
        children = [server.process.pid, *_children(server.process.pid)]
        for pid in children:
            os.kill(pid, signal.SIGSTOP)
        try:
            began = time.monotonic()
            with pytest.raises(StoreError) as given_up:
                store.apply([ended(2)])
            assert given_up.value.retry
            assert time.monotonic() - began < 15
        finally:
            for pid in children:
                os.kill(pid, signal.SIGCONT)
        servers.wait_until(lambda: _works(store), 10, "the server's return")
        store.close()


def _children(pid):
    with open(f"/proc/{pid}/task/{pid}/children") as file:  # noqa: PTH123 - a file of the kernel's
        return [int(child) for child in file.read().split()]


def _works(store):
    try:
        return store.apply([ended(2)]).quarantined == 0
    except StoreError:
        return False


def test_what_one_server_writes_another_hears_of(empty_postgres_url, tmp_path):
    heard = threading.Event()
    with (
        Ledger.open(empty_postgres_url, home=tmp_path / "one", drains_home=True) as one,
        Ledger.open(empty_postgres_url, home=tmp_path / "other") as other,
    ):
        before = one.store.changes(-1)
        one.feed.listen(lambda number: heard.set())
        servers.wait_until(lambda: _listens(empty_postgres_url), 10, "listening")
        other.record("elsewhere")
        assert heard.wait(5)
        assert before == []


def _listens(url):
    with psycopg.connect(url) as connection:
        found = connection.execute("select 1 from pg_stat_activity where query = 'select current_schema()'").fetchall()
    return bool(found)


def test_two_writers_lose_and_double_nothing(empty_postgres_url):
    stores = [PostgresStore(empty_postgres_url) for _ in range(2)]

    def write(store, first):
        for start in range(0, 500, 50):
            store.apply([ended(first + start + n, id=f"e{start + n}", rows=1) for n in range(50)])

    threads = [threading.Thread(target=write, args=(store, 1000 * place)) for place, store in enumerate(stores)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    stats = stores[0].stats(Filter())[0].bucket
    assert (stats.succeeded, stats.rows, stores[1].count(Filter())) == (500, 500, 500)
    assert [change.number for change in stores[0].changes(0, limit=1000)] == list(
        range(1, stores[0].changes(-1)[0].number + 1)
    )
    for store in stores:
        store.close()


def test_a_child_of_a_fork_has_connections_of_its_own(store):
    store.apply([ended(1)])
    pid = os.fork()
    if pid == 0:
        try:
            store.apply([ended(2)])
            os._exit(0)
        except BaseException:  # noqa: BLE001 - the parent is told by the exit code
            os._exit(1)
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0
    assert store.count(Filter()) == 2


@pytest.mark.parametrize("farther", [reading.FARTHER, (1, 2, 2**62)])
@pytest.mark.parametrize("sort", ["newest", "oldest"])
def test_a_text_is_found_near_or_far_in_order(store, monkeypatch, sort, farther):
    """Whether it is among the first that have any text or not, with many at one time, page by page."""
    monkeypatch.setattr(reading, "NEAR", 5)
    monkeypatch.setattr(reading, "FARTHER", farther)
    judge = MemoryStore()
    words = ("common", "common rare", "odd")
    told = [
        ended(n, at=T0 + n // 4 * DAY, status=Status.FAILED, error=Error("E", words[n % 7 // 3])) for n in range(60)
    ]
    store.apply(told)
    judge.apply(told)
    window = {"since": T0 + 3 * DAY, "until": T0 + 12 * DAY}
    for text in ("common", "rare", "odd", "none"):
        for asked in (Filter(text=text, sort=sort), Filter(text=text, sort=sort, kind="job", **window)):
            cursor = None
            while True:
                page, wanted = (one.find(asked, limit=4, cursor=cursor) for one in (store, judge))
                beyond, too = (one.find(asked, limit=4, offset=7) for one in (store, judge))
                assert [entry.id for entry in beyond.entries] == [entry.id for entry in too.entries]
                assert [entry.id for entry in page.entries] == [entry.id for entry in wanted.entries]
                cursor = page.next_cursor
                if cursor is None:
                    break
