"""No question reads all executions: each is answered by the index meant for it, in the order it asks for.

The plans are the same for any number of rows: `indexed by` names the index, and no statistics are kept.
"""

import re

import pytest

from execlog.core.filter import Filter
from execlog.core.model import OPEN, UNSUCCESSFUL, Status
from execlog.store.sql import files, queries
from execlog.store.sqlite import SQLiteStore
from execlog.store.sqlite.query import ask, continue_after, order
from execlog.testing.conformance import ended

UNSUCCESSFUL_ONES = tuple(status for status in Status if status in UNSUCCESSFUL)
JOB = Filter(kind="job", namespace="", subject="prices")
READ = queries("sqlite", "read")

QUESTIONS = {
    "latest of a job": (JOB, "executions_subject"),
    "newest failed of a job": (
        Filter(kind="job", namespace="", subject="prices", statuses=UNSUCCESSFUL_ONES),
        "executions_unsuccessful_subject",
    ),
    "newest of everything": (Filter(), "executions_time"),
    "a window of everything": (Filter(since=1, until=2), "executions_time"),
    "newest of a kind": (Filter(kind="job"), "executions_kind"),
    "newest of a namespace": (Filter(kind="workflow", namespace="north"), "executions_namespace"),
    "of a user": (Filter(kind="query", actor="ann"), "executions_actor"),
    "of a user on an engine": (Filter(kind="query", actor="ann", engine="kdb"), "executions_actor"),
    "failed ones of a kind": (Filter(kind="job", statuses=(Status.FAILED,)), "executions_unsuccessful"),
    "open ones of a process": (Filter(origin="boot:1", statuses=tuple(OPEN)), "executions_open"),
    "with an error": (Filter(fingerprint="0123"), "executions_fingerprint"),
    "children": (Filter(parent_id="p"), "executions_parent"),
    "of a root": (Filter(root_id="r"), "executions_root"),
    "retries": (Filter(retry_of="q"), "executions_retry"),
    "of an item": (Filter(item="AAPL"), "items_key"),
    "oldest of a job": (Filter(kind="job", namespace="", subject="prices", sort="oldest"), "executions_subject"),
}


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    made = SQLiteStore(tmp_path_factory.mktemp("plans") / "execlog.db")
    made.apply([ended(number) for number in range(50)])
    yield made
    made.close()


def plan(store, sql, bindings):
    with store.connections.read() as session:
        return [row[3] for row in session.rows("explain query plan " + sql, bindings)]


@pytest.mark.parametrize("name", QUESTIONS)
@pytest.mark.parametrize("after", [False, True])
def test_a_list_walks_its_index_in_order(store, name, after):
    filter_, index = QUESTIONS[name]
    question = ask(filter_)
    if after:
        from execlog.store.matching import cursor_after

        continue_after(filter_, question, cursor_after(filter_, store.find(Filter(), limit=1).entries[0]))
    sql = READ["find"].format(source=question.source, where=question.where, order=order(filter_, question))
    steps = plan(store, sql, {**question.bindings, "limit": 50, "offset": 0})
    assert any(index in step for step in steps), steps
    sorted_in_groups = all("TERM" in step for step in steps if "TEMP B-TREE FOR" in step)
    small = index in {"executions_parent", "executions_root", "executions_retry"}
    assert sorted_in_groups or small, steps
    assert not [step for step in steps if step.startswith("SCAN executions") and "USING" not in step], steps


@pytest.mark.parametrize(("filter_", "index"), [(Filter(ids=("a", "b")), "executions_identity"),
                                                (Filter(id_prefix="ab"), "executions_identity")])  # fmt: skip
def test_ids_are_looked_up(store, filter_, index):
    question = ask(filter_)
    sql = READ["find"].format(source=question.source, where=question.where, order=order(filter_, question))
    steps = plan(store, sql, {**question.bindings, "limit": 50, "offset": 0})
    assert any(step.startswith("SEARCH executions") and index in step for step in steps), steps


