"""Redis as a store: the scheduler's keys to the letter, and what no crash, no writer and no eviction may break."""

from __future__ import annotations

import json
import math
import random
import threading
from contextlib import closing

import pytest
from redis._parsers import Encoder
from redis.connection import PythonRespSerializer

import servers
from execlog.core.errors import SettingsError, StoreError
from execlog.core.filter import Filter
from execlog.core.model import Error, Event, Item, Key, Status
from execlog.core.settings import Settings
from execlog.store.base import WHOLE
from execlog.store.opening import open_store
from execlog.store.redis.connection import without_secrets
from execlog.store.redis.keys import Keys
from execlog.store.redis.packing import Packer
from execlog.store.redis.store import RedisStore

from .conftest import SECOND, T0, execution

pytestmark = pytest.mark.valkey


def test_a_job_is_kept_in_the_contracts_keys(store, client):
    failed = Item(key="GOOGL", status=Status.FAILED, position=1, error=Error("Timeout", "Connection timeout after 30s"))
    items = (Item(key="AAPL", status=Status.SUCCEEDED), failed)
    store.apply([execution(1, status=Status.PARTIAL, items=items, actor="manual", metadata={"a": 1})])
    record = json.loads(client.get("scheduler:execution_history:exec-1"))
    assert set(record) == {
        "execution_id",
        "job_id",
        "job_name",
        "start_time",
        "end_time",
        "status",
        "fetched_stocks",
        "failed_stocks",
        "errors",
        "total_stocks",
        "duration_seconds",
        "triggered_by",
        "metadata",
    }
    assert record["status"] == "partial_success"
    assert record["errors"] == ["Failed to fetch GOOGL: Connection timeout after 30s"]
    assert record["start_time"] == "2023-11-14T22:13:21"
    assert client.type("scheduler:job_history_index:daily") == "list"
    assert client.lrange("scheduler:job_history_index:daily", 0, -1) == ["exec-1"]
    for key in ("scheduler:execution_history:exec-1", "scheduler:job_history_index:daily"):
        assert 30 * 86_400 - 60 < client.ttl(key) <= 30 * 86_400
    (found,) = store.find(Filter(), parts=WHOLE).entries
    assert [(item.key, item.status) for item in found.items] == [("AAPL", "succeeded"), ("GOOGL", "failed")]
    assert found.metadata == {"a": 1}


def test_a_record_another_program_wrote_is_read(store, client):
    record = {
        "execution_id": "theirs",
        "job_id": "daily",
        "job_name": "Daily",
        "start_time": "2025-10-29T10:00:00",
        "end_time": "2025-10-29T10:05:30",
        "status": "partial_success",
        "fetched_stocks": ["AAPL"],
        "failed_stocks": ["GOOGL"],
        "errors": ["Failed to fetch GOOGL: Connection timeout"],
        "total_stocks": 2,
        "duration_seconds": 330.5,
        "triggered_by": "schedule",
        "metadata": {},
    }
    client.set("scheduler:execution_history:theirs", json.dumps(record))
    client.lpush("scheduler:job_history_index:daily", "theirs")
    (found,) = store.find(Filter(kind="job", namespace="", subject="daily"), parts=WHOLE).entries
    assert (found.status, found.duration, [item.key for item in found.items]) == ("partial", 330.5, ["AAPL", "GOOGL"])
    assert store.get("theirs") == found


def test_a_record_of_others_that_cannot_be_read_hides_no_other(store, client, caplog):
    store.apply([execution(1)])
    for id_, record in (("nan", '{"metadata": {"x": NaN}}'), ("poor", '{"execution_id": "poor"}')):
        client.set(f"scheduler:execution_history:{id_}", record)
        client.lpush("scheduler:job_history_index:daily", id_)
    asked = Filter(kind="job", namespace="", subject="daily")
    for _ in range(2):
        assert [one.id for one in store.find(asked).entries] == ["exec-1"]
    assert store.count(asked) == 1
    assert [line.message.count("cannot be read") for line in caplog.records] == [1, 1]
    with pytest.raises(StoreError, match="scheduler:execution_history:nan cannot be read"):
        store.get("nan")


def test_what_others_wrote_in_our_place_is_theirs(store, client):
    theirs = {"execution_id": "theirs", "job_id": "daily", "job_name": "d", "start_time": "2025-11-22T10:00:00"}
    theirs |= {"status": "success", "metadata": {"execlog": "v1"}}
    client.set("scheduler:execution_history:theirs", json.dumps(theirs))
    client.set("scheduler:execution_history:deep", '{"a":' * 100_000 + "1" + "}" * 100_000)
    client.lpush("scheduler:job_history_index:daily", "deep", "theirs")
    found = store.find(Filter(kind="job", namespace="", subject="daily")).entries
    assert [entry.id for entry in found] == ["theirs"]


