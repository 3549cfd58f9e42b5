"""Results that may be given again: asked for by the connection's settings, and never beyond their time."""

from __future__ import annotations

import apsw
import pytest

from execlog.core.model import Status
from execlog.kinds.queries.cache import ResultCache, key_of
from execlog.kinds.queries.gateway import Query
from execlog.kinds.queries.lexer import SQLITE
from execlog.kinds.queries.page import Cut, Part

CUT = Cut(0, 100, 1000, 10_000)


def part(size):
    return Part(columns=("a",), column_types=("",), rows=(), total_rows=0, bytes=size)


@pytest.fixture
def change(sqlite_file):
    def write():
        connection = apsw.Connection(str(sqlite_file))
        connection.execute("update t set b = 'new' where a = 1")
        connection.close()

    return write


def test_a_result_is_given_again_for_a_while(make_gateway, tables, change, recorded):
    gateway = make_gateway(tables, cache_ttl=60)
    ask = lambda query, **said: gateway.execute(Query(query=query, connection="file", **said))  # noqa: E731 - a word for a call
    first = ask("select b from t where a = 1", user_id="ann")
    change()
    again = ask("select b  from t -- as before\nwhere a = 1;", user_id="bob")
    assert (first.cached, again.cached) == (False, True)
    assert again.part.values() == first.part.values() == [["v1"]]
    kept = recorded(again.execution_id)
    assert (kept.actor, kept.rows, kept.duration) == ("bob", 1, 0.0)
    assert kept.metadata["response_metadata"]["cached"] is True
    assert ask("select b from t where a = 1", fresh=True).part.values() == [["new"]]
    assert ask("select b from t where a = 1").part.values() == [["new"]]


def test_another_page_other_values_or_another_text_is_another_result(make_gateway, tables):
    gateway = make_gateway(tables, cache_ttl=60)
    said = [
        {"query": "select b from t where a = ?", "params": [1]},
        {"query": "select b from t where a = ?", "params": [2]},
        {"query": "select b from t where a > ?", "params": [1]},
        {"query": "select b from t where a > ?", "params": [1], "page": 1},
        {"query": "select b from t where a > ?", "params": [1], "page_size": 7},
        {"query": "select 'x  y'"},
        {"query": "select 'x y'"},
    ]
    for one in said:
        assert not gateway.execute(Query(connection="file", **one)).cached
    for one in said:
        assert gateway.execute(Query(connection="file", **one)).cached
    assert not gateway.execute(Query(connection="duck", **said[0])).cached


@pytest.mark.parametrize(
    ("connection", "query"),
    [
        ("file", "select random()"),
        ("file", "select hex(randomblob(8))"),
        ("duck", "select uuid()"),
        ("duck", 'select "Random" ()'),
        ("duck", "select a from t tablesample reservoir(3)"),
        ("duck", "select a from t using sample 3"),
    ],
)
def test_what_is_found_by_chance_is_not_given_again(make_gateway, tables, connection, query):
    gateway = make_gateway(tables, cache_ttl=60)
    one, other = (gateway.execute(Query(query=query, connection=connection)) for _ in range(2))
    assert (one.status, one.cached, other.cached) == (Status.SUCCEEDED, False, False)


def test_a_column_may_be_called_as_such_a_function(make_gateway, tables):
    gateway = make_gateway(tables, cache_ttl=60)
    one, other = (gateway.execute(Query(query="select a as uuid from t", connection="duck")) for _ in range(2))
    assert (one.cached, other.cached) == (False, True)


def test_values_that_no_key_can_hold_are_the_database_s_to_judge(make_gateway, tables, recorded):
    gateway = make_gateway(tables, cache_ttl=60)
    outcome = gateway.execute(Query(query="select ?", connection="file", params=[10**30]))
    assert outcome.status is Status.FAILED
    assert recorded(outcome.execution_id).error.type == "OverflowError"
    assert gateway.running() == []


@pytest.mark.parametrize(("query", "kept"), [("select from trade", True), ("10?trade", False), ("rand 10", False)])
def test_chance_is_known_in_q_too(query, kept):
    assert (key_of(query, None, CUT, None) is not None) is kept


def test_nothing_is_kept_unless_it_was_asked_for_nor_where_writing_is_allowed(make_gateway, tables):
    plain = make_gateway(tables)
    for _ in range(2):
        assert not plain.execute(Query(query="select 1", connection="file")).cached
    gateway = make_gateway(tables, cache_ttl=60)
    for _ in range(2):
        assert not gateway.execute(Query(query="select 1", connection="desk")).cached
        assert gateway.execute(Query(query="select * from nowhere", connection="file")).trouble is not None


def test_time_makes_it_stale():
    now = [0.0]
    cache = ResultCache(ttl=10, most_bytes=10_000, now=lambda: now[0])
    key = key_of("select 1", None, CUT, SQLITE)
    cache.put(key, part(1))
    now[0] = 10.0
    assert cache.get(key) is not None
    now[0] = 10.1
    assert cache.get(key) is None
    assert cache._bytes == 0


def test_the_least_recently_asked_for_goes_first():
    cache = ResultCache(ttl=10, most_bytes=5_000)
    keys = [key_of(f"select {number}", None, CUT, SQLITE) for number in range(4)]
    for key in keys[:3]:
        cache.put(key, part(1_200))
    assert cache.get(keys[0]) is not None
    cache.put(keys[3], part(1_200))
    assert [cache.get(key) is not None for key in keys] == [True, False, True, True]
    cache.put(key_of("select large", None, CUT, SQLITE), part(6_000))
    assert cache.get(keys[0]) is not None
    assert cache._bytes == sum(size for _, size, _ in cache._held.values())
