"""How PostgreSQL plans our statements: once, or for the values they are asked with, and by which index."""

from contextlib import closing

import psycopg
import pytest

from execlog.core.filter import Filter
from execlog.core.model import Error, Status
from execlog.store.postgres.store import PostgresStore
from execlog.store.sql import queries
from execlog.store.sqlite import slowest
from execlog.testing.making import MIDNIGHT, ended

pytestmark = pytest.mark.postgres


@pytest.mark.parametrize("options", ["", "?options=-c%20jit%3Don%20-c%20work_mem%3D8MB"])
def test_plans_follow_the_values_and_are_not_compiled(empty_postgres_url, options):
    with closing(PostgresStore(empty_postgres_url + options)) as store, store.connections.read() as session:
        shown = [session.value(f"show {name}") for name in ("plan_cache_mode", "jit", "work_mem")]
    assert shown == ["force_custom_plan", "off", "8MB" if options else "4MB"]


def test_a_text_index_leaves_little_unsorted(postgres, postgres_store):
    """A search reads all of that: with the 4 MB that PostgreSQL leaves, it took longer than everything else."""
    name = postgres_store.url.rpartition("/")[2].partition("?")[0]
    unsorted = (
        "select max((pgstatginindex(indexrelid)).pending_pages) from pg_index join pg_class on oid = indexrelid "
        "where relkind = 'i' and relname like '%searched%'"
    )
    postgres.execute("create extension pgstattuple", name)
    most = 0
    for first in range(0, 2_000, 200):
        errors = [
            Error("Refused", f"{number * 7919:x} {number * 104_729:o} refused") for number in range(first, first + 200)
        ]
        postgres_store.apply([ended(first + place, Status.FAILED, error=error) for place, error in enumerate(errors)])
        most = max(most, int(postgres.execute(unsorted, name)))
    assert 0 < most <= 20


def test_statistics_and_single_executions_are_planned_once(postgres_store):
    postgres_store.apply([ended(number) for number in range(20)])
    window = Filter(kind="job", namespace="", subject="prices", since=MIDNIGHT + 1, until=MIDNIGHT + 10**11)
    for _ in range(12):  # a statement is prepared once it has been asked some times
        postgres_store.stats(window)
        postgres_store.stats(Filter(name="other"))
        postgres_store.get("run-0001")
    with postgres_store.connections.read() as session:
        said = session.rows("select statement, generic_plans > 0, custom_plans > 0 from pg_prepared_statements")
    planned = {"buckets": [], "execution_keys": [], "executions.name =": []}
    for statement, once, anew in said:
        for word, found in planned.items():
            if word in statement:
                found.append((once, anew))
    assert planned["buckets"] == planned["execution_keys"] == [(True, False)]
    assert planned["executions.name ="] == [(False, True)]


def test_the_slowest_are_looked_up_one_by_one(postgres_store, monkeypatch):
    """The planner takes them for 1,700 a window, and read all of a million executions to find a hundred."""
    monkeypatch.setattr(slowest, "FEW", 10)
    postgres_store.apply([ended(number, duration=float(number)) for number in range(200)])
    for _ in range(6):
        assert len(postgres_store.find(Filter(sort="slowest"), limit=3).entries) == 3
    with postgres_store.connections.read() as session:
        said = session.value("select statement from pg_prepared_statements where strpos(statement, 'as slow') > 0")
        session.run("set local enable_nestloop = off")
        plan = "\n".join(row[0] for row in session.rows(f"explain (generic_plan) {said}"))
    assert "Nested Loop" in plan
    assert "Hash Join" not in plan
    assert "Merge Join" not in plan


def test_statistics_of_a_long_history_look_their_cells_up(postgres, postgres_store):
    """The planner takes the starts of a window for a thousand, and would rather read all cells."""
    name = postgres_store.url.rpartition("/")[2].partition("?")[0]
    postgres.execute(
        "insert into buckets (resolution, start, series, sketch) select 3600, hour * 3600000000::bigint, 'actor' || "
        "chr(31) || 'job' || chr(31) || 'user-' || number || chr(31), '+' from generate_series(1, 300) as hour, "
        "generate_series(1, 500) as number; analyze buckets",
        name,
    )
    lows = [f"actor\x1f{kind}\x1fuser-7\x1f" for kind in ("job", "query", "workflow")]
    windows = {"resolutions": [86_400, 3_600], "sinces": [0, 0], "untils": [0, 24 * 3_600_000_000]}
    bindings = {**windows, "sketches": True, "lows": lows}
    bindings["highs"] = [low.replace("7\x1f", "7 ") for low in lows]
    statistics = queries("postgres", "statistics")
    with psycopg.connect(postgres.database_url(name)) as connection:
        sql = statistics["cells"].format(key=statistics["key_series"])
        plan = "\n".join(row[0] for row in connection.execute(f"explain {sql}", bindings))
    assert "Seq Scan on buckets" not in plan
    assert plan.count("buckets_pkey") == 3, plan
