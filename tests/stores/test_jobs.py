"""The suite every job store passes, and what only the store in SQLite can get wrong."""

import os
import re
import threading

import pytest
from msgspec.structs import replace

from execlog.core.errors import ConflictError, InvalidError, NotFoundError, StoreError
from execlog.store.jobs import MAX_WAITING
from execlog.store.memory_jobs import MemoryJobStore
from execlog.store.sql import queries
from execlog.store.sqlite.jobs import SqliteJobStore
from job_stores import entry, firing, redis_jobs, step


@pytest.fixture(
    params=[
        "memory",
        "sqlite",
        pytest.param("redis", marks=pytest.mark.valkey),
        pytest.param("cluster", marks=pytest.mark.valkey),
        pytest.param("postgres", marks=pytest.mark.postgres),
    ]
)
def jobs(request, tmp_path):
    if request.param in {"redis", "cluster"}:
        url = {"redis": "empty_valkey_url", "cluster": "empty_cluster_url"}[request.param]
        with redis_jobs(request.getfixturevalue(url)) as store:
            yield store
        return
    if request.param == "memory":
        store = MemoryJobStore()
    elif request.param == "sqlite":
        store = SqliteJobStore(tmp_path / "jobs.db")
    else:
        store = request.getfixturevalue("postgres_store").open_jobs()
    yield store
    store.close()


def test_a_job_comes_back_as_it_was_put(jobs):
    wanted = entry("ä/1", definition={"x": [1, {"y": None}]}, enabled=False, next_at=5, due_at=6, last_at=4, skipped=3)
    kept = jobs.put(wanted, expected=None)
    assert kept.version == 1
    assert jobs.get("ä/1") == kept
    assert jobs.get("other") is None


def test_putting_compares_versions(jobs):
    first = jobs.put(entry(), expected=None)
    with pytest.raises(ConflictError, match="already"):
        jobs.put(entry(), expected=None)
    second = jobs.put(entry(definition={"name": "b"}), expected=first.version)
    assert second.version == 2
    with pytest.raises(ConflictError, match="version 2 by now, not 1"):
        jobs.put(entry(), expected=1)
    assert jobs.get("a").definition == {"name": "b"}
    with pytest.raises(NotFoundError):
        jobs.put(entry("gone"), expected=1)


def test_a_job_that_ran_since_it_was_read_is_not_put_back(jobs):
    kept = jobs.put(entry(next_at=10, due_at=10), expected=None)
    jobs.advance([step(skipped=3)])
    with pytest.raises(ConflictError, match="ran meanwhile"):
        jobs.put(kept, expected=kept.version)
    fresh = jobs.get("a")
    assert jobs.put(replace(fresh, enabled=False, skipped=0), expected=1).skipped == 3
    assert (jobs.get("a").next_at, jobs.get("a").last_at) == (20, 10)


