"""Pairs: every store that keeps them agrees with MemoryPairs, in any order of events; answers come from indexes."""

from __future__ import annotations

import random
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from itertools import chain, count, takewhile

import apsw
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from msgspec.structs import asdict

from execlog.core.clock import SystemClock
from execlog.core.errors import UnsupportedError
from execlog.core.filter import Filter
from execlog.core.model import Error, Event, Item, Status
from execlog.core.settings import Settings
from execlog.store.files.store import FilesStore
from execlog.store.memory import MemoryStore
from execlog.store.pairs import (
    BANDS,
    MINUTE,
    Fact,
    Pair,
    band_of,
    facts_of,
    facts_of_state,
    fold_facts,
    pair_of,
    pairs_of,
)
from execlog.store.postgres.store import PostgresStore
from execlog.store.redis.store import RedisStore
from execlog.store.sql import queries
from execlog.store.sqlite import SQLiteStore

SECOND = 1_000_000
NOW = 1_700_000_000 * SECOND
KEYS = ("AAPL/1d", "AAPL/1h", "BTC/USD/1h", "IBM/1d", "no pair")


class StandingClock(SystemClock):
    def now(self) -> int:
        return NOW


def make(name, request, tmp_path):
    """The store of this name, empty, with a clock that stands."""
    makers = {
        "memory": lambda: MemoryStore(StandingClock()),
        "sqlite": lambda: SQLiteStore(tmp_path / "db", clock=StandingClock()),
        "files": lambda: FilesStore(tmp_path / "files", clock=StandingClock()),
        "redis": lambda: RedisStore(
            request.getfixturevalue("empty_valkey_url"), Settings(redis_history_limit=10_000), clock=StandingClock()
        ),
        "cluster": lambda: RedisStore(
            request.getfixturevalue("empty_cluster_url"), Settings(redis_history_limit=10_000), clock=StandingClock()
        ),
        "postgres": lambda: PostgresStore(request.getfixturevalue("kept_postgres_url"), clock=StandingClock()),
    }
    return makers[name]()


POSTGRES = pytest.param("postgres", marks=pytest.mark.postgres)
VALKEY = pytest.param("redis", marks=pytest.mark.valkey)
CLUSTER = pytest.param("cluster", marks=pytest.mark.valkey)


@pytest.fixture(params=["memory", "sqlite", "files", VALKEY, CLUSTER, POSTGRES])
def store(request, tmp_path):
    with closing(make(request.param, request, tmp_path)) as made:
        yield made


def instants() -> st.SearchStrategy[int]:
    """Times around the limits of age, and anywhere."""
    near = [NOW - age * SECOND + off for age in (0, 60, 3_600, 86_400) for off in (-1, 0, 1, MINUTE)]
    return (
        st.sampled_from(near)
        | st.integers(NOW - 3 * 86_400 * SECOND, NOW + 86_400 * SECOND)
        | st.integers(-(10**15), 0)
    )


def bars() -> st.SearchStrategy[object]:
    """When the last bar began, and what is no such time."""
    return st.sampled_from(["2023-11-14T00:00:00Z", "2023-11-13", "0001-01-01T00:00:00Z", "soon", 5])


@st.composite
def items(draw) -> Item:
    status = draw(
        st.sampled_from([Status.RUNNING, Status.SUCCEEDED, Status.FAILED, Status.TIMED_OUT, Status.CANCELLED])
    )
    data = draw(
        st.none()
        | st.fixed_dictionaries(
            {},
            optional={
                "features_computed": st.integers(0, 2),
                "data_point_count": st.integers(0, 2),
                "retry_count": st.integers(0, 9),
                "last_bar_at": bars(),
            },
        )
    )
    return Item(
        key=draw(st.sampled_from(KEYS)),
        at=draw(instants()),
        status=status,
        ended_at=draw(st.none() | instants()),
        rows=draw(st.none() | st.integers(0, 2)),
        attempt=draw(st.integers(1, 3)),
        error=Error("E", "why") if status is Status.FAILED else None,
        data=data,
    )