def test_what_others_wrote_that_is_no_text_hides_no_other(store, client):
    store.apply([execution(1)])
    whole = client.get("scheduler:execution_history:exec-1").encode()
    client.set("scheduler:execution_history:odd", whole.replace(b"exec-1", b"odd").replace(b'"daily"', b'"da\xffily"'))
    for id_ in ("odd", b"no id \xff"):
        client.lpush("scheduler:job_history_index:daily", id_)
    for _ in range(2):
        assert "exec-1" in [one.id for one in store.find(Filter(kind="job", namespace="", subject="daily")).entries]
    assert "\ufffd" in store.get("odd").subject


def test_a_record_that_is_no_text_can_be_written_again(store, client):
    theirs = {"execution_id": "theirs", "job_id": "daily", "job_name": "XX", "start_time": "2023-11-14T00:00:00"}
    record = json.dumps(theirs | {"status": "running"}).encode().replace(b"XX", b"\xff\xc3\xbc")
    client.set("scheduler:execution_history:theirs", record)
    assert store.get("theirs").name == "\ufffdü"
    said = Event(id="theirs", kind="job", at=SECOND * 1_700_000_000, status=Status.SUCCEEDED, rows=3)
    applied = store.apply([said, execution(1)])
    assert (applied.inserted, applied.updated) == (1, 1)
    assert store.get("theirs").status == Status.SUCCEEDED
    assert "\ufffdü" in client.get("scheduler:execution_history:theirs")


def test_an_index_keeps_the_newest_hundred_and_no_orphans(store, client):
    store.apply([execution(number) for number in range(130)])
    store.apply([execution(500), execution(-1)])
    ids = client.lrange("scheduler:job_history_index:daily", 0, -1)
    assert ids == ["exec-500", *(f"exec-{number}" for number in range(129, 30, -1))]
    kept = {key.rpartition(":")[2] for key in client.scan_iter("scheduler:execution_history:*")}
    assert kept == set(ids)
    assert store.count(Filter()) == 100


def test_a_backlog_finds_its_place_among_a_newer_one_in_few_steps(empty_valkey_url, client, tmp_path):
    dice = random.Random(3)
    ours, theirs = list(range(0, 4_000, 2)), list(range(1, 4_000, 2))
    with closing(RedisStore(empty_valkey_url, Settings(home=tmp_path, redis_history_limit=10_000))) as store:
        store.apply([execution(number) for number in ours])
        client.config_resetstat()
        store.apply([execution(number) for number in theirs])
        looked_at = client.info("commandstats")["cmdstat_zscore"]["calls"]
        assert looked_at < 30 * len(theirs)
        for number in dice.sample(range(4_000), 50):  # and one that begins at another time is moved
            store.apply([execution(number, started_at=T0 + (number + 4_000) * SECOND)])
        expected = client.zrevrange("execlog:order", 0, -1)
    kept = client.lrange("scheduler:job_history_index:daily", 0, -1)
    assert len(kept) == 4_000
    assert kept == [member.partition("\x1f")[0] for member in expected]


def test_saving_again_is_an_update_wherever_it_stands(store, client):
    store.apply([execution(1), execution(2), execution(3)])
    store.apply([execution(2, at=1_800_000_000 * SECOND, rows=7)])
    assert client.lrange("scheduler:job_history_index:daily", 0, -1) == ["exec-3", "exec-2", "exec-1"]
    assert store.get("exec-2").rows == 7


def test_a_deleted_execution_leaves_no_trace_and_stays_deleted(store, client):
    store.apply([execution(1, status=Status.RUNNING, ended_at=None, duration=None), execution(2)])
    assert store.delete(Filter(ids=("exec-1",))) == 1
    assert store.apply([execution(1)]).ignored == 1
    assert client.lrange("scheduler:job_history_index:daily", 0, -1) == ["exec-2"]
    assert client.exists("scheduler:execution_history:exec-1") == 0
    assert client.hlen("execlog:open") == 0


