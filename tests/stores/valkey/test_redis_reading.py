"""What a question reads of a history in Redis, and how long it may take: no more than is meant, and not for ever."""

from __future__ import annotations

import json
from contextlib import closing
from itertools import islice
from typing import Any

import msgspec
import pytest

from execlog.core.errors import StoreError
from execlog.core.filter import Filter
from execlog.core.model import Key, Status
from execlog.core.settings import Settings
from execlog.history.statistics import Open, statistics
from execlog.store.redis import reading
from execlog.store.redis.store import RedisStore

from .conftest import SECOND, T0, execution

pytestmark = pytest.mark.valkey


def test_what_outlived_its_time_is_forgotten_by_lists(store, client):
    store.apply([execution(1), execution(2)])
    client.delete("scheduler:execution_history:exec-1")
    assert [entry.id for entry in store.find(Filter()).entries] == ["exec-2"]
    assert client.zcard("execlog:order") == 1


def test_more_of_one_instant_than_are_read_at_once_are_all_found_and_removed(store):
    store.apply([execution(number, subject=f"job-{number % 7}", started_at=T0) for number in range(700)])
    expected = sorted((f"exec-{number}" for number in range(700)), reverse=True)
    pages = [store.find(Filter(sort=sort), limit=1000).entries for sort in ("newest", "oldest")]
    assert [entry.id for entry in pages[0]] == expected
    assert [entry.id for entry in pages[1]] == expected[::-1]
    assert store.delete(Filter()) == 700
    assert store.count(Filter()) == 0


@pytest.fixture
def records_read(client):
    """How many records a question read."""

    def count(ask) -> int:
        client.config_resetstat()
        ask()
        calls = client.info("commandstats")
        others = ("zrevrangebyscore", "zrangebyscore", "zrange", "zmscore", "lrange", "smembers", "exists")
        return client.info("stats")["keyspace_hits"] - sum(
            calls.get(f"cmdstat_{name}", {"calls": 0})["calls"] for name in others
        )

    return count


@pytest.mark.parametrize(
    ("ask", "most"),
    [
        (lambda store: store.find(Filter(), limit=1), 2),
        (lambda store: store.find(Filter(kind="query")), 3),
        (lambda store: store.find(Filter(namespace="p1")), 3),
        (lambda store: store.find(Filter(id_prefix="exec-77")), 11),
        (lambda store: store.count(Filter(kind="query", text="refused")), 3),
        (lambda store: store.stats(Filter(kind="query")), 3),
        (lambda store: store.latest(Filter(), limit=5), 200),
        (lambda store: store.kinds(), 0),
        (lambda store: store.find(Filter(subject="job-7")), 100),
        (lambda store: store.stats(Filter(kind="job", subject="job-7")), 100),
        (lambda store: store.find(Filter(subject="job-700")), 1),
    ],
    ids=[
        "newest",
        "kind",
        "namespace",
        "beginning of an id",
        "count",
        "statistics",
        "latest",
        "kinds",
        "subject",
        "subject of a kind",
        "no subject",
    ],
)
def test_no_more_records_are_read_than_may_be_meant(store, records_read, ask, most):
    store.apply([execution(number, kind="query", namespace="p1") for number in (1, 500, 900)])
    store.apply([execution(number, subject=f"job-{number % 20}") for number in range(1000)])
    assert records_read(lambda: ask(store)) <= most


def test_what_names_tell_is_counted_without_reading(store, client):
    store.apply([execution(number, kind="query", namespace="p1") for number in range(60)])
    store.apply([execution(number, subject=f"job-{number % 20}") for number in range(1000)])
    client.delete("scheduler:execution_history:exec-5")
    client.config_resetstat()
    assert store.count(Filter()) == 1059
    assert store.count(Filter(kind="query")) == 60
    assert store.count(Filter(kind="job", since=T0 + 4 * SECOND, until=T0 + 8 * SECOND)) == 3
    assert "cmdstat_mget" not in client.info("commandstats")
    assert store.kinds() == ["job", "query"]


def test_of_a_long_index_no_more_is_read_than_is_asked_for(empty_valkey_url, client, records_read, tmp_path):
    with closing(RedisStore(empty_valkey_url, Settings(home=tmp_path, redis_history_limit=10_000))) as store:
        store.apply([execution(number) for number in range(3000)])
        theirs = json.loads(client.get("scheduler:execution_history:exec-7"))
        theirs |= {"execution_id": "theirs", "start_time": "2023-11-14T22:30:00.500000", "metadata": {}}
        client.set("scheduler:execution_history:theirs", json.dumps(theirs))
        client.lpush("scheduler:job_history_index:daily", "theirs")
        in_order = [f"exec-{number}" for number in range(3000)]
        in_order.insert(1001, "theirs")
        job = Filter(kind="job", namespace="", subject="daily")
        assert records_read(lambda: store.find(job, limit=1)) <= 10
        for sort in ("newest", "oldest", "slowest"):
            asked = msgspec.structs.replace(job, sort=sort)
            ids, cursor = [], None
            while cursor is not None or not ids:
                page = store.find(asked, limit=1000, cursor=cursor)
                ids += [entry.id for entry in page.entries]
                cursor = page.next_cursor
            assert sorted(ids) == sorted(in_order)
            if sort != "slowest":
                assert ids == (in_order if sort == "oldest" else in_order[::-1])
        assert store.count(job) == 3001