@st.composite
def events(draw) -> Event:
    kind, at = draw(st.sampled_from(["pipeline", "feature", "job"])), draw(instants())
    if kind == "feature":
        status = draw(st.sampled_from([Status.SUCCEEDED, Status.FAILED]))
        return Event(
            id=f"f{draw(st.integers(0, 3))}",
            kind=kind,
            at=at,
            status=status,
            subject=draw(st.sampled_from(KEYS)),
            started_at=at,
            ended_at=draw(instants()),
            rows=draw(st.integers(0, 2)),
            parent_id=draw(st.sampled_from([None, "p0", "p1"])),
            error=Error("E", "failed") if status is Status.FAILED else None,
            metadata=draw(
                st.sampled_from([None, {"never_computed": True}, {"retry_count": 2}])
                | st.builds(lambda bar: {"last_bar_at": bar}, bars())
            ),
        )
    return Event(
        id=f"p{draw(st.integers(0, 1))}",
        kind=kind,
        at=at,
        started_at=NOW - 3_600 * SECOND,
        items=tuple(draw(st.lists(items(), max_size=3))),
    )


batches = st.lists(st.lists(events(), min_size=1, max_size=4), max_size=6)
pairs = st.lists(st.sampled_from([Pair("AAPL", "1d"), Pair("BTC/USD", "1h"), Pair("NEW", "5m")]), max_size=3)


def told(store, now=NOW) -> dict:
    known = pairs_of(store)
    return {
        "states": known.states([pair_of(key) for key in KEYS[:4]] + [Pair("NEW", "5m")]),
        "summary": known.summary(now),
        "symbols": known.symbols(),
        "standing": known.standing(now, limit=10),
        "failures": known.failures(since=NOW - 86_400 * SECOND, limit=50),
        "open": known.failures(since=NOW - 86_400 * SECOND, limit=50, resolved=False),
    }


def compare(store, said, watched, released, shuffler):
    """Whatever the order, and said twice, the store says what the judge says."""
    judge = MemoryStore(StandingClock())
    for batch in said:
        judge.apply(batch)
    shuffled = [event for batch in said for event in batch] * 2
    shuffler.shuffle(shuffled)
    for event in shuffled:
        store.apply([event])
    for one in (judge, store):
        one.pairs.monitor(watched)
        one.pairs.release(released)
    assert told(store) == told(judge)
    assert told(store, NOW + 3_000 * SECOND) == told(judge, NOW + 3_000 * SECOND)


@given(batches)
def test_what_is_known_of_a_pair_can_be_said_without_its_events(said):
    states = fold_facts({}, chain.from_iterable(facts_of(event) for batch in said for event in batch))
    again = [fact for state in states.values() for fact in facts_of_state(state)]
    assert fold_facts({}, again) == states
    assert fold_facts(states, again) == {}


@pytest.mark.postgres
@pytest.mark.valkey
def test_facts_without_events_are_learned(store):
    judge, pair = MemoryStore(StandingClock()), Pair("AAPL", "1d")
    facts = [
        Fact(pair, NOW, NOW - 90 * SECOND, 7, bar_at=NOW - 95 * SECOND),
        Fact(Pair("NEW", "5m"), NOW - 5),
        Fact(pair, NOW - 9, NOW - 9, 0),
    ]
    for one in (judge, store, store):
        one.pairs.learn(facts)
    assert told(store) == told(judge)
    known = told(store)["states"][pair]
    assert (known.data_point_count, known.last_bar_at) == (7, NOW - 95 * SECOND)


@settings(max_examples=60)
@given(batches, pairs, pairs, st.randoms(use_true_random=False))
def test_sqlite_agrees_with_memory_in_any_order(tmp_path_factory, said, watched, released, shuffler):
    with closing(SQLiteStore(tmp_path_factory.mktemp("pairs") / "db", clock=StandingClock())) as store:
        compare(store, said, watched, released, shuffler)


