"""Histories of random steps, and schedulers side by side: every job store does as memory does."""

import os
import re
import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from tempfile import TemporaryDirectory

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from execlog.core.errors import ConflictError, NotFoundError
from execlog.store.job_opening import open_jobs
from execlog.store.memory_jobs import MemoryJobStore
from execlog.store.opening import open_store
from execlog.store.sql import queries
from execlog.store.sqlite.jobs import SqliteJobStore
from job_stores import entry, firing, redis_jobs, step


@settings(max_examples=60, deadline=None)
@given(st.lists(st.sampled_from(["due", "claim", "settle"]), max_size=40), st.sampled_from(["skip", "queue"]))
def test_whatever_happens_one_runs_at_a_time_and_in_order(history, overlap):
    store, started, at = MemoryJobStore(), [], 10
    store.put(entry(next_at=at, due_at=at), expected=None)
    going = []
    for operation in history:
        if operation == "due":
            store.advance([step(was_at=at, next_at=at + 10, firings=(firing(instant=at, overlap=overlap),))])
            at += 10
        elif operation == "claim":
            begun = store.begin(store.claim("h", now=at, lease_until=10**6, limit=3))
            going += begun
            started += [it.instant for it in begun]
        elif going:
            assert store.settle([going.pop()]).ended == 1
        assert len(going) <= 1
    assert started == sorted(set(started))
    waiting = len(store.firings()) - len(going)
    assert len(started) + waiting + store.get("a").skipped == (at - 10) // 10


ids = st.sampled_from(["a", "b"])
times = st.integers(0, 12)
overlaps = st.sampled_from(["skip", "queue", "allow"])
holders = st.sampled_from(["h1", "h2"])
operations = st.one_of(
    st.tuples(st.just("put"), ids, st.booleans(), st.none() | times),
    st.tuples(st.just("advance"), ids, times, overlaps, st.booleans()),
    st.tuples(st.just("enqueue"), ids, times, overlaps, st.booleans()),
    st.tuples(st.just("claim"), holders, times, st.integers(1, 3)),
    st.tuples(st.just("begin"), st.integers(0, 5)),
    st.tuples(st.just("settle"), st.integers(0, 5), st.booleans()),
    st.tuples(st.just("renew"), holders, times),
    st.tuples(st.just("cancel"), ids),
    st.tuples(st.just("remove"), ids),
)


@settings(max_examples=150, deadline=None)
@given(st.lists(operations, max_size=25))
def test_sqlite_agrees_with_memory(history):
    # In memory where there is such a folder: hundreds of histories need no disk.
    folder = "/dev/shm" if os.path.isdir("/dev/shm") else None  # noqa: PTH112 - a text is wanted
    with TemporaryDirectory(dir=folder) as place, closing(SqliteJobStore(f"{place}/jobs.db")) as jobs:
        _compare(MemoryJobStore(), jobs, history)


@pytest.mark.postgres
@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(operations, max_size=25))
def test_postgres_agrees_with_memory(postgres_store, history):
    with postgres_store.connections.write() as session:
        session.run("truncate jobs, firings")
    _compare(MemoryJobStore(), postgres_store.open_jobs(), history)


@pytest.mark.postgres
def test_schedulers_of_many_threads_leave_no_instant_out_and_make_none_twice(postgres_store):
    """Each thread is a scheduler of its own: all of them advance, claim, begin and settle the same jobs."""
    instants, ids = 40, [f"j{number}" for number in range(5)]
    for job_id in ids:
        postgres_store.open_jobs().put(entry(job_id, next_at=0, due_at=0), expected=None)
    begun, lock = [], threading.Lock()

    def work(name):
        jobs, going = postgres_store.open_jobs(), True
        while going:
            due = jobs.due(instants - 1, limit=3).entries
            jobs.advance([onward(it) for it in due])
            mine = jobs.begin(jobs.claim(name, now=instants, lease_until=10**6, limit=3))
            with lock:
                begun.extend(mine)
            jobs.settle(mine)
            going = due or mine or jobs.firings()

    with ThreadPoolExecutor(6) as threads:
        list(threads.map(work, [f"t{number}" for number in range(6)]))
    for job_id in ids:
        assert [it.instant for it in begun if it.job_id == job_id] == list(range(instants))


def onward(kept):
    """The step of a job to its next instant."""
    fired = firing(kept.id, kept.next_at, overlap="queue")
    return step(kept.id, kept.next_at, kept.next_at + 1, firings=(fired,))


@pytest.mark.postgres
def test_a_job_that_another_scheduler_holds_is_passed_over(postgres_store):
    jobs = postgres_store.open_jobs()
    for job_id in ("a", "b"):
        jobs.put(entry(job_id), expected=None)
        jobs.enqueue(firing(job_id))
    with postgres_store.connections.write() as other:
        other.rows("select id from jobs where id = 'a' for update")
        assert [it.job_id for it in jobs.claim("h", now=10, lease_until=20, limit=5)] == ["b"]
    assert [it.job_id for it in jobs.claim("h", now=10, lease_until=20, limit=5)] == ["a"]


