"""Redis as a store on a cluster: what no interruption, no node that goes away and no slot that moves may break."""

from __future__ import annotations

import json
import signal
import threading
from collections.abc import Sequence
from contextlib import closing
from itertools import count

import pytest
import redis

import servers
from execlog.core.errors import StoreError
from execlog.core.filter import Filter
from execlog.core.model import Event, Status
from execlog.core.settings import Settings
from execlog.ledger import Ledger
from execlog.store.opening import open_store
from execlog.store.redis import stepwise
from execlog.store.redis.clustering import ClusterConnection
from execlog.store.redis.connecting import connect
from execlog.store.redis.connection import Command
from execlog.store.redis.keys import Keys
from execlog.store.redis.store import RedisStore

pytestmark = pytest.mark.valkey
SECOND = 1_000_000
RECORD, INDEX = "scheduler:execution_history:", "scheduler:job_history_index:"


@pytest.fixture
def client(empty_cluster_url):
    with closing(connect(empty_cluster_url)) as opened:
        yield opened.client


@pytest.fixture
def store(empty_cluster_url, tmp_path):
    opened = RedisStore(empty_cluster_url, Settings(home=tmp_path))
    yield opened
    opened.close()


def execution(number: int, *, subject: str = "daily", **fields) -> Event:
    at = 1_700_000_000 * SECOND + number * SECOND
    said = {"at": at, "status": Status.SUCCEEDED, "started_at": at, "ended_at": at + SECOND, "duration": 1.0}
    return Event(id=f"exec-{number}", kind="job", subject=subject, name=subject, **(said | fields))


def ids(client, subject: str = "daily") -> list[str]:
    return client.lrange(INDEX + subject, 0, -1)


def assert_whole(client) -> set[str]:
    """The ids of all jobs' executions, each of which has its record, and its place in its index and in all else."""
    records = {key.removeprefix(RECORD): client.get(key) for key in client.scan_iter(f"{RECORD}*")}
    indexed = {key.removeprefix(INDEX): client.lrange(key, 0, -1) for key in client.scan_iter(f"{INDEX}*")}
    of_subject = {
        name: [id_ for id_, text in records.items() if json.loads(text)["job_id"] == name] for name in indexed
    }
    assert {name: sorted(found) for name, found in indexed.items()} == {
        name: sorted(found) for name, found in of_subject.items()
    }
    for name, found in indexed.items():
        assert client.zrange(Keys().times(INDEX + name), 0, -1)[::-1] == found
    assert {member.split("\x1f")[0] for member in client.zrange("execlog:{own}:order", 0, -1)} == set(records)
    assert client.hgetall("execlog:{own}:notes") == {}
    return set(records)


def test_the_contracts_keys_lie_in_several_slots_and_the_rest_in_one(store, client):
    store.apply([execution(number, subject=f"job-{number % 2}") for number in range(6)])
    assert assert_whole(client) == {f"exec-{number}" for number in range(6)}
    assert ids(client, "job-1") == ["exec-5", "exec-3", "exec-1"]
    for key in (f"{RECORD}exec-1", f"{INDEX}job-1"):
        assert 30 * 86_400 - 60 < client.ttl(key) <= 30 * 86_400
    assert len({client.keyslot(f"{RECORD}exec-{number}") for number in range(6)}) > 1
    assert len({client.keyslot(key) for key in client.scan_iter("execlog:{own}:*")}) == 1


@pytest.mark.parametrize("key", ["plain", "a{b}c", "a}b", "a{b", "{}x", "{", "}{", "a{}b{c}", "ä}"])
def test_the_times_of_an_index_are_in_its_slot(key):
    assert redis.crc.key_slot(Keys().times(key).encode()) == redis.crc.key_slot(key.encode())


def test_an_index_keeps_the_newest_hundred_and_no_orphans(store, client):
    store.apply([execution(number) for number in range(130)])
    store.apply([execution(500), execution(-1)])
    assert ids(client) == ["exec-500", *(f"exec-{number}" for number in range(129, 30, -1))]
    assert assert_whole(client) == set(ids(client))
    assert store.count(Filter()) == 100


class Interrupt(BaseException):
    """What a kill looks like to the code it strikes."""