@pytest.mark.valkey
@settings(max_examples=30, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(batches, pairs, pairs, st.randoms(use_true_random=False))
def test_redis_agrees_with_memory_in_any_order(valkey, valkey_url, said, watched, released, shuffler):
    valkey.ask("FLUSHALL")
    with closing(RedisStore(valkey_url, Settings(redis_history_limit=10_000), clock=StandingClock())) as store:
        compare(store, said, watched, released, shuffler)


@pytest.mark.valkey
@settings(max_examples=15, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(batches, pairs, pairs, st.randoms(use_true_random=False))
def test_a_redis_cluster_agrees_with_memory_in_any_order(valkey_cluster, said, watched, released, shuffler):
    valkey_cluster.empty()
    settings = Settings(redis_history_limit=10_000)
    with closing(RedisStore(valkey_cluster.url, settings, clock=StandingClock())) as store:
        compare(store, said, watched, released, shuffler)


@pytest.mark.postgres
@settings(max_examples=30, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(batches, pairs, pairs, st.randoms(use_true_random=False))
def test_postgres_agrees_with_memory_in_any_order(kept_postgres_url, said, watched, released, shuffler):
    with closing(PostgresStore(kept_postgres_url, clock=StandingClock())) as store:
        empty(store)
        compare(store, said, watched, released, shuffler)


def empty(store):
    """Remove everything an earlier example wrote."""
    store.delete(Filter(), keep_marks=False)
    with store.connections.write() as session:
        session.run("truncate pairs, pair_counts")


@given(batches)
def test_the_summary_counts_what_the_lists_hold(said):
    store = MemoryStore(StandingClock())
    for batch in said:
        store.apply(batch)
    summary, stalest = store.pairs.standing(NOW, limit=100)
    assert summary == store.pairs.summary(NOW)
    for band in BANDS:
        listed = stalest[band]
        assert len(listed) == getattr(summary, band)
        assert all(band_of(state, NOW) == band for state in listed)


def test_lists_and_counts_are_of_one_moment(store):
    """A pair that is computed again and again, and gone stale between, is in one band whenever one asks."""
    pairs = [Pair("AAPL", "1d"), Pair("IBM", "1d"), Pair("NEW", "1d")]
    store.pairs.monitor(pairs)
    stop, computed = threading.Event(), threading.Semaphore(0)

    def compute() -> None:
        for turn in takewhile(lambda _: not stop.is_set(), count(1)):
            computed.release()
            age = (0, 2 * 3_600, 3 * 86_400)[turn % 3] * SECOND
            store.pairs.learn([Fact(pairs[0], NOW + turn, NOW - age, 10), Fact(pairs[1], NOW + turn, NOW, turn % 2)])

    with ThreadPoolExecutor(1) as computing:
        done = computing.submit(compute)
        try:
            for number in range(120):
                if number % 10 == 0:
                    assert computed.acquire(timeout=30)
                summary, stalest = store.pairs.standing(NOW, limit=10)
                assert summary.total == len(pairs)
                assert {band: len(states) for band, states in stalest.items()} == asdict(summary)
                assert sorted(state.pair for states in stalest.values() for state in states) == pairs
        finally:
            stop.set()
        done.result()


def test_a_key_is_a_pair_where_it_reads_like_one():
    assert pair_of("AAPL/1d") == Pair("AAPL", "1d")
    assert pair_of("BTC/USD/15min") == Pair("BTC/USD", "15min")
    assert pair_of("AAPL/daily", {"timeframe": "daily"}) == Pair("AAPL", "daily")
    for key in ("AAPL", "AAPL/daily", "/1d", "s3://bucket/file.csv", "", "AAPL/1d/"):
        assert pair_of(key) is None


def test_monitoring_many_pairs_is_one_call(store):
    many = [Pair(f"S{number // 5}", f"{number % 5 + 1}h") for number in range(12_000)]
    assert store.pairs.monitor(many, calendar="XNYS") == 12_000
    assert store.pairs.summary(NOW).missing == 12_000
    assert store.pairs.symbols() == 2_400
    assert store.pairs.states(many[:1])[many[0]].calendar == "XNYS"
    assert store.pairs.release(many[:7_000]) == 7_000
    assert store.pairs.summary(NOW).total == 5_000


def test_a_store_without_pairs_says_so():
    class Bare:
        url = "bare://"

    with pytest.raises(UnsupportedError) as raised:
        pairs_of(Bare())
    assert raised.value.capability == "pairs"


@pytest.mark.parametrize("name", ["sqlite", POSTGRES])
@pytest.mark.parametrize("spread", ["three days", "one minute"])
def test_a_hundred_thousand_pairs_are_answered_from_index_ranges(request, tmp_path, spread, name):
    """Summary and the stalest 50 of each band, wherever the ages lie; under 5 ms where nothing else gets in the way."""
    chance = random.Random(7)
    width = {"three days": 3 * 86_400 * SECOND, "one minute": MINUTE}[spread]
    with closing(make(name, request, tmp_path)) as store:
        for batch in range(20):
            said = [
                Item(
                    key=f"S{number // 5}/{number % 5 + 1}h",
                    at=NOW,
                    status=Status.SUCCEEDED,
                    ended_at=NOW - 3_600 * SECOND - chance.randrange(width) + MINUTE // 2,
                    rows=10,
                )
                for number in range(batch * 5_000, (batch + 1) * 5_000)
            ]
            store.apply([Event(id=f"p{batch}", kind="pipeline", at=NOW, items=tuple(said))])
        took: list[float] = []
        for _ in range(31):
            began = time.perf_counter()
            summary, _ = store.pairs.standing(NOW, limit=50)
            took.append(time.perf_counter() - began)
        assert summary.total == 100_000
        if name == "sqlite":
            assert min(took) < 0.005
        else:
            assert_ranges(store)


def assert_ranges(store):
    """The lists come from a range of the index of ages: how quickly depends on who else uses the server."""
    sql = "explain " + queries("postgres", "pairs")["stalest"]
    with store.connections.write() as session:
        session.run("analyze pairs")  # the server does so by itself within a minute
    with store.connections.read() as session:
        plan = session.rows(sql, {"after": NOW - 3_600 * SECOND, "until": NOW, "limit": 50})
    scans = [step for (step,) in plan if " Scan " in step]
    assert scans
    assert all("pairs" in step and "Seq" not in step for step in scans), plan
    assert any("pairs_age" in step for step in scans), plan


def plans(path, name: str, **bindings) -> list[str]:
    with closing(apsw.Connection(str(path))) as connection:
        sql = "explain query plan " + queries("sqlite", "pairs")[name]
        return [row[3] for row in connection.execute(sql, bindings)]


def test_no_question_walks_a_table(tmp_path):
    with closing(SQLiteStore(tmp_path / "db")) as store:
        path = store.path
    names = ("instant", "second", "second_end", "minute", "minute_end", "after", "until", "since", "begun", "resolved")
    limits = dict.fromkeys(names, 0) | {"limit": 50, "keys": "[]"}
    for name in ("younger", "stalest", "missing", "symbols", "failed_computations", "failed_items", "states"):
        steps = plans(path, name, **limits)
        walks = [
            step for step in steps if step.startswith("SCAN") and not step.startswith(("SCAN keys", "SCAN CONSTANT"))
        ]
        assert walks == [], name
    for name in ("younger", "stalest", "missing"):
        assert any("pairs_age" in step for step in plans(path, name, **limits)), name
        assert not any("TEMP B-TREE" in step for step in plans(path, name, **limits)), name
    computations = plans(path, "failed_computations", **limits)
    assert any("executions_unsuccessful (" in step for step in computations)
    assert not any("TEMP B-TREE" in step for step in computations)
    assert any("items_failures" in step for step in plans(path, "failed_items", **limits))
