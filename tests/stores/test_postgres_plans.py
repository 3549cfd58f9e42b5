"""Which of PostgreSQL's statements are planned once, and which for the values they are asked with."""

import pytest

from execlog.core.filter import Filter
from execlog.testing.making import MIDNIGHT, ended

pytestmark = pytest.mark.postgres


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