def test_jobs_are_listed_newest_first_page_by_page(jobs):
    for number in range(7):
        jobs.put(entry(f"j{number}", created_at=number // 2), expected=None)
    seen, cursor = [], None
    while True:
        page = jobs.list(limit=3, cursor=cursor)
        seen += [found.id for found in page.entries]
        cursor = page.next_cursor
        if cursor is None:
            break
    assert seen == ["j6", "j5", "j4", "j3", "j2", "j1", "j0"]
    for bad in ("x", "12", "9" * 30 + ".a", "٣.a"):
        with pytest.raises(InvalidError, match="cursor"):
            jobs.list(cursor=bad)


def test_due_jobs_come_most_overdue_first_with_the_time_to_look_again(jobs):
    jobs.put(entry("late", next_at=5, due_at=5), expected=None)
    jobs.put(entry("later", next_at=2, due_at=8), expected=None)
    jobs.put(entry("future", next_at=50, due_at=50), expected=None)
    jobs.put(entry("paused", next_at=1, due_at=1, enabled=False), expected=None)
    jobs.put(entry("unscheduled"), expected=None)
    due = jobs.due(10, limit=10)
    assert [found.id for found in due.entries] == ["late", "later"]
    assert due.wake_at == 50
    jobs.enqueue(firing("unscheduled", 30))
    assert jobs.due(10, limit=1).wake_at == 30
    assert [found.id for found in jobs.due(10, limit=1).entries] == ["late"]


def test_only_one_of_two_schedulers_advances_a_job(jobs):
    jobs.put(entry(next_at=10, due_at=10), expected=None)
    assert [made.instant for made in jobs.advance([step()])] == [10]
    assert jobs.advance([step()]) == []
    assert (jobs.get("a").next_at, jobs.get("a").last_at) == (20, 10)


def test_a_job_changed_or_paused_meanwhile_is_not_advanced(jobs):
    kept = jobs.put(entry(next_at=10, due_at=10), expected=None)
    jobs.put(entry(next_at=10, due_at=10, enabled=False), expected=kept.version)
    assert jobs.advance([step()]) == []
    assert jobs.advance([step(version=2)]) == []
    jobs.put(entry(next_at=10, due_at=10), expected=2)
    assert len(jobs.advance([step(version=3)])) == 1


@pytest.mark.parametrize(("overlap", "made", "skipped"), [("skip", 1, 2), ("queue", 3, 0), ("allow", 3, 0)])
def test_overlapping_firings_follow_their_policy(jobs, overlap, made, skipped):
    jobs.put(entry(next_at=10, due_at=10), expected=None)
    wanted = tuple(firing(instant=at, overlap=overlap, state="claimed", holder="h", fence=1) for at in (10, 11, 12))
    got = jobs.advance([step(firings=wanted)])
    assert len(got) == made
    states = sorted(it.state for it in got)
    assert (
        states == {"skip": ["claimed"], "queue": ["claimed", "waiting", "waiting"], "allow": ["claimed"] * 3}[overlap]
    )
    assert jobs.get("a").skipped == skipped


def test_the_line_of_waiting_firings_has_an_end(jobs):
    jobs.put(entry(next_at=10, due_at=10), expected=None)
    wanted = tuple(firing(instant=10 + number, overlap="queue") for number in range(MAX_WAITING + 5))
    assert len(jobs.advance([step(firings=wanted)])) == MAX_WAITING
    assert jobs.get("a").skipped == 5


def test_a_claim_is_begun_once_and_only_with_its_fence(jobs):
    jobs.put(entry(), expected=None)
    jobs.enqueue(firing())
    (first,) = jobs.claim("one", now=10, lease_until=20, limit=5)
    assert (first.state, first.holder, first.fence) == ("claimed", "one", 1)
    assert jobs.claim("two", now=20, lease_until=40, limit=5) == []
    (second,) = jobs.claim("two", now=21, lease_until=40, limit=5)
    assert second.fence == 2
    assert jobs.begin([first]) == []
    assert [begun.state for begun in jobs.begin([second])] == ["started"]
    assert jobs.begin([second]) == []
    assert jobs.claim("three", now=1000, lease_until=2000, limit=5) == []


def test_what_started_and_lost_its_lease_is_told_not_run_again(jobs):
    jobs.put(entry(), expected=None)
    jobs.enqueue(firing())
    begun = jobs.begin(jobs.claim("one", now=10, lease_until=20, limit=5))
    assert jobs.firings(expired_at=20) == []
    assert [it.key for it in jobs.firings(expired_at=21)] == [begun[0].key]
    jobs.renew("one", lease_until=100)
    assert jobs.firings(expired_at=21) == []
    assert [it.key for it in jobs.firings(expired_at=101, job_id="a")] == [begun[0].key]
    assert jobs.firings(expired_at=101, job_id="b") == []


def test_settling_needs_the_fence_and_makes_the_retry_in_the_same_step(jobs):
    jobs.put(entry(), expected=None)
    jobs.enqueue(firing(overlap="skip"))
    (stale,) = jobs.claim("one", now=10, lease_until=20, limit=5)
    (mine,) = jobs.begin(jobs.claim("two", now=30, lease_until=60, limit=5))
    retry = firing(
        attempt=2, due_at=90, execution_id="r", retry_of="a-10", root_id="a-10", items=("X",), overlap="skip"
    )
    assert jobs.settle([stale], follow=[retry]) == (0, [])
    assert jobs.settle([mine], follow=[retry]) == (1, [retry])
    assert jobs.settle([mine], follow=[retry]) == (0, [])
    assert jobs.firings(job_id="a") == [retry]
    assert jobs.due(0, limit=1).wake_at == 90
    assert jobs.claim("two", now=89, lease_until=99, limit=5) == []
    (claimed,) = jobs.claim("two", now=90, lease_until=99, limit=5)
    assert (claimed.items, claimed.retry_of, claimed.attempt) == (("X",), "a-10", 2)


def test_queued_firings_run_one_after_another_in_order(jobs):
    jobs.put(entry(), expected=None)
    for instant in (10, 11, 12):
        jobs.enqueue(firing(instant=instant, overlap="queue"))
    order = []
    for _ in range(3):
        claimed = jobs.claim("h", now=100, lease_until=200, limit=5)
        assert len(claimed) == 1
        assert jobs.claim("h", now=100, lease_until=200, limit=5) == []
        order.append(claimed[0].instant)
        assert jobs.settle(jobs.begin(claimed)).ended == 1
    assert order == [10, 11, 12]


def test_asking_for_a_run_now_respects_the_overlap(jobs):
    with pytest.raises(NotFoundError):
        jobs.enqueue(firing())
    jobs.put(entry(), expected=None)
    assert jobs.enqueue(firing(overlap="skip")).instant == 10
    with pytest.raises(ConflictError, match="is running"):
        jobs.enqueue(firing(overlap="skip", execution_id="x"))
    assert jobs.enqueue(firing(overlap="allow", execution_id="y")).instant == 11
    assert jobs.enqueue(firing(overlap="allow", execution_id="z")).instant == 12


def test_a_line_that_is_full_is_no_reason_to_let_the_job_queue(jobs):
    jobs.put(entry(), expected=None)
    for number in range(MAX_WAITING):
        jobs.enqueue(firing(instant=number, overlap="queue", execution_id=f"e{number}"))
    with pytest.raises(ConflictError, match=f"{MAX_WAITING} runs of job 'a' wait in line already"):
        jobs.enqueue(firing(instant=1000, overlap="queue", execution_id="x"))


def test_a_firing_that_waits_in_line_waits_for_one_that_need_not(jobs):
    """The job's overlap was changed in between, and both are due at once."""
    jobs.put(entry(), expected=None)
    jobs.enqueue(firing(instant=10, overlap="allow"))
    jobs.enqueue(firing(instant=11, overlap="queue", execution_id="x"))
    (first,) = jobs.claim("h", now=100, lease_until=200, limit=5)
    assert first.instant == 10
    assert jobs.claim("h", now=100, lease_until=200, limit=5) == []
    assert jobs.settle(jobs.begin([first])).ended == 1
    assert [it.instant for it in jobs.claim("h", now=100, lease_until=200, limit=5)] == [11]


def test_a_paused_job_runs_only_what_was_asked_for_by_hand(jobs):
    jobs.put(entry(enabled=False), expected=None)
    jobs.enqueue(firing(instant=10, overlap="queue"))
    jobs.enqueue(firing(instant=11, overlap="queue", manual=True))
    assert [it.instant for it in jobs.claim("h", now=100, lease_until=200, limit=5)] == [11]


def test_cancelling_removes_what_waits_and_flags_what_runs(jobs):
    jobs.put(entry(), expected=None)
    jobs.enqueue(firing(instant=10))
    (running,) = jobs.begin(jobs.claim("h", now=10, lease_until=20, limit=1))
    jobs.enqueue(firing(instant=11))
    assert [(it.instant, it.state) for it in jobs.cancel("a")] == [(10, "started"), (11, "waiting")]
    assert [it.key for it in jobs.firings()] == [running.key]
    assert [it.key for it in jobs.renew("h", lease_until=30)] == [running.key]
    assert jobs.renew("other", lease_until=30) == []


def test_a_claim_that_was_cancelled_says_so_when_it_begins(jobs):
    jobs.put(entry(), expected=None)
    jobs.enqueue(firing())
    claimed = jobs.claim("h", now=10, lease_until=20, limit=1)
    jobs.cancel("a")
    assert [it.cancel for it in jobs.begin(claimed)] == [True]


def test_what_was_cancelled_is_not_retried_even_if_it_ended_before_it_heard_of_that(jobs):
    jobs.put(entry(), expected=None)
    jobs.enqueue(firing())
    begun = jobs.begin(jobs.claim("h", now=10, lease_until=20, limit=1))
    jobs.cancel("a")
    assert jobs.settle(begun, follow=[firing(attempt=2)]) == (1, [])
    assert jobs.firings() == []


def test_a_removed_job_takes_along_what_waits_and_cancels_what_runs(jobs):
    jobs.put(entry(), expected=None)
    jobs.enqueue(firing(instant=10))
    begun = jobs.begin(jobs.claim("h", now=10, lease_until=20, limit=1))
    jobs.enqueue(firing(instant=11))
    assert [(it.instant, it.state) for it in jobs.remove("a")] == [(10, "started"), (11, "waiting")]
    assert jobs.remove("a") is None
    assert jobs.get("a") is None
    assert [it.key for it in jobs.firings()] == [begun[0].key]
    assert [it.key for it in jobs.renew("h", lease_until=30)] == [begun[0].key]
    assert jobs.settle(begun, follow=[firing(attempt=2)]) == (1, [])
    assert jobs.firings() == []


def test_many_threads_claim_each_firing_once(jobs):
    for number in range(60):
        jobs.put(entry(f"j{number}"), expected=None)
        jobs.enqueue(firing(f"j{number}"))
    begun, lock = [], threading.Lock()

    def work(name):
        while True:
            mine = jobs.begin(jobs.claim(name, now=10, lease_until=20, limit=7))
            if not mine:
                return
            with lock:
                begun.extend(it.key for it in mine)

    threads = [threading.Thread(target=work, args=(f"t{number}",)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert len(begun) == len(set(begun)) == 60


def test_a_second_process_sees_what_the_first_wrote(tmp_path):
    one, two = SqliteJobStore(tmp_path / "jobs.db"), SqliteJobStore(tmp_path / "jobs.db")
    one.put(entry(next_at=10, due_at=10), expected=None)
    assert len(two.advance([step()])) == 1
    assert one.advance([step()]) == []
    one.close()
    two.close()
    assert len(SqliteJobStore(tmp_path / "jobs.db").firings()) == 1


def test_no_statement_reads_a_whole_table(tmp_path):
    store = SqliteJobStore(tmp_path / "jobs.db")
    connection = store._connections.open(cache_kib=100)
    for name, sql in queries("sqlite", "jobs").items():
        if name in {"schema", "all_firings"}:
            continue
        values = dict.fromkeys(re.findall(r":(\w+)", sql)) | dict.fromkeys(["steps", "firings", "ids", "dropped"], "[]")
        values = {key: values[key] for key in re.findall(r":(\w+)", sql)}
        steps = [row[3] for row in connection.execute(f"explain query plan {sql}", values)]
        assert not [step for step in steps if re.fullmatch(r"SCAN (firings|jobs|f|o|j)", step)], (name, steps)
    store.close()


def test_a_forked_child_has_a_connection_of_its_own(tmp_path):
    store = SqliteJobStore(tmp_path / "jobs.db")
    store.put(entry(), expected=None)
    pid = os.fork()
    if pid == 0:
        try:
            store.put(entry("child"), expected=None)
            store.close()
            os._exit(0)
        finally:
            os._exit(1)
    assert os.waitpid(pid, 0)[1] == 0
    assert {found.id for found in store.list().entries} == {"a", "child"}
    store.close()


def test_the_file_is_its_owner_s_alone_and_a_bad_place_is_said(tmp_path):
    SqliteJobStore(tmp_path / "jobs.db").close()
    assert (tmp_path / "jobs.db").stat().st_mode & 0o077 == 0
    for bad in (tmp_path / "none" / "jobs.db", tmp_path):
        with pytest.raises(StoreError):
            SqliteJobStore(bad)
    (tmp_path / "text.db").write_text("no database at all, only text" * 100)
    with pytest.raises(StoreError, match="not a database"):
        SqliteJobStore(tmp_path / "text.db")