def interrupted(monkeypatch, store, at: int, act) -> bool:
    """Whether the act was cut off before its call number `at` to a node that changes something."""
    real, number = store.connection._on, count()

    def on(node: object, commands: Sequence[Command], *, together: bool, write: bool):
        if write and next(number) >= at:
            raise Interrupt
        return real(node, commands, together=together, write=write)

    with monkeypatch.context() as patched:
        patched.setattr(store.connection, "_on", on)
        try:
            act()
        except Interrupt:
            return True
    return False


ACTS = {
    "new": lambda store: store.apply([execution(number, subject=f"job-{number}") for number in range(1, 4)]),
    "changed": lambda store: store.apply([execution(0, at=1_800_000_000 * SECOND, rows=7)]),
    "moved": lambda store: store.apply([execution(0, at=1_800_000_000 * SECOND, subject="elsewhere")]),
    "cut": lambda store: store.apply([execution(number) for number in range(1, 8)]),
    "deleted": lambda store: store.delete(Filter(kind="job")),
}


@pytest.mark.parametrize("name", ACTS)
def test_what_is_interrupted_is_made_good_when_it_is_read(monkeypatch, empty_cluster_url, client, tmp_path, name):
    """Wherever it is cut off: what has its record is found everywhere, and what has not, nowhere."""
    monkeypatch.setattr(stepwise, "STALE", 0.0)
    settings = Settings(home=tmp_path, redis_history_limit=5)
    seen: list[set[str]] = []
    for at in count():
        for node in client.get_primaries():
            client.flushdb(target_nodes=node)
        with closing(RedisStore(empty_cluster_url, settings)) as store:
            store.apply([execution(0), execution(-1)])
            cut = interrupted(monkeypatch, store, at, lambda store=store: ACTS[name](store))
        with closing(RedisStore(empty_cluster_url, settings)) as other:
            listed = {entry.id for entry in other.find(Filter(kind="job")).entries}
        assert assert_whole(client) == listed
        seen.append(listed)
        if not cut:
            break
    assert len(seen) > 3
    before = {"exec-0", "exec--1"}
    after = {
        "new": before | {"exec-1", "exec-2", "exec-3"},
        "cut": {f"exec-{number}" for number in range(3, 8)},
        "deleted": set(),
    }
    assert (seen[0], seen[-1]) == (before, after.get(name, before))


def test_a_repeated_batch_finishes_what_was_interrupted(monkeypatch, store, client):
    """As a drain does that was cut off: nothing is new in it, and nothing is old enough to be left behind."""
    for at in range(1, 4):
        assert interrupted(monkeypatch, store, at, lambda at=at: store.apply([execution(at)]))
        store.apply([execution(at)])
        assert f"exec-{at}" in assert_whole(client)


def test_a_deletion_that_began_is_carried_out(monkeypatch, store, client):
    monkeypatch.setattr(stepwise, "STALE", 0.0)
    running = {"status": Status.RUNNING, "ended_at": None, "duration": None}
    store.apply([execution(1, **running)])
    assert interrupted(monkeypatch, store, 1, lambda: store.delete(Filter(ids=("exec-1",))))
    assert client.exists(f"{RECORD}exec-1")
    assert store.get("exec-1") is None
    assert store.apply([execution(1)]).ignored == 1
    assert assert_whole(client) == set()
    assert store.changes(-1)[-1].deleted


def test_a_writer_that_was_taken_for_gone_leaves_nothing_undone(
    monkeypatch, store, client, empty_cluster_url, tmp_path
):
    """Somebody makes good what it is just about to do; what it does then is found all the same."""
    monkeypatch.setattr(stepwise, "STALE", 0.0)
    real = store.connection._on
    with closing(RedisStore(empty_cluster_url, Settings(home=tmp_path))) as other:

        def on(node: object, commands: Sequence[Command], *, together: bool, write: bool):
            if write and any(f"{RECORD}exec-1" in command for command in commands):
                other.find(Filter())
            return real(node, commands, together=together, write=write)

        monkeypatch.setattr(store.connection, "_on", on)
        store.apply([execution(1)])
    assert assert_whole(client) == {"exec-1"}