def test_a_text_search_walks_the_text_index_backwards_without_sorting(store):
    question = ask(Filter(text="timeout"))
    sql = READ["find_texts"].format(source=question.source, where=question.where, direction="desc")
    steps = plan(store, sql, {**question.bindings, "first_key": 0, "last_key": 9, "limit": 50})
    assert steps[0].startswith(("SCAN texts VIRTUAL TABLE INDEX", "CO-ROUTINE")), steps
    assert any("SEARCH executions USING INDEX executions_text" in step for step in steps), steps
    assert not any("TEMP B-TREE" in step for step in steps), steps


def test_the_subjects_are_found_by_a_step_each(store):
    """Compared as columns with columns they would all be gone through for each: 23 s at 200,000 executions."""
    sql = READ["latest"].format(index="executions_subject", where="true")
    steps = plan(store, sql, {"kind": None, "limit": 24})
    assert any("((kind,subject,namespace)>(?,?,?))" in step for step in steps), steps


def test_the_slowest_are_looked_up_in_their_windows(store):
    fragments = queries("sqlite", "filter")
    question = ask(Filter(kind="job", sort="slowest"))
    parts = {"source": question.source, "where": question.where, "open": fragments["open"], "tail": fragments["tail"]}
    places = {"source": fragments["from_slow"].format(**parts), "where": "true", "order": fragments["order_slowest"]}
    bindings = {**question.bindings, "windows": [(1, 2)], "least": 1.0, "limit": 50, "offset": 0}
    steps = plan(store, READ["find"].format(**places), bindings)
    looked_up = "USING INDEX executions_kind (kind=? AND created_at>? AND created_at<?)"
    assert any(step.startswith("SEARCH executions") and looked_up in step for step in steps), steps
    assert not any(re.match(r"SCAN executions\b", step) and "executions_open" not in step for step in steps), steps


WHOLE_TABLE = {"sizes"}
"""Named queries that count everything because that is what they are asked: `execlog doctor`'s facts."""

PLACES = {
    "source": "executions indexed by executions_time", "where": "executions.created_at >= 1",
    "order": "executions.created_at desc", "index": "executions_subject", "key": "null", "direction": "desc",
}  # fmt: skip
FROM_TEXTS = "texts cross join executions indexed by executions_text on executions.text_key = texts.rowid"
PLACES_OF = {
    "find_texts": {"source": FROM_TEXTS, "where": "texts match 'abc'"},
    "cells": {"key": "series"},
    "add_cells": {"source": queries("sqlite", "buckets")["cells_of_tail"]},
}


def named():
    for file in files("sqlite"):
        if file in {"filter", "jobs"}:  # jobs have a test of their own, test_jobs.py
            continue
        for name, sql in queries("sqlite", file).items():
            begins = ("select", "with", "insert", "update", "delete", "replace", "--")
            if sql.lstrip().startswith(begins):
                yield pytest.param(file, name, id=f"{file}.{name}")


JSON = {
    "windows",
    "series",
    "rows",
    "keys",
    "numbers",
    "cells",
    "moved",
    "kinds",
    "places",
    "statuses",
    "ids",
    "pairs",
    "tags",
}


@pytest.mark.parametrize(("file", "name"), list(named()))
def test_no_named_query_reads_all_executions(store, file, name):
    sql = queries("sqlite", file)[name]
    places = {**PLACES, **PLACES_OF.get(name, {})}
    sql = re.sub(r"\{(\w+)\}", lambda place: places[place[1]], sql)
    if sql.startswith("--"):
        sql = re.sub(r"^(--[^\n]*\n)+", "", sql)
    names = set(re.findall(r"(?<![:\w]):(\w+)", sql))
    bindings = {one: "[]" if one in JSON else 1 for one in names}
    if "?" in sql:
        bindings = [None] * sql.count("?")
    with store.connections.write() as session:
        steps = [row[3] for row in session._connection.execute("explain query plan " + sql, bindings).fetchall()]
    scans = [step for step in steps if re.match(r"SCAN (executions|e|items|i)\b", step) and "USING" not in step]
    assert not scans or name in WHOLE_TABLE, steps