def test_what_ran_inside_and_what_retried_is_found_by_the_id_of_the_other(store, client, records_read):
    store.apply([execution(number, subject=f"job-{number % 10}") for number in range(500)])
    inside = [execution(number, parent_id="exec-3", kind="query", namespace="p1") for number in range(600, 603)]
    store.apply([*inside, execution(700, subject="job-7", root_id="exec-7", retry_of="exec-7")])
    assert store.delete(Filter(ids=("exec-601",))) == 1
    found = store.find(Filter(parent_id="exec-3"))
    assert [entry.id for entry in found.entries] == ["exec-602", "exec-600"]
    page = store.find(Filter(parent_id="exec-3", sort="oldest"), limit=1)
    assert [entry.id for entry in page.entries] == ["exec-600"]
    following = store.find(Filter(parent_id="exec-3", sort="oldest"), cursor=page.next_cursor)
    assert [entry.id for entry in following.entries] == ["exec-602"]
    assert [entry.id for entry in store.find(Filter(root_id="exec-7", kind="job", namespace="")).entries] == [
        "exec-700"
    ]
    assert store.count(Filter(parent_id="exec-3", statuses=(Status.FAILED,))) == 0
    assert records_read(lambda: store.find(Filter(parent_id="exec-3"))) <= 5
    assert records_read(lambda: store.find(Filter(root_id="exec-8"))) <= 1


def test_what_was_kept_before_such_were_noted_is_found_as_well(store, client):
    store.apply([execution(number, parent_id=f"parent-{number % 2}") for number in range(4)])
    client.delete("execlog:kin", "execlog:kin:parent-0", "execlog:kin:parent-1")
    store.apply([execution(number, parent_id=f"parent-{number % 2}") for number in (0, 4)])
    for number in (0, 1):
        expected = [f"exec-{other}" for other in (4, 3, 2, 1, 0) if other % 2 == number]
        found = store.find(Filter(parent_id=f"parent-{number}")).entries
        assert [entry.id for entry in found] == expected
        until = store.find(Filter(parent_id=f"parent-{number}", until=T0 + 3 * SECOND)).entries
        assert [entry.id for entry in until] == [id_ for id_ in expected if id_ < "exec-3"]


def test_a_subject_is_found_in_all_its_kinds_and_namespaces(store, client):
    spaces = [("job", ""), ("query", ""), ("workflow", "p1"), ("workflow", "p2")]
    for kind, namespace in spaces:
        same = [execution(number, kind=kind, namespace=namespace) for number in range(60)]
        store.apply([*same, execution(90, kind=kind, namespace=namespace, subject="other")])
    theirs = json.loads(client.get("scheduler:execution_history:exec-7")) | {"execution_id": "theirs", "metadata": {}}
    client.set("scheduler:execution_history:theirs", json.dumps(theirs))
    client.lpush("scheduler:job_history_index:daily", "theirs")
    expected = [Key(kind, namespace, f"exec-{number}") for number in range(60) for kind, namespace in spaces]
    expected.sort(key=lambda key: (int(key.id[5:]), key.kind, key.namespace), reverse=True)
    found, cursor = [], None
    while cursor is not None or not found:
        page = store.find(Filter(subject="daily"), limit=50, cursor=cursor)
        found += [entry.key for entry in page.entries]
        cursor = page.next_cursor
    assert found == expected
    assert store.count(Filter(subject="daily", kind="workflow")) == 120
    assert store.count(Filter(subject="daily", namespace="p2", since=T0 + 50 * SECOND)) == 10
    assert store.count(Filter(subject="daily", kind="job", namespace="")) == 61


def test_what_is_open_is_counted_in_one_walk(store, client):
    is_open: dict[str, Any] = {"ended_at": None, "duration": None}
    store.apply([execution(number, status=Status.RUNNING, **is_open) for number in range(3)])
    store.apply([execution(number, status=Status.QUEUED, **is_open) for number in range(3, 5)])
    store.apply([execution(number) for number in range(5, 9)])
    client.config_resetstat()
    found = statistics(store, Filter())
    assert (found.overall.total, found.open.running, found.open.queued) == (4, 3, 2)
    assert client.info("commandstats")["cmdstat_mget"]["calls"] == 2
    assert statistics(store, Filter(statuses=(Status.QUEUED,))).open == Open(queued=2, running=0)
    assert statistics(store, Filter(statuses=(Status.FAILED,))).open == Open(queued=0, running=0)


def test_so_many_long_walks_go_on_at_once_that_others_get_their_answers(empty_valkey_url, tmp_path, monkeypatch):
    monkeypatch.setattr(reading, "LONG", 100)
    with closing(RedisStore(empty_valkey_url, Settings(home=tmp_path), timeout=0.5)) as store:
        store.apply([execution(number, subject=f"job-{number % 10}") for number in range(600)])
        walks = [store._reader.matching(Filter()) for _ in range(reading.WALKS)]
        assert [len(list(islice(walk, 500))) for walk in walks] == [500] * reading.WALKS
        with pytest.raises(StoreError, match="go on already") as refused:
            store.stats(Filter())
        assert refused.value.retry
        assert len(store.find(Filter(), limit=50).entries) == 50
        assert store.count(Filter(kind="job", namespace="", subject="job-1")) == 60
        assert store.delete(Filter(until=T0 + SECOND)) == 1
        del walks[0]
        assert store.stats(Filter())[0].bucket.total == 599
        assert store.stats(Filter())[0].bucket.total == 599


def test_a_walk_that_takes_too_long_is_an_error_and_a_deletion_is_not(empty_valkey_url, tmp_path):
    with closing(RedisStore(empty_valkey_url, Settings(home=tmp_path), read_timeout=-1.0)) as store:
        store.apply([execution(number) for number in range(30)])
        for ask in (store.find, store.count, store.stats, store.latest, store.failures):
            with pytest.raises(StoreError, match="longer than its time-out"):
                ask(Filter())
        assert len(store.find(Filter(kind="job", namespace="", subject="daily")).entries) == 30
        assert store.delete(Filter(until=T0 + 10 * SECOND)) == 10