def test_writers_side_by_side_lose_nothing(client, empty_cluster_url, tmp_path):
    def write(writer: int) -> None:
        with closing(RedisStore(empty_cluster_url, Settings(home=tmp_path))) as own:
            for number in range(12):
                own.apply([execution(0, at=writer * 100 + number + 1, tags={f"{writer}-{number}": "x"})])
                own.apply([execution(writer * 100 + number + 1)])

    threads = [threading.Thread(target=write, args=(writer,)) for writer in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(assert_whole(client)) == 37


def test_scripts_that_a_node_has_forgotten_are_loaded_again(store, client):
    client.script_flush()
    store.apply([execution(1), execution(2, subject="other")])
    assert assert_whole(client) == {"exec-1", "exec-2"}


def test_a_slot_that_moves_is_followed(store, client, valkey_cluster):
    key = f"{RECORD}exec-1"
    slot, source = str(client.keyslot(key)), client.get_node_from_key(key).port
    by_port = {node.port: node for node in valkey_cluster.masters}
    old = by_port.pop(source)
    new = next(iter(by_port.values()))
    names = {node: node.text("CLUSTER", "MYID") for node in (old, new)}
    new.ask("CLUSTER", "SETSLOT", slot, "IMPORTING", names[old])
    old.ask("CLUSTER", "SETSLOT", slot, "MIGRATING", names[new])
    try:
        store.apply([execution(1)])
        assert new.ask("CLUSTER", "COUNTKEYSINSLOT", slot) == ":1"
        for node in (new, old):
            node.ask("CLUSTER", "SETSLOT", slot, "NODE", names[new])
        store.apply([execution(1, at=1_800_000_000 * SECOND, rows=7)])
        assert store.get("exec-1").rows == 7
    finally:
        new.ask("FLUSHALL")
        for node in (old, new):
            node.ask("CLUSTER", "SETSLOT", slot, "STABLE")
            node.ask("CLUSTER", "SETSLOT", slot, "NODE", names[old])


def test_a_cluster_is_found_through_any_of_its_nodes(valkey_cluster, valkey_url, free_port, tmp_path):
    settings = Settings(home=tmp_path)
    last = valkey_cluster.nodes[-1].port
    dead = f"127.0.0.1:{free_port}"
    for url in (
        f"redis://127.0.0.1:{last}/0",
        f"redis+cluster://{dead},127.0.0.1:{last}",
        f"redis://{dead},127.0.0.1:{last}/0",
    ):
        with closing(open_store(url, settings)) as store:
            assert isinstance(store.connection, ClusterConnection)
            assert store.check()["cluster"] == "3 masters, 3 replicas"
            assert store.url == url
    with pytest.raises(StoreError, match="not a node of a cluster") as caught:
        open_store(valkey_url.replace("redis://", "redis+cluster://:hunter2@"), settings)
    assert not caught.value.retry
    with pytest.raises(StoreError, match=dead) as caught:
        open_store(f"redis+cluster://:hunter2@{dead},{dead}", settings)
    assert "hunter2" not in str(caught.value)


def test_a_node_that_may_lose_what_it_holds_is_named(store, valkey_cluster):
    first, second, third = valkey_cluster.masters
    try:
        for node in (second, third):
            node.ask("CONFIG", "SET", "appendonly", "yes")
        third.ask("CONFIG", "SET", "maxmemory-policy", "allkeys-lru")
        first_said, third_said = store.check()["warning"].split("; 127.0.0.1")
        assert f"127.0.0.1:{first.port} has no append-only file" in first_said
        assert third_said.startswith(f":{third.port} has maxmemory-policy allkeys-lru")
        assert str(second.port) not in first_said + third_said
    finally:
        third.ask("CONFIG", "SET", "maxmemory-policy", "noeviction")
        for node in (second, third):
            node.ask("CONFIG", "SET", "appendonly", "no")


@pytest.fixture
def cluster():
    """A cluster of one test, whose nodes it may stop."""
    try:
        made = servers.ValkeyCluster()
    except servers.MissingServerError as missing:
        pytest.skip(str(missing))
    with made:
        yield made


def master_of(cluster: servers.ValkeyCluster, store: RedisStore, key: str) -> servers.ValkeyNode:
    port = store.connection.client.get_node_from_key(key).port
    return next(node for node in cluster.nodes if node.port == port)


def replica_of(cluster: servers.ValkeyCluster, master: servers.ValkeyNode) -> servers.ValkeyNode:
    name = master.text("CLUSTER", "MYID")
    return next(node for node in cluster.nodes if f"myself,slave {name}" in node.text("CLUSTER", "NODES"))


def applied(store: RedisStore, events: list[Event]) -> bool:
    """Whether the store took them: until all nodes have heard who took over, one may lead to the one that is gone."""
    try:
        store.apply(events)
    except StoreError:
        return False
    return True


def test_a_master_that_dies_costs_nothing_that_was_accepted(cluster, tmp_path):
    """Its replica takes over while a recorder records; meanwhile answers are errors that can be tried again."""
    settings = Settings(home=tmp_path, store=cluster.url, redis_history_limit=1_000_000)
    stop, told, refused = threading.Event(), [], []
    with Ledger.open(settings=settings) as ledger:

        def record() -> None:
            for number in count():
                told.append(ledger.record(f"job-{number % 7}", kind="job", subject=f"job-{number % 7}"))
                if stop.wait(0.001):
                    return

        recording = threading.Thread(target=record)
        recording.start()
        servers.wait_until(lambda: ledger.stats().stored > 200, 30, "the first records")
        master = master_of(cluster, ledger.store, "execlog:{own}:order")
        replica = replica_of(cluster, master)
        master.kill()
        while not replica.says("role:master", "cluster_state:ok"):
            try:
                ledger.store.count(Filter(kind="job"))
            except StoreError as error:
                refused.append(error)
        stored = ledger.stats().stored
        servers.wait_until(lambda: ledger.stats().stored > stored, 30, "records after it")
        stop.set()
        recording.join()
        assert ledger.flush(60)
        stats = ledger.stats()
        assert (stats.accepted, stats.stored, sum(stats.dropped.values())) == (len(told), len(told), 0)
        assert refused
        assert all(error.retry for error in refused)
        assert ledger.store.count(Filter(kind="job")) == len(told)
        assert assert_whole(ledger.store.connection.client) == set(told)
        changes = [change.id for after in range(0, 10**6, 1000) for change in ledger.store.changes(after) or ()]
        assert set(told) <= set(changes)


def test_nothing_counts_as_kept_that_a_replica_did_not_get(cluster, tmp_path):
    """It would be gone with its master: the replica that takes over never had it."""
    with closing(RedisStore(cluster.url, Settings(home=tmp_path), timeout=1.0)) as store:
        store.apply([execution(1)])
        master = master_of(cluster, store, f"{RECORD}exec-2")
        replica = replica_of(cluster, master)
        replica.process.send_signal(signal.SIGSTOP)
        with pytest.raises(StoreError, match=f"{master.port} does not keep up") as caught:
            store.apply([execution(2)])
        assert caught.value.retry
        master.kill()
        replica.process.send_signal(signal.SIGCONT)
        servers.wait_until(lambda: applied(store, [execution(2)]), 30, "a replica taking over")
        assert replica.says("role:master")
        assert {entry.id for entry in store.find(Filter()).entries} == {"exec-1", "exec-2"}


def test_a_node_that_hangs_is_given_up_and_a_cluster_that_is_away_found_again(cluster, tmp_path):
    with closing(RedisStore(cluster.url, Settings(home=tmp_path), timeout=0.5)) as store:
        store.apply([execution(1)])
        master = master_of(cluster, store, f"{RECORD}exec-1")
        master.process.send_signal(signal.SIGSTOP)
        try:
            with pytest.raises(StoreError, match="Timeout") as caught:
                store.apply([execution(1, rows=1)])
            assert caught.value.retry
        finally:
            master.process.send_signal(signal.SIGCONT)
        for node in cluster.nodes:
            node.kill()
        for number in range(2 * len(cluster.nodes)):
            assert not applied(store, [execution(number)])
            with pytest.raises(StoreError):
                store.count(Filter())
        for node in cluster.nodes:
            node.start()
        servers.wait_until(lambda: applied(store, [execution(2)]), 30, "finding the cluster again")
        assert store.get("exec-2") is not None