def test_writers_side_by_side_lose_nothing(store, empty_valkey_url, tmp_path):
    def write(writer: int) -> None:
        own = RedisStore(empty_valkey_url, Settings(home=tmp_path))
        for number in range(20):
            item = Item(key=f"{writer}-{number}", status=Status.SUCCEEDED, position=writer * 20 + number)
            own.apply([Event(id="shared", kind="job", at=writer * 100 + number + 1, subject="daily", items=(item,))])
        own.close()

    threads = [threading.Thread(target=write, args=(writer,)) for writer in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert store.get("shared").counts.succeeded == 80


def test_other_kinds_have_the_same_scheme(store, client):
    store.apply([execution(1, kind="query", subject="kdb"), execution(2, kind="workflow", namespace="p1")])
    assert client.lrange("execlog:history_index:query::kdb", 0, -1) == ["exec-1"]
    assert client.exists("execlog:execution_history:workflow:p1:exec-2") == 1
    assert [entry.kind for entry in store.find(Filter()).entries] == ["workflow", "query"]


def test_no_two_executions_share_a_key():
    """Whatever ":" and "%" are in their names; a name without them is in its key as it is."""
    names = [
        Key("k", "a", "b:c"),
        Key("k", "a:b", "c"),
        Key("k:a", "b", "c"),
        Key("k", "a%3Ab", "c"),
        Key("k", "", "a:b"),
    ]
    keys = Keys()
    for name_of in (keys.record, keys.deleted, lambda key: keys.index(*key)):
        assert len({name_of(key) for key in names}) == len(names)
    assert keys.record(names[0]) == "execlog:execution_history:k:a:b:c"


def test_projects_with_a_colon_keep_their_executions_apart(store):
    first, second = (
        Event(id=id_, kind="workflow", namespace=project, at=SECOND, status=Status.SUCCEEDED, name=project, subject="w")
        for project, id_ in (("a", "b:c"), ("a:b", "c"))
    )
    assert [store.apply([event]).inserted for event in (first, second)] == [1, 1]
    assert [store.get(event.id).name for event in (first, second)] == ["a", "a:b"]
    assert store.delete(Filter(namespace="a:b")) == 1
    assert [entry.id for entry in store.find(Filter()).entries] == ["b:c"]


def test_an_eviction_policy_that_loses_records_is_warned_of(store, client):
    assert "warning" not in store.check()
    client.config_set("maxmemory-policy", "allkeys-lru")
    try:
        assert "noeviction" in store.check()["warning"]
    finally:
        client.config_set("maxmemory-policy", "noeviction")


def test_the_doctor_tells_of_a_server_that_takes_no_record(store, client):
    keys = set(client.keys())
    store.check()
    assert set(client.keys()) == keys
    client.config_set("maxmemory", "1")
    try:
        with pytest.raises(StoreError, match="maxmemory"):
            store.check()
    finally:
        client.config_set("maxmemory", "0")


def test_the_doctor_tells_of_a_replica(valkey_url, tmp_path):
    with servers.Valkey({"replicaof": valkey_url.partition("//")[2].partition("/")[0].replace(":", " ")}) as replica:
        with (
            closing(RedisStore(replica.url, Settings(home=tmp_path))) as store,
            pytest.raises(StoreError, match="replica"),
        ):
            store.check()
        replica.ask("CONFIG", "SET", "replica-read-only", "no")
        with closing(RedisStore(replica.url, Settings(home=tmp_path))) as store:
            assert "is a replica" in store.check()["warning"]


@pytest.mark.parametrize(
    "words",
    [
        ("SET", "key", "ä\U0001f600", b"\x00\xff", 7, -1.5, 1e300, "", Status.FAILED),
        ("SCRIPT LOAD", "return 1"),
        (b"EVALSHA", "0" * 40, 0, "x" * 20_000, "y"),
    ],
)
def test_commands_are_packed_as_the_driver_packs_them(words):
    driver = PythonRespSerializer(6000, Encoder("utf-8", "strict", decode_responses=True).encode)
    assert b"".join(Packer().pack(*words)) == b"".join(driver.pack(*words))


@pytest.mark.parametrize("word", [None, True, ["a"]])
def test_what_is_no_word_of_a_command_is_refused(word):
    with pytest.raises(TypeError):
        Packer().pack("SET", "key", word)


@pytest.mark.parametrize(
    ("name", "value"),
    [("redis_ttl", value) for value in (0.0, -5.0, 0.0001, 1e300, math.nan)]
    + [("redis_history_limit", value) for value in (0, -1, 10**12)],
)
def test_settings_that_no_record_could_be_kept_by_are_refused(tmp_path, name, value):
    with pytest.raises(SettingsError, match=rf"{name} is .* from 1 to \d+"):
        RedisStore("redis://127.0.0.1:1/0", Settings(home=tmp_path, **{name: value}))


def test_a_server_that_is_not_there_is_a_clear_error(free_port, tmp_path):
    with pytest.raises(StoreError, match=r"redis://127\.0\.0\.1") as caught:
        open_store(f"redis://:hunter2@127.0.0.1:{free_port}/0", Settings(home=tmp_path))
    assert caught.value.retry
    assert "hunter2" not in str(caught.value)


def test_a_password_is_in_no_message():
    assert without_secrets("redis://me:geheim@db:5/0?password=geheim") == "redis://db:5/0"
    assert without_secrets("redis://db:5/0?password=ge@heim") == "redis://db:5/0"
    with pytest.raises(StoreError) as refused:
        open_store(f"redis://127.0.0.1:{servers.free_port()}/0?password=geheim")
    assert "geheim" not in str(refused.value)