@pytest.mark.postgres
def test_postgres_reads_no_whole_table(postgres_store):
    """With `enable_seqscan` off a plan that still walks a table has no index to use."""
    values = {"ids": ["a"], "held": ["a"]} | dict.fromkeys(["steps", "firings"], "[]") | {"dropped": "{}"}
    words = {"id": "a", "job_id": "a", "holder": "h", "before": "", "definition": "{}", "enabled": True}
    with postgres_store.connections.write() as session:
        session.run("set local enable_seqscan = off")
        for name, sql in queries("postgres", "jobs").items():
            if name == "all_firings":
                continue
            names = re.findall(r"%\((\w+)\)s", sql)
            bound = {one: (values | words).get(one, 1) for one in names}
            if name == "count_firings":
                bound["ids"] = "[]"
            plan = [row[0] for row in session.rows(f"explain {sql}", bound)]
            assert not [line for line in plan if re.search(r"Seq Scan on (firings|jobs)", line)], (name, plan)


@pytest.mark.valkey
@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(operations, max_size=25))
def test_redis_agrees_with_memory(valkey, history):
    valkey.ask("FLUSHALL")
    with redis_jobs(valkey.url) as store:
        _compare(MemoryJobStore(), store, history)


@pytest.mark.valkey
@settings(max_examples=20, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(operations, max_size=25))
def test_a_redis_cluster_agrees_with_memory(valkey_cluster, history):
    valkey_cluster.empty()
    with redis_jobs(valkey_cluster.url) as store:
        _compare(MemoryJobStore(), store, history)


@pytest.mark.valkey
@pytest.mark.parametrize("servers", ["empty_valkey_url", "empty_cluster_url"])
def test_schedulers_on_several_connections_fire_each_instant_once(request, servers):
    """Each of them reads the same due jobs and tries to move every one on."""
    url = request.getfixturevalue(servers)
    with redis_jobs(url) as one:
        for number in range(40):
            one.put(entry(f"j{number}", next_at=10, due_at=10), expected=None)
    made, lock = [], threading.Lock()

    def schedule(name):
        with redis_jobs(url) as mine:
            due = mine.due(10, limit=100).entries
            fired = mine.advance([step(found.id) for found in due])
            begun = mine.begin(mine.claim(name, now=10, lease_until=20, limit=100))
        with lock:
            made.append((len(fired), [it.key for it in begun]))

    threads = [threading.Thread(target=schedule, args=(f"host{number}",)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    with redis_jobs(url) as one:
        rest = one.begin(one.claim("last", now=10, lease_until=20, limit=100))
    begun = [key for _, keys in made for key in keys] + [it.key for it in rest]
    assert sum(number for number, _ in made) == 40
    assert len(begun) == len(set(begun)) == 40


@pytest.mark.valkey
def test_a_store_s_jobs_are_where_its_executions_are(empty_valkey_url, tmp_path):
    for url in (empty_valkey_url, f"files:///{tmp_path / 'files'}"):
        for home in ("one", "two"):  # as two hosts have
            store = open_store(url)
            jobs = open_jobs(store, tmp_path / home)
            if home == "one":
                jobs.put(entry(), expected=None)
            assert [found.id for found in jobs.list().entries] == ["a"]
            jobs.close()
            store.close()
    assert not (tmp_path / "one").exists()


def _compare(model, real, history):
    held = []
    for operation in history:
        results = [_apply(store, operation, held) for store in (model, real)]
        assert results[0] == results[1]
        if operation[0] in {"claim", "begin"} and isinstance(results[0], list):
            held = (held + results[0])[-6:]
        assert model.firings() == real.firings()
        assert model.list() == real.list()
        assert model.due(6, limit=5) == real.due(6, limit=5)
        assert model.firings(expired_at=7) == real.firings(expired_at=7)


def _apply(store, operation, held):
    try:
        return _run(store, operation, held)
    except (ConflictError, NotFoundError) as error:
        return str(error)


def _run(store, operation, held):  # noqa: C901, PLR0911 - one case a kind of step
    match operation:
        case ("put", job_id, enabled, at):
            kept = store.get(job_id)
            put = entry(job_id, enabled=enabled, next_at=at, due_at=at, last_at=kept.last_at if kept else None)
            return store.put(put, expected=kept.version if kept else None)
        case ("advance", job_id, at, overlap, claimed):
            kept = store.get(job_id)
            was_at, version = (kept.next_at or 0, kept.version) if kept else (0, 0)
            state = {"state": "claimed", "holder": "h1", "fence": 1, "lease_until": at} if claimed else {}
            firings = (firing(job_id, was_at, overlap=overlap, **state), firing(job_id, at, overlap=overlap, **state))
            made = store.advance([step(job_id, was_at, at, version, firings=firings)])
            return sorted(made, key=lambda it: it.key)
        case ("enqueue", job_id, at, overlap, manual):
            return store.enqueue(firing(job_id, at, overlap=overlap, manual=manual))
        case ("claim", holder, at, limit):
            return store.claim(holder, now=at, lease_until=at + 3, limit=limit)
        case ("begin", place):
            return store.begin(held[place : place + 2])
        case ("settle", place, retry):
            ended = held[place : place + 2]
            follow = [firing(it.job_id, it.instant, attempt=it.attempt + 1, overlap=it.overlap) for it in ended]
            return store.settle(ended, follow=follow if retry else ())
        case ("renew", holder, at):
            return sorted(store.renew(holder, lease_until=at), key=lambda it: it.key)
        case ("cancel", job_id):
            return sorted(store.cancel(job_id), key=lambda it: it.key)
        case ("remove", job_id):
            return store.remove(job_id)
    raise AssertionError(operation)
